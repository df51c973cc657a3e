"""A sweep: the distilled student under every combination of some settings, chosen on validation, scored on test once.

Cells that share a teacher share its run and its logits. Only the cell with the best mean validation accuracy is ever
scored on the test split, with its baseline, as `reproduce` does it.
"""

from kdistill.sweeps.grid import Cell, Grid, axes, plan
from kdistill.sweeps.sweep import CHOSEN_BY, make_part, pairs_of, sweep

__all__ = ["CHOSEN_BY", "Cell", "Grid", "axes", "make_part", "pairs_of", "plan", "sweep"]
