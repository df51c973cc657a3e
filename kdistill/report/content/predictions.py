"""The parts of `material` that tell of single answers. See there for what holds of all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Reliability:
    """How confidence and accuracy go together in one arm, over the test examples of all its runs.

    Attributes:
        arm: its name.
        edges: (b + 1,) of the bins of confidence, from 0 to 1.
        count: (b,) int64, how many answers fall in each bin.
        confidence: (b,) the mean of their largest probabilities; NaN in an empty bin.
        accuracy: (b,) how many of them were right; NaN in an empty bin.
        ece: mean expected calibration error of the runs.
        runs: how many runs these are.
    """

    arm: str
    edges: Floats
    count: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats
    ece: float
    runs: int


@dataclass(frozen=True)
class Confusion:
    """What baseline and distilled took each class for: shares of a true class, means over the seeds.

    Attributes:
        classes: (k,) names of the classes that are shown, in their order.
        left_out: how many other classes there are, in which less has changed; 0 for up to 20 classes.
        baseline: (k, k) row: true class, column: answer; each row is in shares of that class's test examples, and sums
            to 1 where no class is left out. Rows of a class without test examples are NaN.
        distilled: (k, k) likewise.
        seeds: how many pairs of runs these are means over.
    """

    classes: Sequence[str]
    left_out: int
    baseline: Floats
    distilled: Floats
    seeds: int

    @property
    def difference(self) -> Floats:
        """Distilled minus baseline, (k, k): right answers on the diagonal, where more is better."""
        return self.distilled - self.baseline


@dataclass(frozen=True)
class ClassChange:
    """What distillation did to one class.

    Attributes:
        name: of the class.
        examples: how many it has in the test split.
        teacher: mean accuracy of the teachers within it; None where their answers are not known.
        baseline: mean accuracy of the baseline runs within it.
        distilled: likewise.
        low: lower end of the paired 95 % interval of the difference; None where there is none.
        high: upper end, likewise.
        fixed: test examples that the distilled student got right and the baseline did not: mean over the seeds.
        broken: the reverse.
    """

    name: str
    examples: int
    teacher: float | None
    baseline: float
    distilled: float
    low: float | None
    high: float | None
    fixed: float
    broken: float

    @property
    def difference(self) -> float:
        """Distilled minus baseline accuracy."""
        return self.distilled - self.baseline


@dataclass(frozen=True)
class Example:
    """One example of the test split.

    Attributes:
        number: its place in the split, from 0.
        label: index of its class in `Material.class_names`.
        image: (height, width) or (height, width, 3) uint8, ready to be shown; None for a row of a table.
        values: names and values of the columns of a row of a table, those of a wide table cut to the first twelve;
            empty for images.
        more_values: how many columns of a row are not in `values`.
    """

    number: int
    label: int
    image: NDArray[np.uint8] | None
    values: Sequence[tuple[str, float]]
    more_values: int


@dataclass(frozen=True)
class Change:
    """A test example that distillation fixed or broke in some seeds.

    Attributes:
        example: which.
        fixed_in: in how many seeds the distilled student is right and the baseline wrong.
        broken_in: in how many it is the other way round.
        seeds: of how many.
        probabilities: of each arm that is known, (classes,) at T = 1: means over the seeds.
    """

    example: Example
    fixed_in: int
    broken_in: int
    seeds: int
    probabilities: Mapping[str, Floats]


@dataclass(frozen=True)
class SoftExample:
    """What a teacher says about one example.

    Attributes:
        example: which.
        plain: (classes,) probabilities at T = 1.
        soft: (classes,) probabilities at the temperature that the student was taught with.
    """

    example: Example
    plain: Floats
    soft: Floats


@dataclass(frozen=True)
class Softened:
    """What the teacher's softened outputs look like.

    Attributes:
        temperature: T of the teacher's outputs.
        of: whose these are, such as `the teacher of seed 0` or `the mean of 3 teachers`.
        matched: false where the loss matches logits (`soft_loss: mse`), so that no softmax at T is taken.
        examples: at least one.
    """

    temperature: float
    of: str
    matched: bool
    examples: Sequence[SoftExample]
