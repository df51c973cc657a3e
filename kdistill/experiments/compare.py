"""`compare A B`: two experiments side by side: their config keys, their results, and whether these differ.

Everything is read from their folders: no model is run, no data is read, and TensorFlow is not started.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

from kdistill import config as configs
from kdistill.core.controls import is_taught, needed_by
from kdistill.core.errors import DamagedError
from kdistill.evaluation import statistics
from kdistill.evaluation.measures import ACCURACY, MEASURES, Measure, imbalance, lacks
from kdistill.evaluation.verdict import Answers, Contrast, Pair, compare_pairs
from kdistill.runs import ARMS, EVERY_ARM, Experiment, Run, ScoresOnTest, answers_of, own_scores, survey
from kdistill.runs.experiment import CHOSEN_HERE, SUMMARY_FILE
from kdistill.runs.scores import damage as scores_damage
from kdistill.runs.specification import START
from kdistill.runs.survey import not_usable

Document = dict[str, Any]

B_AGAINST_A = Contrast("b", "a", ("better", "B is better"), ("worse", "B is worse"), "A")
ON_TEST = (
    "early stopping chose the epoch on the test split (data.validation: test), so test scores are optimistically biased"
)


@dataclass(frozen=True)
class Scored:
    """A complete run that was scored on the test split.

    Attributes:
        scores: on the test split.
        answers: for each test example whether it was right, and the score by which A and B are compared.
        manifest: of the run.
        weights: the fingerprint of the model's weights.
    """

    scores: ScoresOnTest
    manifest: Document
    weights: str
    answers: Answers


@dataclass
class Side:
    """One of the two experiments.

    Attributes:
        letter: A or B.
        folder: of the experiment.
        config: of its config.yaml.
        measure: by which the two are compared.
        arms: for each arm, by seed, the runs that are compared.
        warnings: which other runs it has, and why they are left out.
    """

    letter: str
    folder: Path
    config: configs.Config
    measure: Measure
    arms: dict[str, dict[int, Scored]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class ComparedArm(TypedDict):
    """One arm on both sides."""

    a: Document | None  # `seeds`, a `Summary` for each measure, `imbalance`, sizes; None without a scored run
    b: Document | None
    paired: Document | None  # a `Verdict`, and whether both have the `same_models`
    why_not: str | None  # why nothing is paired
    only_a: list[int]  # seeds that B does not have
    only_b: list[int]


class Comparison(TypedDict):
    """Two experiments side by side."""

    a: dict[str, str]  # `experiment`, `folder`
    b: dict[str, str]
    measure: str  # by which they are compared
    config: list[Document]  # `key`, its values `a` and `b`, for each key but `name` that differs; None where not set
    arms: dict[str, ComparedArm]
    warnings: list[str]


def compare(first: Path, second: Path, only: Sequence[str] = ()) -> Comparison:
    """Compare the experiments in two folders, all arms or some; differences are the second, B, minus the first, A.

    Controls are compared like the other arms, if one of the two has them.

    Of a sweep, whose own folder has no distilled runs, the winner is compared, which was scored on test.

    Raises:
        ConfigError: the config of one is not valid.
    """
    (first, about_a), (second, about_b) = map(_or_winner, (first, second), "AB")
    loaded = [configs.load(folder / "config.yaml") for folder in (first, second)]
    arms = [arm for arm in EVERY_ARM if _is_shown(arm, loaded, only)]
    damaged = list[str]()
    by = [_compared_by(*of, damaged) for of in zip((first, second), loaded, strict=True)]
    measure = by[0] if by[0] is by[1] else ACCURACY
    a, b = sides = [Side(*of, measure) for of in zip("AB", (first, second), loaded, strict=True)]
    for side in sides:
        _add_arms(side, arms)
    compared = {arm: _arm(arm, a.arms[arm], b.arms[arm], measure) for arm in arms}
    if "teacher" in arms and not compared["teacher"]["paired"] and (why := _why_no_teachers(sides)):
        compared["teacher"]["why_not"] = why
    warnings = [
        *about_a,
        *about_b,
        *damaged,
        *a.warnings,
        *b.warnings,
        *_about_measure(by),
        *_about_selection(sides),
        *_about_splits(sides, arms),
    ]
    return {
        "a": {"experiment": a.config.name, "folder": str(a.folder)},
        "b": {"experiment": b.config.name, "folder": str(b.folder)},
        "measure": measure.name,
        "config": _differences(configs.resolved(a.config), configs.resolved(b.config)),
        "arms": compared,
        "warnings": [*warnings, *_about_versions(sides), *_about_unpaired(compared)],
    }


def _is_shown(arm: str, loaded: Sequence[configs.Config], only: Sequence[str]) -> bool:
    """Whether an arm is compared: one of some, or else any but a control that neither config has."""
    return arm in only if only else arm in ARMS or any(arm in config.controls for config in loaded)


def _why_no_teachers(sides: Sequence[Side]) -> str | None:
    """Return why teachers are not paired: a file is no run, and several members are no single one; else None."""
    kinds = [
        ("from files, which are no runs", lambda config: config.distill.teachers),
        ("of several members, which are no single runs", lambda config: config.teacher.members > 1),
    ]
    for kind, has in kinds:
        given = [side.letter for side in sides if has(side.config) and not side.arms.get("teacher")]
        if given:
            return f"{'both have' if len(given) == 2 else f'{given[0]} has'} teachers {kind} that could be paired"
    return None


def _or_winner(folder: Path, letter: str) -> tuple[Path, list[str]]:
    """Return the folder to compare, that of the winner for a sweep, and what has to be said of it."""
    has_own = any(folder.glob("seed-*/distilled"))
    cell = None if has_own else survey.winner(folder)
    if cell is None:
        return folder, []
    return cell, [f"{letter} is the winner of the sweep in {folder}. {CHOSEN_HERE}"]


def _compared_by(folder: Path, config: configs.Config, damaged: list[str]) -> Measure:
    """Return the measure of an experiment's verdict; that of its config where its summary is damaged, which is told."""
    try:
        return Experiment(folder).compared_by(config)
    except DamagedError as error:
        measure = MEASURES[config.verdict.measure]
        damaged.append(f"{folder / SUMMARY_FILE} is damaged: {error}. The config's verdict.measure is {measure.name}.")
        return measure


