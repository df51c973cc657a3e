"""Two experiments side by side: in which config keys they differ, what each came to, and whether that is a difference.

Everything is read from their folders; nothing is computed on models or data, and no TensorFlow is started.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from kdistill import config as configs
from kdistill.evaluation import statistics
from kdistill.evaluation.statistics import Summary
from kdistill.evaluation.verdict import Answers, Contrast, compare_pairs
from kdistill.evaluation.verdict import Pair as TestedPair
from kdistill.runs import ARMS, Experiment, Run, ScoresOnTest, correct_answers, own_scores, survey
from kdistill.runs.survey import not_usable

Document = dict[str, Any]

B_AGAINST_A = Contrast("b", "a", ("better", "B is better"), ("worse", "B is worse"))
MEASURES = ("accuracy", "nll", "ece", "agreement")
SCORED_ON_TEST = (
    "early stopping chose the epoch on the test split (data.validation: test), so test scores are optimistically biased"
)


@dataclass(frozen=True)
class Scored:
    """A complete run that was scored.

    Attributes:
        scores: on the test split.
        manifest: of the run.
        weights: the fingerprint of the model's weights.
        tested: its answers on the test split.
    """

    scores: ScoresOnTest
    manifest: Document
    weights: str
    tested: Answers


class Pair(NamedTuple):
    """The runs of one seed in both experiments."""

    seed: int
    a: Scored
    b: Scored


@dataclass
class Side:
    """One of the two experiments.

    Attributes:
        letter: A or B.
        folder: of the experiment.
        config: what its config.yaml says.
        arms: of each arm, by seed, the runs that count.
        warnings: which others there are, and why they do not count.
    """

    letter: str
    folder: Path
    config: configs.Config
    arms: dict[str, dict[int, Scored]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Named(TypedDict):
    """An experiment."""

    experiment: str
    folder: str


class KeyDifference(TypedDict):
    """A config key, and its value on both sides; None where it is not set."""

    key: str
    a: Any
    b: Any


class ScoredArm(TypedDict):
    """The scored runs of one arm on one side, on the test split."""

    seeds: list[int]
    accuracy: Summary
    nll: Summary | None
    ece: Summary | None
    agreement: Summary | None
    parameters: int
    file_bytes: int


class ComparedArm(TypedDict):
    """One arm on both sides."""

    a: ScoredArm | None  # None without a scored run
    b: ScoredArm | None
    paired: Document | None  # a `Verdict`, and whether both have the `same_models`
    why_not: str | None  # where nothing can be paired
    only_a: list[int]  # seeds without a partner
    only_b: list[int]


class Comparison(TypedDict):
    """Two experiments side by side."""

    a: Named
    b: Named
    config: list[KeyDifference]  # keys of the resolved configs that differ, the name apart
    arms: dict[str, ComparedArm]
    warnings: list[str]


def compare(first: Path, second: Path, arms: Sequence[str] = ARMS) -> Comparison:
    """Compare two experiments; differences are those of the second, B, against the first, A.

    Args:
        first: the folder of A.
        second: the folder of B.
        arms: which arms to compare.

    Raises:
        ConfigError: the config of one is not valid.
    """
    sides = [_side(letter, folder, arms) for letter, folder in (("A", first), ("B", second))]
    compared = {arm: _arm(arm, sides[0].arms[arm], sides[1].arms[arm]) for arm in arms}
    given = [side.letter for side in sides if side.config.distill.teachers and not side.arms.get("teacher")]
    if given and "teacher" in arms and not compared["teacher"]["paired"]:
        of = "both have teachers" if len(given) == 2 else f"{given[0]} has teachers"
        compared["teacher"]["why_not"] = f"{of} from files, which are no runs that could be paired"
    warnings = [warning for side in sides for warning in side.warnings]
    warnings += _about_selection(sides) + _about_splits(sides, arms) + _about_versions(sides)
    warnings += _about_unpaired(compared)
    a, b = (Named(experiment=side.config.name, folder=str(side.folder)) for side in sides)
    return {
        "a": a,
        "b": b,
        "config": _differences(*(configs.resolved(side.config) for side in sides)),
        "arms": compared,
        "warnings": warnings,
    }


def _side(letter: str, folder: Path, arms: Sequence[str]) -> Side:
    side = Side(letter, folder, configs.load(folder / "config.yaml"))
    experiment = Experiment(folder)
    for arm in arms:
        found = (experiment.run(arm, seed) for seed in experiment.seeds())
        scored = {run.seed: _scored(side, run) for run in found if run.folder.is_dir()}
        side.arms[arm] = {seed: one for seed, one in scored.items() if one is not None}
    return side


def _scored(side: Side, run: Run) -> Scored | None:
    """Return a run with its scores; where it does not count, None, with a warning that says why."""
    name = f"{side.letter}: {run.arm} seed {run.seed}"
    manifest, scores = run.manifest, own_scores(run)
    if problem := not_usable(side.config, run):
        side.warnings.append(f"{name} {problem}; it is left out.")
        return None
    if not scores or not manifest:
        again = f"kdistill evaluate -c {side.folder / 'config.yaml'} --output-dir {side.folder.parent}"
        side.warnings.append(f"{name} was not scored on test and is left out: run `{again} --seed {run.seed}`.")
        return None
    tested = Answers(scores["accuracy"], correct_answers(run))
    return Scored(scores, manifest, (run.result or {})["weights_sha256"], tested)


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[KeyDifference]:
    a, b = survey.flattened(first), survey.flattened(second)
    keys = [key for key in dict.fromkeys([*a, *b]) if key != "name" and a.get(key) != b.get(key)]
    return [{"key": key, "a": a.get(key), "b": b.get(key)} for key in keys]


def _arm(arm: str, a: Mapping[int, Scored], b: Mapping[int, Scored]) -> ComparedArm:
    seeds = [seed for seed in a if seed in b]
    only_a, only_b = sorted(set(a) - set(b)), sorted(set(b) - set(a))
    row = ComparedArm(a=_summary(a), b=_summary(b), paired=None, why_not=None, only_a=only_a, only_b=only_b)
    if not a or not b:
        there = "A" if a else "B" if b else "neither"
        row["why_not"] = "neither has a run that was scored" if there == "neither" else f"only {there} has scored runs"
    elif not seeds:
        row["why_not"] = "they have no seed in common"
    elif other := _other_test_split([a[seed].manifest for seed in seeds], [b[seed].manifest for seed in seeds]):
        row["why_not"] = f"they were not scored on the same examples: {other}"
    else:
        row["paired"] = _paired(arm, [Pair(seed, a[seed], b[seed]) for seed in seeds])
    return row


def _summary(scored: Mapping[int, Scored]) -> ScoredArm | None:
    if not scored:
        return None
    scores = [one.scores for one in scored.values()]
    summary: Any = {"seeds": list(scored), **statistics.summaries(scores, *MEASURES)}
    return summary | {"parameters": scores[0]["parameters"], "file_bytes": scores[0]["file_bytes"]}


def _test_split(manifest: Mapping[str, Any]) -> Document:
    """Return what decides which examples the test split has.

    The fingerprint is of all data, test and train; of the user's own, the test split may be a share that was drawn.
    """
    data, spec = manifest["data"], manifest["spec"]["data"]
    drawn = {"data.test": spec["test"], "data.split_seed": spec["split_seed"]} if spec.get("test") else {}
    return {
        "data.dataset": spec["dataset"],
        "examples": data["examples"]["test"],
        "classes": len(data["classes"]),
        **drawn,
        "fingerprint": data["fingerprint"],
    }


def _other_test_split(a: Sequence[Document], b: Sequence[Document]) -> str | None:
    """Return in what the test splits of runs differ, or None where they are the same."""
    for one, other in zip(map(_test_split, a), map(_test_split, b), strict=True):
        names = [key for key in dict.fromkeys([*one, *other]) if one.get(key) != other.get(key)]
        # The same examples under another name of the data set are the same.
        if set(names) - {"data.dataset"}:
            told = [key for key in names if key != "fingerprint"]
            listed = "; ".join(f"{key} is {_shown(one.get(key))} in A, {_shown(other.get(key))} in B" for key in told)
            return listed or "examples, labels or class names of the data differ"
    return None


def _shown(value: Any) -> str:
    return "not set" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _paired(arm: str, pairs: Sequence[Pair]) -> Document:
    """Return what the pairs say of one arm, B against A: a verdict, and whether they have the `same_models`."""
    tested = [TestedPair(pair.seed, pair.b.tested, pair.a.tested) for pair in pairs]
    verdict = compare_pairs(tested, _about(arm, pairs), B_AGAINST_A)
    verdict = replace(verdict, about=f"{verdict.about} {_in_common(arm, pairs[0])}")
    same = all(pair.a.weights == pair.b.weights for pair in pairs)
    if same:
        of = "both have the same weights" + ("" if len(pairs) == 1 else f" in all {len(pairs)} seeds")
        verdict = replace(verdict, sentence=f"The same models: {of}.")
    return verdict.to_json(same_models=same)


def _about(arm: str, pairs: Sequence[Pair]) -> str:
    """Return what the interval speaks about."""
    shared = min(len(set(map(_taught_by, side))) for side in ([p.a for p in pairs], [p.b for p in pairs])) < len(pairs)
    these = " and these teachers" if arm == "distilled" and shared else ""
    return (
        f"The interval is about training seeds, for this test set{these}: "
        f"what other seeds would give, not other test images{' or other teachers' if these else ''}."
    )


def _in_common(arm: str, pair: Pair) -> str:
    """Return what a seed of A has in common with that of B."""
    role = "teacher" if arm == "teacher" else "student"
    apart = [name for name, differs in _apart(role, pair.a, pair.b).items() if differs]
    if not apart:
        return "Runs of one seed began with the same weights and saw the same batches."
    return f"Runs of one seed have their number in common, but other {' and other '.join(apart)}."


def _taught_by(scored: Scored) -> str | None:
    return scored.manifest["spec"].get("teacher_weights")


def _apart(role: str, a: Scored, b: Scored) -> dict[str, bool]:
    """Return which of the things that a seed decides are not the same on both sides."""
    one, other = a.manifest, b.manifest
    return {
        "initial weights": one["spec"][role] != other["spec"][role]
        or one["data"]["classes"] != other["data"]["classes"],
        "batches": one["spec"]["training"]["batch_size"] != other["spec"]["training"]["batch_size"]
        or one["data"]["split_fingerprint"] != other["data"]["split_fingerprint"],
    }


def _about_selection(sides: Sequence[Side]) -> list[str]:
    on_test = [side.letter for side in sides if side.config.data.validation == "test"]
    if len(on_test) == 1:
        return [f"In {on_test[0]} alone {SCORED_ON_TEST}: the comparison is not fair."]
    return [f"In both {SCORED_ON_TEST}."] if on_test else []


def _about_splits(sides: Sequence[Side], arms: Sequence[str]) -> list[str]:
    """Return a warning where the same data are divided otherwise."""
    data = [[one.manifest["data"] for arm in arms for one in side.arms[arm].values()][:1] for side in sides]
    if not all(data):
        return []
    (a,), (b,) = data
    if a["fingerprint"] != b["fingerprint"] or a["split_fingerprint"] == b["split_fingerprint"]:
        return []
    return ["The data are divided otherwise: the runs were trained, and their epochs chosen, on other examples."]


def _about_versions(sides: Sequence[Side]) -> list[str]:
    versions = [dict[str, set[str]]() for _ in sides]
    for side, found in zip(sides, versions, strict=True):
        for one in (one for arm in side.arms.values() for one in arm.values()):
            for name, version in one.manifest.get("versions", {}).items():
                found.setdefault(name, set()).add(version)
    a, b = versions
    changed = [
        f"{name} {', '.join(sorted(a[name]))} (A), {', '.join(sorted(b[name]))} (B)"
        for name in a
        if name in b and a[name] != b[name]
    ]
    return [f"Made with other versions: {'; '.join(changed)}."] if changed else []


def _about_unpaired(compared: Mapping[str, ComparedArm]) -> list[str]:
    """Return a warning of the seeds that are in one of the two alone; arms that lack the same ones share it."""
    arms: dict[str, list[str]] = {}
    for arm, row in compared.items():
        alone = [
            f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))} of {letter}"
            for letter, seeds in (("A", row["only_a"]), ("B", row["only_b"]))
            if seeds
        ]
        if row["a"] and row["b"] and alone:
            arms.setdefault("; ".join(alone), []).append(arm)
    return [f"{', '.join(of)}: without a partner in the other, and not compared: {who}." for who, of in arms.items()]
