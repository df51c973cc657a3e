"""What a page about an experiment tells: plain numbers, arrays and text, whatever it will look like.

Accuracies, shares and differences of them are fractions (0.0043), also where a page shows points (0.43). Arms are named
`teacher`, `baseline` and `distilled`, in this order. A part of `Material` is None, and a sequence empty, where there is
nothing to tell; `Material.missing` then says why, in a sentence, under the name of that part.

Class names, column names, config values and messages are the user's own: they may hold any characters whatever.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdistill.evaluation.statistics import Summary
from kdistill.evaluation.verdict import Verdict
from kdistill.report.content.predictions import (
    Change,
    ClassChange,
    Confusion,
    Example,
    Reliability,
    Softened,
    SoftExample,
)
from kdistill.report.content.provenance import Data, Objective, Provenance, RunRow
from kdistill.runs.benchmark import Measured

__all__ = [
    "PARTS",
    "Arm",
    "Benchmark",
    "Cell",
    "Change",
    "ClassChange",
    "Confusion",
    "Curve",
    "Curves",
    "Data",
    "Example",
    "Material",
    "Objective",
    "Provenance",
    "Reliability",
    "RunRow",
    "SoftExample",
    "Softened",
    "Sweep",
]

Floats = NDArray[np.floating]
Document = Mapping[str, Any]

PARTS = (
    "verdict",
    "arms",
    "curves",
    "reliability",
    "confusion",
    "classes",
    "fixed",
    "broken",
    "softened",
    "sweep",
    "benchmark",
)
"""The parts that may be missing, in the order in which a page tells them: the keys of `Material.missing`."""


@dataclass(frozen=True)
class Arm:
    """The scored runs of one arm on the test split.

    Attributes:
        name: `teacher`, `baseline` or `distilled`.
        title: what to call it where its name does not say enough, such as `teacher (3 files)`; else its name.
        seeds: (r,) of the scored runs; empty for a teacher from elsewhere, which is no run.
        accuracy: share of test examples that are classified correctly.
        nll: mean negative log-likelihood in nats.
        ece: expected calibration error, 0 to 1.
        agreement: share of test examples on which it agrees with its teacher; None for the teacher and where unknown.
        parameters: of one model (of several teachers together); None where there are only logits.
        file_bytes: of its model file or files; None where unknown.
        expected: published accuracy; None where the config has none.
    """

    name: str
    title: str
    seeds: Sequence[int]
    accuracy: Summary
    nll: Summary
    ece: Summary
    agreement: Summary | None
    parameters: int | None
    file_bytes: int | None
    expected: float | None


@dataclass(frozen=True)
class Curve:
    """What one run was like, epoch by epoch: complete or not.

    Attributes:
        seed: of the run.
        complete: whether it has finished.
        epochs: (e,) 1, 2, ...; at least one.
        loss: (e,) what is minimised, with penalties: means over the training examples, under changing weights.
        soft: (e,) the soft term, T^2 included, unweighted; all zero in arms without a teacher.
        hard: (e,) cross-entropy of the labels in nats.
        penalty: (e,) of regularisation, all zero where there is none.
        val_loss: (e,) the arm's own objective on the validation split.
        val_nll: (e,) on the validation split, in nats.
        val_accuracy: (e,) on the validation split.
        best: the epoch whose weights were kept (so far).
    """

    seed: int
    complete: bool
    epochs: NDArray[np.int64]
    loss: Floats
    soft: Floats
    hard: Floats
    penalty: Floats
    val_loss: Floats
    val_nll: Floats
    val_accuracy: Floats
    best: int


@dataclass(frozen=True)
class Curves:
    """The learning curves of one arm.

    Attributes:
        arm: its name.
        monitor: what chose the epoch: `val_nll`, `val_accuracy` or `val_loss`.
        patience: epochs without improvement after which a run ends; None for never.
        runs: by seed; at least one.
    """

    arm: str
    monitor: str
    patience: int | None
    runs: Sequence[Curve]


@dataclass(frozen=True)
class Cell:
    """A cell of a sweep.

    Attributes:
        settings: the values of the keys that were varied, in the order of `Sweep.axes`.
        accuracy: of the distilled runs on the validation split; None where none has finished.
        nll: likewise.
        done: how many of its runs have finished.
        failed: why some have not, in a message each.
        is_winner: whether it was chosen.
    """

    settings: Sequence[Any]
    accuracy: Summary | None
    nll: Summary | None
    done: int
    failed: Sequence[str]
    is_winner: bool


@dataclass(frozen=True)
class Sweep:
    """The cells of a sweep.

    Attributes:
        axes: the keys that were varied and the values of each, in order.
        cells: in the order of the axes, the last one fastest; of an unfinished sweep those that were begun.
        seeds: how many each cell has, or is to have.
        finished: whether `sweep` has come to its end, and a winner was chosen.
        chosen_by: how, in words.
        baseline: validation accuracy of the student alone; None where it is not known.
        test: the verdict on the winner, over the very seeds that chose it; None where there is none.
        command: what judges the winner by fresh seeds; None while there is no winner.
    """

    axes: Sequence[tuple[str, Sequence[Any]]]
    cells: Sequence[Cell]
    seeds: int
    finished: bool
    chosen_by: str
    baseline: float | None
    test: Verdict | None
    command: str | None


@dataclass(frozen=True)
class Benchmark:
    """What `kdistill benchmark` measured.

    Attributes:
        rows: the first is what the others are held against.
        machine: processor, cores and threads, in words.
        how: it was measured, in words.
        when: ISO 8601 in UTC.
    """

    rows: Sequence[Measured]
    machine: str
    how: str
    when: str


@dataclass(frozen=True)
class Material:
    """All that a page tells of one experiment, in the order in which it is told.

    Attributes:
        name: of the experiment.
        about: what it is in a sentence or two: data, models, seeds; and, of a sweep, that what follows is its winner's.
        state: sentences on what is not finished, failed or was left out; empty where all is there.
        seeds: of which there is any run.
        class_names: the index being the label; empty where unknown.
        data: what it is about.
        verdict: on all seeds that are whole.
        arms: those that were scored.
        curves: of the arms that have begun.
        reliability: of the arms whose outputs are known.
        confusion: of baseline and distilled.
        classes: what changed in each class, most improved first.
        fixed: test examples that distillation fixed, those in most seeds first.
        broken: likewise, those that it broke.
        softened: the teacher's outputs.
        sweep: its cells.
        benchmark: what models cost.
        objective: what was minimised.
        warnings: what speaks against the result: selection on test, too few seeds, a teacher that is no better.
        provenance: how to get it again.
        missing: of each part that is not there why, in a sentence; see `PARTS`. A part that the experiment was never to
            have, such as `sweep` of one that is none, is in neither place.
        version: of kdistill, that made the page.
    """

    name: str
    about: str
    state: Sequence[str]
    seeds: Sequence[int]
    class_names: Sequence[str]
    data: Data
    verdict: Verdict | None
    arms: Sequence[Arm]
    curves: Sequence[Curves]
    reliability: Sequence[Reliability]
    confusion: Confusion | None
    classes: Sequence[ClassChange]
    fixed: Sequence[Change]
    broken: Sequence[Change]
    softened: Softened | None
    sweep: Sweep | None
    benchmark: Benchmark | None
    objective: Objective
    warnings: Sequence[str]
    provenance: Provenance
    missing: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
