"""What an experiment was made from, and the commands that reproduce it."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kdistill import datasets
from kdistill.config.formula import of_distillation
from kdistill.core.errors import KdistillError, OutputError
from kdistill.core.formatting import counted, setting
from kdistill.evaluation import transfer_set
from kdistill.evaluation.headline import of_examples
from kdistill.recipes.command_lines import options_of
from kdistill.report.collect.scores import Scores
from kdistill.report.collect.subject import Document, Subject
from kdistill.report.content.provenance import Data, Objective, Provenance, RunRow
from kdistill.runs.survey import FoundRun


def collect_data(subject: Subject) -> Data:
    """Return what is known of the data, from the runs and, where it can be read, from the data itself."""
    keys = subject.config.data
    about: Mapping[str, Any] = next((found["data"] for found in _manifests(subject) if "data" in found), {})
    splits, _ = subject.data
    static = () if keys.is_own else datasets.static_shape(keys.dataset)[0]
    return Data(
        dataset=keys.dataset,
        shape=tuple(splits.shape if splits else static),
        examples=about.get("examples", {}),
        validation=_validation(keys.validation),
        fingerprint=about.get("fingerprint"),
        split_fingerprint=about.get("split_fingerprint"),
    )


def class_names(subject: Subject) -> Sequence[str]:
    """Return the names of the classes, the index being the label; none if they are not known."""
    for manifest in _manifests(subject):
        if names := manifest.get("data", {}).get("classes"):
            return list(names)
    splits, _ = subject.data
    return list(splits.classes) if splits else []


def _manifests(subject: Subject) -> Iterable[Document]:
    """Yield the manifests of the usable runs, then those of all others that can be read."""
    yield from subject.manifests
    experiment = subject.session.experiment
    for seed in experiment.seeds():
        for arm in subject.runs:
            try:
                if manifest := experiment.run(arm, seed).manifest:
                    yield manifest
            except OutputError:
                continue


def _validation(share: float | str) -> str:
    if share == "test":
        return "the test split itself, so that test scores are optimistically biased"
    return "the data's own validation split" if share == "given" else f"{100 * float(share):g} % of train"


def collect_objective(subject: Subject, scores: Scores | None = None) -> Objective:
    """Return what the distilled student minimises, and with `scores` what became of classes that were left out."""
    keys = subject.config.distill
    first = {arm: next(iter(runs.values())).result or {} for arm, runs in subject.runs.items() if runs}
    students = [first[arm] for arm in ("distilled", "baseline") if arm in first]
    weights = next((result["class_weights"] for result in students if "class_weights" in result), {})
    trained_on = {arm: result["trained_on"] for arm, result in first.items() if "trained_on" in result}
    data = subject.config.data
    formula = of_distillation(keys, subject.teachers_together, data.class_weights, data.task, data.has_unlabelled)
    formula += subject.config.formula_end("distilled")
    sentences = _transfer_set(subject, scores) if scores else []
    return Objective(formula, keys, subject.config.student.l2, weights, data.task, of_examples(trained_on), sentences)


def _transfer_set(subject: Subject, scores: Scores) -> list[str]:
    """Return sentences on the classes that the transfer set leaves out, and on biases that were moved; often none."""
    keys, names = subject.config.distill, class_names(subject)
    arms = {arm: list(of_seed.values()) for arm, of_seed in scores.by_arm.items()}
    found = transfer_set.scored(arms, names, keys.left_out(names))
    return transfer_set.sentences(found) if found else []


def collect_provenance(subject: Subject) -> Provenance:
    """Return the runs, and how to reproduce them."""
    try:
        text = (subject.session.experiment.folder / "config.yaml").read_text(encoding="utf-8")
    except OSError as error:
        text = f"# config.yaml cannot be read: {error.strerror or error}\n"
    versions: dict[str, dict[str, None]] = {}
    machines = dict[str, None]()
    for manifest in _manifests(subject):
        for name, version in manifest.get("versions", {}).items():
            versions.setdefault(name, {})[version] = None
        if threads := manifest.get("threads"):
            machines[f"{counted(threads, 'thread')} on {manifest.get('device', 'CPU')}"] = None
    return Provenance(
        commands=_commands(subject),
        config=text,
        versions={name: list(found) for name, found in versions.items()},
        machine="; ".join(machines),
        runs=[_row(subject, found) for found in _found_runs(subject)],
    )


def _commands(subject: Subject) -> list[str]:
    """Return the commands that make the runs, or complete them."""
    options, seeds = options_of(subject.home), subject.session.experiment.seeds()
    is_sweep, commands = bool(subject.described["cells"]), []
    if is_sweep:
        document = subject.sweep or {}
        axes = [f"{key}={','.join(map(setting, values))}" for key, values in document.get("axes", {}).items()]
        grid = "".join(f" --grid {shlex.quote(axis)}" for axis in axes)
        commands.append(f"kdistill sweep {options}{grid}{_seeds(document.get('seeds', seeds))}")
    if not is_sweep or not (subject.is_winner or subject.is_unfinished_sweep):
        commands += _training_commands(subject, options, seeds)
    return [*commands, f"kdistill report {shlex.quote(str(subject.home.experiment.folder))}"]


def _training_commands(subject: Subject, options: str, seeds: Sequence[int]) -> list[str]:
    named = {seed: _teacher_options(subject, seed) for seed in seeds}
    if any(named.values()) and not subject.config.distill.teachers:  # teachers named on the command line
        commands = list[str]()
        for seed, teachers in named.items():
            arms = ["baseline", "distill"] if teachers else ["train-teacher", "baseline", "distill"]
            commands += [f"kdistill {arm} {options} --seed {seed}" for arm in arms]
            commands[-1] += teachers
        return commands
    trained_here = subject.config.teacher.members > 1
    of = {
        seed: teacher.run.seed if teacher.run else teacher.own_seed if trained_here else None
        for seed, teacher in subject.teachers.items()
    }
    taught = {seed: teacher for seed, teacher in of.items() if teacher is not None}
    others = list(dict.fromkeys(taught.values()))
    shared = _seeds(others, "--teacher-seeds") if any(seed != of for seed, of in taught.items()) else ""
    return [f"kdistill reproduce {options}{_seeds(list(taught) if shared else seeds)}{shared}"]


def _teacher_options(subject: Subject, seed: int) -> str:
    """Return the options that name a student's teachers; empty for the experiment's own teacher."""
    teacher = subject.teachers.get(seed)
    if teacher is None or subject.config.teacher.members > 1:
        return ""
    if teacher.run and teacher.run.folder.is_relative_to(subject.home.experiment.folder):
        return ""
    paths = [teacher.run.model_file] if teacher.run else teacher.paths
    return "".join(f" --teacher{'-logits' if p.suffix == '.npz' else ''} {shlex.quote(str(p))}" for p in paths)


def _seeds(seeds: Sequence[int], option: str = "--seeds") -> str:
    """Return an option with a list of seeds; a single one ends with a comma, since it would be a number of seeds."""
    return f" {option} {','.join(map(str, seeds))}{',' if len(seeds) == 1 else ''}" if seeds else ""


def _found_runs(subject: Subject) -> list[FoundRun]:
    if not subject.is_winner:
        return subject.described["runs"]
    name = subject.session.experiment.folder.name
    return next((cell["runs"] for cell in subject.described["cells"] if cell["cell"] == name), [])


def _row(subject: Subject, found: FoundRun) -> RunRow:
    run = subject.session.experiment.run(found["arm"], found["seed"])
    try:
        manifest, result = run.manifest or {}, run.result or {}
    except KdistillError:
        return RunRow(found)
    return RunRow(
        found,
        best_epoch=result.get("best_epoch"),
        seconds=result.get("run_info", {}).get("seconds"),
        finished=manifest.get("finished"),
        model_sha256=manifest.get("files", {}).get("model.keras"),
    )