def _add_arms(side: Side, arms: Sequence[str]) -> None:
    experiment = Experiment(side.folder)
    for arm in arms:
        if arm == "teacher" and side.config.teacher.members > 1:
            side.arms[arm] = {}
            continue
        found = (experiment.run(arm, seed) for seed in experiment.seeds())
        scored = {run.seed: _scored(side, run) for run in found if run.folder.is_dir()}
        side.arms[arm] = {seed: one for seed, one in scored.items() if one is not None}


def _scored(side: Side, run: Run) -> Scored | None:
    """Return a run with its scores; where it is left out, None, with a warning that says why."""
    name = f"{side.letter}: {run.arm} seed {run.seed}"
    manifest, scores = run.manifest, own_scores(run)
    if problem := not_usable(side.config, run):
        side.warnings.append(f"{name} {problem}; it is left out.")
        return None
    if not scores or not manifest or lacks(scores, side.measure):
        again = f"kdistill evaluate -c {side.folder / 'config.yaml'} --output-dir {side.folder.parent}"
        early = f"was scored by an early version, without {side.measure.words}, and"
        unscored = early if scores and manifest else "was not scored on test and"
        if why := scores_damage(run):
            unscored = f"{why}; it"
        side.warnings.append(f"{name} {unscored} is left out: run `{again} --seed {run.seed}`.")
        return None
    answers = answers_of(run, scores, side.measure)
    return Scored(scores, manifest, (run.result or {})["weights_sha256"], answers)


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Document]:
    a, b = survey.flattened(first), survey.flattened(second)
    keys = [key for key in dict.fromkeys([*a, *b]) if key != "name" and a.get(key) != b.get(key)]
    return [{"key": key, "a": a.get(key), "b": b.get(key)} for key in keys]


def _arm(arm: str, a: Mapping[int, Scored], b: Mapping[int, Scored], measure: Measure) -> ComparedArm:
    both = [(seed, a[seed], b[seed]) for seed in a if seed in b]
    only_a, only_b = sorted(set(a) - set(b)), sorted(set(b) - set(a))
    undefined = any(one.answers.score is None for _, *pair in both for one in pair)
    row = ComparedArm(a=_summary(a), b=_summary(b), paired=None, why_not=None, only_a=only_a, only_b=only_b)
    if not a or not b:
        side = "A" if a else "B"
        row["why_not"] = f"only {side} has scored runs" if a or b else "neither has a run that was scored"
    elif not both:
        row["why_not"] = "they have no seed in common"
    elif other := _other_test_split(both):
        row["why_not"] = f"they were not scored on the same examples: {other}"
    elif undefined:
        row["why_not"] = f"{measure.words} is not defined on the test split"
    else:
        row["paired"] = _paired(arm, both, measure)
    return row


def _summary(scored: Mapping[int, Scored]) -> Document | None:
    if not scored:
        return None
    scores = [one.scores for one in scored.values()]
    sizes = {"parameters": scores[0]["parameters"], "file_bytes": scores[0]["file_bytes"]}
    known = [name for name in MEASURES if all(name in of for of in scores)]
    examples = scores[0].get("class_examples")
    found = statistics.summaries(scores, *known, "ece", "agreement")
    return {"seeds": list(scored), **found, "imbalance": imbalance(examples) if examples else None, **sizes}


