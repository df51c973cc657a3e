"""The control arms: students that differ from the distilled one in one thing, so that they tell the cause.

A `Control` says whom a control learns from, what it starts from, and what it tells; `recipes.controls` has the function
that trains it. Sources: Hinton et al. (2015), section 3 (hard targets); Yuan et al., "Revisiting Knowledge Distillation
via Label Smoothing Regularization" (2020); Furlanello et al., "Born-Again Neural Networks" (2018).
"""

from dataclasses import dataclass
from typing import Any, Literal

SHUFFLED_AMONG = ("class", "all")


@dataclass(frozen=True)
class Control:
    """A control arm.

    Attributes:
        name: of the arm, in `controls` of a config and in folders.
        needs: the arm whose model it learns or starts from: its run has to be complete first. None: no other.
        reads: the keys of `distill` that it depends on; `all` of them, or these.
        option: the default of its option; None if it has none.
        about: what it is trained on, as a sentence.
        alone: its title in a sentence about what it gives.
        rest: what distillation has in its place, as the end of `an effect of`.
    """

    name: str
    needs: Literal["teacher", "baseline"] | None
    reads: Literal["all"] | tuple[str, ...]
    option: float | str | None
    about: str
    alone: str
    rest: str

    @property
    def is_taught(self) -> bool:
        """Whether it learns from a model's outputs, as the distilled student does, and on the same examples."""
        return bool(self.reads)

    def problem(self, option: Any) -> str | None:
        """Return what values its option may have, if this is none of them."""
        if isinstance(self.option, float):
            fits = type(option) in (int, float) and 0 < option < 1
            return None if fits else f"expected a number between 0 and 1, such as {self.name}: {self.option:g}"
        if isinstance(self.option, str):
            return None if option in SHUFFLED_AMONG else f"expected one of {', '.join(SHUFFLED_AMONG)}"
        return "it takes no value"


_EVERY = (
    Control(
        "smoothed",
        None,
        (),
        0.1,
        "The labels, smoothed: a share of the probability goes to all classes alike. There is no teacher.",
        "Smoothed labels",
        "the teacher",
    ),
    Control(
        "pseudo",
        "teacher",
        ("alpha",),
        None,
        "The class that the teacher gives each example, in place of its softened outputs.",
        "The teacher's hard answers",
        "the softened outputs",
    ),
    Control(
        "shuffled",
        "teacher",
        "all",
        "class",
        "The teacher's outputs, exchanged among examples to which it gives the same class (`all`: among all).",
        "The teacher's outputs for other examples",
        "what the teacher says of each example",
    ),
    Control(
        "self",
        "baseline",
        "all",
        None,
        "The outputs of the student's own baseline, in place of the teacher's.",
        "A teacher no larger than the student",
        "the larger teacher",
    ),
    Control(
        "continued",
        "baseline",
        (),
        None,
        "The labels, from the weights of the baseline on: the baseline, trained for the same plan once more.",
        "The baseline, trained on",
        "the teacher beyond more training",
    ),
)
CONTROLS = {control.name: control for control in _EVERY}


def is_taught(arm: str) -> bool:
    """Whether an arm learns from a model's outputs, for which an example needs no label."""
    return arm == "distilled" or (arm in CONTROLS and CONTROLS[arm].is_taught)


def needed_by(arm: str) -> Literal["teacher", "baseline"] | None:
    """Return the arm whose model a run of `arm` learns or starts from; None if it needs none."""
    return "teacher" if arm == "distilled" else CONTROLS[arm].needs if arm in CONTROLS else None
