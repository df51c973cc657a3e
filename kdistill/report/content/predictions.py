"""The parts of a report about predictions on the test split. Class names may hold any characters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: confidence and accuracy of one arm, over the test examples of all its runs.

    Attributes:
        arm: name of the arm.
        edges: (b + 1,) of the bins of confidence, from 0 to 1.
        count: (b,) int64, how many predictions fall in each bin.
        confidence: (b,) mean confidence of the predictions in a bin; NaN in an empty bin.
        accuracy: (b,) share of correct predictions in a bin; NaN in an empty bin.
        ece: expected calibration error, the mean over the runs.
        runs: number of runs.
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
    """Confusion matrices of baseline and distilled student, as shares of the true class, means over the seeds.

    Attributes:
        classes: (k,) names of the classes that are shown, in order of their labels.
        left_out: number of classes that are not shown, those that changed least; 0 for up to 20 classes.
        baseline: (k, k) row: true class, column: predicted class. A row sums to 1 where no class is left out, and is
            NaN for a class without test examples.
        distilled: (k, k) the same for the distilled student.
        seeds: number of seeds.
    """

    classes: Sequence[str]
    left_out: int
    baseline: Floats
    distilled: Floats
    seeds: int

    @property
    def difference(self) -> Floats:
        """Distilled minus baseline, (k, k): correct predictions on the diagonal, where more is better."""
        return self.distilled - self.baseline


@dataclass(frozen=True)
class ClassChange:
    """The accuracy within one class, and how distillation changed it.

    Attributes:
        name: name of the class.
        examples: number of test examples.
        teacher: mean accuracy of the teachers; None where their predictions are not known.
        baseline: mean accuracy of the baseline runs.
        distilled: mean accuracy of the distilled runs.
        low: lower end of the paired 95 % interval of the difference; None where there is none.
        high: upper end of the paired 95 % interval of the difference; None where there is none.
        fixed: number of test examples that only the distilled student classifies correctly, mean over the seeds.
        broken: number of test examples that only the baseline classifies correctly, mean over the seeds.
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
        number: position in the test split, from 0.
        label: index of the true class in `Report.class_names`.
        image: (height, width) or (height, width, 3) uint8 for display; None for a row of a table.
        values: names and values of the first columns of a row of a table; empty for an image.
        more_values: number of further columns that are not in `values`.
    """

    number: int
    label: int
    image: NDArray[np.uint8] | None
    values: Sequence[tuple[str, float]] = ()
    more_values: int = 0


@dataclass(frozen=True)
class Change:
    """A test example that distillation fixed or broke, in some seeds and in the mean over all of them.

    Attributes:
        example: the example.
        fixed_in: number of seeds in which the distilled student is right and the baseline wrong.
        broken_in: number of seeds in which the baseline is right and the distilled student wrong.
        seeds: number of all seeds.
        probabilities: (classes,) for each arm that is known, at T = 1: means over the seeds.
    """

    example: Example
    fixed_in: int
    broken_in: int
    seeds: int
    probabilities: Mapping[str, Floats]


@dataclass(frozen=True)
class SoftExample:
    """A teacher's soft targets for one test example.

    Attributes:
        example: the example.
        plain: (classes,) probabilities at T = 1.
        soft: (classes,) probabilities at the temperature of the distillation.
    """

    example: Example
    plain: Floats
    soft: Floats


@dataclass(frozen=True)
class Softened:
    """A teacher's soft targets.

    Attributes:
        temperature: T by which the teacher's logits are divided.
        of: the teacher, such as `the teacher of seed 0` or `the mean of 3 teachers`.
        matched: whether the loss has these probabilities as its target: not where it matches or standardises logits.
        examples: at least one.
    """

    temperature: float
    of: str
    matched: bool
    examples: Sequence[SoftExample]


@dataclass(frozen=True)
class Predictions:
    """What the models predict on the test split. A part that is not known is None or empty.

    Attributes:
        reliability: a reliability diagram for each arm.
        confusion: confusion matrices of baseline and distilled student.
        classes: accuracy within each class, most improved first.
        fixed: test examples that distillation fixed, those fixed in most seeds first.
        broken: test examples that distillation broke, those broken in most seeds first.
        softened: the teacher's soft targets.
    """

    reliability: Sequence[Reliability] = ()
    confusion: Confusion | None = None
    classes: Sequence[ClassChange] = ()
    fixed: Sequence[Change] = ()
    broken: Sequence[Change] = ()
    softened: Softened | None = None
