"""The headline of a result: what the user came for, in one sentence of plain values, and the verdict in another.

The terminal, the documents of `--json` and the report page show these same sentences.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kdistill.core.formatting import counted, file_size, number, points, two_digits
from kdistill.evaluation.measures import ACCURACY, Measure, recorded
from kdistill.evaluation.statistics import LEAST_SEEDS, ROUNDING, Difference, Interval, Scope

EQUALLY_LARGE = 1.05  # the ratio of two sizes, up to which they count as equal
INCONCLUSIVE = "Inconclusive"
WITHOUT_TEACHER = "the baseline, the same student without a teacher"
SIZES = ("parameters", "file_bytes")
DISTILLED, ALONE = "Student", "Student without a teacher"


@dataclass(frozen=True)
class Model:
    """What a headline says of a model.

    Attributes:
        score: by the measure of the comparison, a mean over the seeds; None if it is undefined or not known.
        parameters: the number of weights, of several teachers of all; None if not known, as of a file of logits.
        file_bytes: on disk; None if not known.
    """

    score: float | None
    parameters: int | None = None
    file_bytes: int | None = None


def of_arms(
    arms: Mapping[str, Mapping[str, Any]], measure: Measure = ACCURACY, teachers: int = 1, split: str = "test"
) -> str:
    """Return the headline of the arms of a document; empty where there is no student.

    Args:
        arms: by name, with `parameters`, `file_bytes`, and of the measure the value, or its `Summary` over the seeds.
        measure: what the scores are.
        teachers: how many form the teacher together.
        split: see `headline`.
    """
    models = dict[str, Model]()
    for arm, scores in arms.items():
        value = recorded(scores, measure)
        models[arm] = Model(value["mean"] if isinstance(value, Mapping) else value, *map(scores.get, SIZES))
    name, subject = ("distilled", DISTILLED) if "distilled" in models else ("baseline", ALONE)
    if name not in models:
        return ""
    return headline(models[name], models.get("teacher"), measure, teachers=teachers, split=split, subject=subject)


def headline(
    student: Model,
    teacher: Model | None,
    measure: Measure = ACCURACY,
    *,
    teachers: int = 1,
    split: str = "test",
    subject: str = DISTILLED,
) -> str:
    """Return how much smaller a student is than its teacher, and how much worse or better: one sentence.

    Sizes are compared if those of both are known, and else stated.

    Args:
        student: the distilled student, or the one trained alone.
        teacher: None if there is none.
        measure: what the scores are.
        teachers: how many form the teacher together.
        split: that the scores are of, `test` or `validation`; that they are of test is not said.
        subject: what the student is called.
    """
    where = "" if split == "test" else f" on {split}"
    if teacher is None:
        score = "" if student.score is None else f"{split} {measure.words} {number(student.score)}"
        return _sentence(subject, [*_sizes(student), score])
    owner, name = ("the teacher's", "the teacher") if teachers == 1 else (f"the {teachers} teachers'", "")
    sizes = _relative_sizes(student, teacher, owner)
    if sizes:
        name = "it" if teachers == 1 else "their ensemble"
    else:
        sizes, name = _sizes(student), name or f"the ensemble of {teachers} teachers"
    return _sentence(subject, [*sizes, _distance(student.score, teacher.score, measure, name, where)])


def _sentence(subject: str, parts: list[str]) -> str:
    return f"{subject}: {', '.join(filter(None, parts))}."


def _sizes(model: Model) -> list[str]:
    parameters = "" if model.parameters is None else counted(model.parameters, "parameter", ",")
    return [parameters, "" if model.file_bytes is None else f"{file_size(model.file_bytes)} on disk"]


def _relative_sizes(student: Model, teacher: Model, owner: str) -> list[str]:
    """Return the sizes of a student as shares of the teacher's; empty if one is not known."""
    if not (student.parameters and teacher.parameters and student.file_bytes and teacher.file_bytes):
        return []
    share, smaller = student.parameters / teacher.parameters, teacher.file_bytes / student.file_bytes
    parameters = f"{two_digits(100 * share)} % of" if share < 1 else f"{two_digits(share)} times"
    if 1 / EQUALLY_LARGE < smaller < EQUALLY_LARGE:
        file = "as large on disk"
    else:
        file = f"{two_digits(max(smaller, 1 / smaller))} times {'smaller' if smaller > 1 else 'larger'} on disk"
    return [f"{parameters} {owner} parameters" if share != 1 else f"all of {owner} parameters", file]