def _test_split(manifest: Mapping[str, Any]) -> Document:
    """Return what decides which examples the test split has.

    The fingerprint is of all the data, train and test; of the user's own data the test split may be a random share.
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


def _other_test_split(both: Sequence[tuple[int, Scored, Scored]]) -> str | None:
    """Return how the test splits of A and B differ, or None where they are the same."""
    for _, a, b in both:
        one, other = _test_split(a.manifest), _test_split(b.manifest)
        keys = [key for key in dict.fromkeys([*one, *other]) if one.get(key) != other.get(key)]
        if set(keys) - {"data.dataset"}:  # the same examples may have two names
            shown = [key for key in keys if key != "fingerprint"]
            listed = "; ".join(f"{key} is {_shown(one.get(key))} in A, {_shown(other.get(key))} in B" for key in shown)
            return listed or "examples, labels or class names of the data differ"
    return None


def _shown(value: Any) -> str:
    return "not set" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _paired(arm: str, both: Sequence[tuple[int, Scored, Scored]], measure: Measure) -> Document:
    """Return the verdict on one arm, B against A, and whether they have the `same_models`."""
    pairs = [Pair(seed, b.answers, a.answers) for seed, a, b in both]
    verdict = compare_pairs(pairs, _about(arm, both), B_AGAINST_A, measure=measure)
    verdict = replace(verdict, about=f"{verdict.about} {_in_common(arm, *both[0][1:])}")
    same = all(a.weights == b.weights for _, a, b in both)
    if same:
        of = "both have the same weights" + ("" if len(pairs) == 1 else f" in all {len(pairs)} seeds")
        verdict = replace(verdict, sentence=f"The same models: {of}.")
    return verdict.to_json(same_models=same)


def _about(arm: str, both: Sequence[tuple[int, Scored, Scored]]) -> str:
    """Return what the interval covers: seeds, and not the teachers where one of them taught several seeds."""
    teachers = zip(*([side.manifest["spec"].get("teacher_weights") for side in pair[1:]] for pair in both), strict=True)
    shared = needed_by(arm) == "teacher" and any(len(set(of_side)) < len(both) for of_side in teachers)
    given = (" and these teachers", ", not other teachers") if shared else ("", "")
    return f"The interval on this test set is about training seeds{given[0]}: what other seeds would give{given[1]}."


def _in_common(arm: str, a: Scored, b: Scored) -> str:
    """Return which of the things that a seed decides are the same on both sides."""
    role = "teacher" if arm == "teacher" else "student"
    one, other = (
        {
            "initial weights": (of["spec"][role], of["data"]["classes"], _start(arm, of["spec"])),
            "batches": (
                of["spec"]["training"]["batch_size"],
                of["data"]["split_fingerprint"],
                _examples(arm, of["spec"]),
            ),
        }
        for of in (a.manifest, b.manifest)
    )
    apart = [name for name in one if one[name] != other[name]]
    if not apart:
        return "Runs of one seed began with the same weights and saw the same batches."
    return f"Runs of one seed have their number in common, but other {' and other '.join(apart)}."


def _start(arm: str, spec: Mapping[str, Any]) -> Any:
    """Return the weights of the baseline from which a run started; `fresh` if it started from others."""
    return spec.get("baseline_weights" if arm == "continued" else START, "fresh")


def _examples(arm: str, spec: Mapping[str, Any]) -> Document:
    """Return what decides which of the training examples a run saw, where some have no label."""
    data, keys = spec["data"], spec.get("distill", {}) if is_taught(arm) else {"examples": "labelled"}
    which = keys.get("examples", "all")
    sees_all = "all" in (which, spec.get("examples"))
    own = {} if sees_all else {key: data[key] for key in ("labelled", "label_seed") if key in data}
    # Also where an arm sees none of the added examples, they make its epochs longer.
    of = {"of": which if is_taught(arm) else None, "classes": keys.get("classes")}
    return {"unlabelled": data.get("unlabelled"), **of, **own}


def _about_measure(by: Sequence[Measure]) -> list[str]:
    a, b = by
    if a is b:
        return []
    return [f"The verdict of A is about {a.words}, that of B about {b.words}: here they are compared by accuracy."]


def _about_selection(sides: Sequence[Side]) -> list[str]:
    on_test = [side.letter for side in sides if side.config.data.validation == "test"]
    if len(on_test) == 1:
        return [f"In {on_test[0]} alone {ON_TEST}: the comparison is not fair."]
    return [f"In both {ON_TEST}."] if on_test else []


def _about_splits(sides: Sequence[Side], arms: Sequence[str]) -> list[str]:
    data = [[one.manifest["data"] for arm in arms for one in side.arms[arm].values()][:1] for side in sides]
    if not all(data):
        return []
    (a,), (b,) = data
    if a["fingerprint"] != b["fingerprint"] or a["split_fingerprint"] == b["split_fingerprint"]:
        return []
    return ["The data are split differently: the runs were trained, and their epochs chosen, on other examples."]


def _about_versions(sides: Sequence[Side]) -> list[str]:
    a, b = map(_versions, sides)
    changed = [f"{name} {a[name]} (A), {b[name]} (B)" for name in a if name in b and a[name] != b[name]]
    return [f"Made with other versions: {'; '.join(changed)}."] if changed else []


def _versions(side: Side) -> dict[str, str]:
    found = [one.manifest.get("versions", {}) for arm in side.arms.values() for one in arm.values()]
    names = dict.fromkeys(name for versions in found for name in versions)
    return {name: ", ".join(sorted({of[name] for of in found if name in of})) for name in names}


def _about_unpaired(compared: Mapping[str, ComparedArm]) -> list[str]:
    """Return a warning of the seeds that only one of the two has; arms that lack the same seeds share it."""
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
