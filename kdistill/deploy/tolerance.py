"""The accepted differences between an export and its model, and the judgement of measured ones."""

from dataclasses import dataclass

from kdistill.core.errors import ParityError
from kdistill.deploy.export_records import Parity
from kdistill.deploy.formats import Form

# A near-tie: the model tells two classes apart by less than this share of the size of its outputs, which eight bits
# cannot be expected to resolve.
NEAR_TIE = 0.1


@dataclass(frozen=True)
class Tolerance:
    """The accepted differences between an export and its model.

    Attributes:
        difference: the largest of an output, relative to the size of the example's outputs (`parity.sizes`).
        agreement: the smallest share of examples with the same predicted class. Where fewer agree, an export is still
            accepted if as many do apart from near-ties, and it loses no more accuracy than `1 - agreement`.
    """

    difference: float
    agreement: float

    @property
    def near_tie(self) -> float:
        """The margin, relative to the size of the outputs, below which another predicted class is explained."""
        return min(2 * self.difference, NEAR_TIE)


TOLERANCES = {
    # Sums of the same float32 numbers in another order: a few units in the last of 24 bits for each layer.
    "none": Tolerance(1e-4, 0.998),
    # Weights of 11 bits: each has a relative error of at most 2^-11, in every layer.
    "float16": Tolerance(1e-2, 0.99),
    # Weights of 8 bits: each has an error of up to 1/254 of the largest in its channel or layer.
    "dynamic": Tolerance(0.1, 0.98),
    # Activations have 8 bits too, over the ranges of a few hundred training examples; values beyond are clipped: then
    # a single output may differ much, while the predicted class seldom does.
    "int8": Tolerance(0.4, 0.97),
}


def accepts(tolerance: Tolerance, parity: Parity) -> bool:
    """Whether an export differs from its model by no more than a tolerance."""
    share, least = parity["largest_share"], tolerance.agreement
    if share is None or share > tolerance.difference:
        return False
    if parity["agreement"] >= least:
        return True
    lost = parity["model_accuracy"] - parity["accuracy"]
    return parity.get("agreement_but_for_near_ties", 0.0) >= least and lost <= 1 - least


def check_parity(parity: Parity, tolerance: Tolerance, form: Form, export: str) -> None:
    """Raise ParityError if an export, called `export` in the message, differs by more than a tolerance."""
    if accepts(tolerance, parity):
        return
    share, apart_from_ties = parity["largest_share"], parity.get("agreement_but_for_near_ties", parity["agreement"])
    apart = "outputs that are not finite" if share is None else f"outputs up to {100 * share:.3g} % apart"
    raise ParityError(
        f"{export}: the {form.title} export does not agree with its model: expected outputs at most "
        f"{100 * tolerance.difference:g} % of their size apart and {100 * tolerance.agreement:g} % equal labels; "
        f"received {apart} and {100 * parity['agreement']:.2f} % equal labels ({100 * apart_from_ties:.2f} % but for "
        f"near-ties) on {parity['examples']:,} test examples "
        f"(accuracy {parity['accuracy']:.4f}; the model's {parity['model_accuracy']:.4f})",
        hint=f"The export was not kept. {_advice(parity, tolerance, form)}",
    )


def _advice(parity: Parity, tolerance: Tolerance, form: Form) -> str:
    """Return what to do, with a --tolerance that would accept the export; none accepts outputs that are not finite."""
    share = parity["largest_share"]
    if share is None:
        return "Try another --quantize or --format."
    difference, agreement = max(tolerance.difference, 1.1 * share), min(tolerance.agreement, parity["agreement"])
    try_this = "" if form.quantize == "none" else "try --quantize float16 or none, or "
    return (
        f"To keep one that differs so much, {try_this}give --tolerance with what you accept, such as "
        f"--tolerance {difference:.2g},{max(agreement - 0.005, 0):.2f}."
    )