def _distance(score: float | None, other: float | None, measure: Measure, name: str, where: str) -> str:
    """Return how far a score lies above or below another, that of `name`; empty if one is not known."""
    if score is None or other is None:
        return ""
    difference = score - other
    if abs(difference) <= ROUNDING:
        return f"equal to {name} in {measure.words}{where}"
    of = "" if measure is ACCURACY else f" of {measure.words}"
    side = "above" if difference > 0 else "below"
    judged = "" if measure.higher_is_better else (" (better)" if difference < 0 else " (worse)")
    return f"{_size(difference, measure)} {measure.unit}{of} {side} {name}{where}{judged}"


def _size(difference: float, measure: Measure) -> str:
    """Return the size of a difference without its sign, to a tenth of a point."""
    if measure.unit == "points" and abs(100 * difference) >= 0.1:
        return f"{abs(100 * difference):.1f}"
    return (points(difference) if measure.unit == "points" else f"{difference:+.2g}").lstrip("+-")


def amount(difference: float, measure: Measure) -> str:
    """Return a difference of test scores in words: `-0.33 points of test accuracy`."""
    return f"{measure.signed(difference)} {measure.unit} of test {measure.words}{_which_way(measure)}"


def _which_way(measure: Measure) -> str:
    return "" if measure.higher_is_better else ", where lower is better"


def of_one_seed(difference: float, measure: Measure, split: str) -> str:
    """Return in a sentence how the distilled student of one seed differs from the baseline: that is no verdict."""
    of = "" if measure is ACCURACY else f" of {measure.words}"
    found = f"{measure.signed(difference)} {measure.unit}{of} on {split} against the same student without a teacher"
    return f"Distillation: {found}{_which_way(measure)} (one seed, no verdict)."


def interval_words(test_set: Interval, new: Interval | None, scope: Scope, measure: Measure) -> str:
    """Return the interval on this test set and that for new examples, the one of the scope first."""
    if new is None:
        return f"95 % interval {_range(test_set, measure)}"
    here, elsewhere = _range(test_set, measure), _range(new, measure)
    if here == elsewhere:
        return f"95 % interval {here} on this test set and for new examples"
    both = [f"{here} on this test set", f"{elsewhere} for new examples"]
    return f"95 % interval {', '.join(both if scope == 'test_set' else reversed(both))}"


def _range(interval: Interval, measure: Measure) -> str:
    return f"{measure.signed(interval['low'])} to {measure.signed(interval['high'])}"


def of_examples(trained_on: Mapping[str, Mapping[str, int]]) -> str:
    """Return in a sentence on how many labelled and unlabelled examples each arm was trained; empty for no arm."""
    arms: dict[str, list[str]] = {}
    for arm, counts in trained_on.items():
        words = " and ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        arms.setdefault(words, []).append(arm)
    parts = [f"{', '.join(of)}: {words}" for words, of in arms.items()]
    return f"Training examples of {'; '.join(parts)}; as many updates in an epoch for each." if parts else ""


def short_verdict(
    difference: Difference,
    start: str,
    against: str,
    measure: Measure,
    new: Interval | None = None,
    scope: Scope = "test_set",
) -> str:
    """Return a verdict in one sentence: what was found, the interval, and how many seeds it rests on.

    Args:
        difference: the paired differences.
        start: the beginning: `Inconclusive`, or which arm is better.
        against: what the second arm is.
        measure: what is compared.
        new: the interval for new examples, if it is known.
        scope: which interval the verdict is about.
    """
    mean = f"{measure.signed(difference['mean'])} {measure.unit} of test {measure.words}"
    found = f"{start}: {mean} against {against}{_which_way(measure)}"
    seeds = counted(len(difference["values"]), "seed")
    low, high = difference["ci_low"], difference["ci_high"]
    if low is None or high is None:
        few = len(difference["values"]) < LEAST_SEEDS
        why = f"an interval needs at least {LEAST_SEEDS}" if few else "the same in each, so that there is no interval"
        return f"{found} ({seeds}; {why})."
    test_set = Interval(low=low, high=high)
    deciding = new if new and scope == "new_examples" else test_set
    of = "" if new is None else " for new examples" if deciding is new else " on this test set"
    interval = f"95 % interval{of} {_range(deciding, measure)}, {seeds}"
    if start != INCONCLUSIVE:
        return f"{found} ({interval})."
    only_here = deciding is new and low * high > 0
    rest = f"; on this test set alone {_range(test_set, measure)}" if only_here else ""
    return f"{found} ({interval}: it includes zero{rest})."
