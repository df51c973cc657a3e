"""What an experiment was made from, and how to get it again."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kdistill import datasets
from kdistill.core.errors import KdistillError, OutputError
from kdistill.core.formatting import counted, setting
from kdistill.recipes.session import Session
from kdistill.report.collect.subject import Document, Subject
from kdistill.report.content.report import Data, Objective, Provenance, RunRow
from kdistill.runs import Result, Run
from kdistill.runs.survey import FoundRun


def data(subject: Subject) -> Data:
    """Return what is known of the data, from the runs and, where it can be read, from itself."""
    keys = subject.config.data
    about: Mapping[str, Any] = next((found["data"] for found in _manifests(subject) if "data" in found), {})
    splits, _ = subject.data
    shape: Sequence[int] = splits.shape if splits else ()
    if not shape and not keys.is_own:
        shape = datasets.static_shape(keys.dataset)[0]
    return Data(
        dataset=keys.dataset,
        shape=tuple(shape),
        examples=about.get("examples", {}),
        validation=_validation(keys.validation),
        fingerprint=about.get("fingerprint"),
        split_fingerprint=about.get("split_fingerprint"),
    )


def class_names(subject: Subject) -> Sequence[str]:
    """Return the names of the classes, the index being the label; none where they are not known."""
    for manifest in _manifests(subject):
        if names := manifest.get("data", {}).get("classes"):
            return list(names)
    splits, _ = subject.data
    return list(splits.classes) if splits else []


def _manifests(subject: Subject) -> Iterable[Document]:
    """Yield the manifests of the runs that count, then those of runs that are not finished."""
    yield from subject.manifests
    experiment = subject.session.experiment
    for seed in experiment.seeds():
        for arm in subject.runs:
            try:
                if manifest := experiment.run(arm, seed).manifest:
                    yield manifest
            except OutputError:  # what cannot be read tells nothing
                continue


def _validation(share: float | str) -> str:
    """Return in words which examples choose epochs."""
    if share == "test":
        return "the test split itself, which flatters"
    return "a part that the data bring" if share == "given" else f"{100 * float(share):g} % of train, held back"


def objective(subject: Subject) -> Objective:
    """Return what the distilled student minimises."""
    keys = subject.config.distill
    counts = [len(teacher.paths) for teacher in subject.taught.values() if not teacher.run]
    return Objective(keys.formula(max([*counts, len(keys.teachers), 1])), keys, subject.config.student.l2)


def provenance(subject: Subject) -> Provenance:
    """Return how to get the same again."""
    try:
        text = (subject.session.experiment.folder / "config.yaml").read_text(encoding="utf-8")
    except OSError as error:
        text = f"# config.yaml cannot be read: {error.strerror or error}\n"
    versions: dict[str, dict[str, None]] = {}
    for manifest in _manifests(subject):
        for name, version in manifest.get("versions", {}).items():
            versions.setdefault(name, {})[version] = None
    return Provenance(
        commands=_commands(subject),
        config=text,
        versions={name: list(found) for name, found in versions.items()},
        machine=_machine(subject),
        runs=[_row(subject, run) for run in _described(subject)],
    )


def _machine(subject: Subject) -> str:
    found = dict[str, None]()
    for manifest in _manifests(subject):
        threads = manifest.get("threads")
        if threads:
            found[f"{counted(threads, 'thread')} on {manifest.get('device', 'CPU')}"] = None
    return "; ".join(found)


def options_of(session: Session) -> str:
    """Return the options that name an experiment to a command."""
    folder = session.experiment.folder
    config, root = shlex.quote(str(folder / "config.yaml")), shlex.quote(str(folder.parent))
    return f"-c {config} --output-dir {root}"


def _commands(subject: Subject) -> list[str]:
    """Return the commands that make the runs, or complete them."""
    options, seeds = options_of(subject.home), subject.session.experiment.seeds()
    report = f"kdistill report {shlex.quote(str(subject.home.experiment.folder))}"
    commands = []
    if subject.described["cells"]:
        grid, of_cells = "", seeds
        if subject.sweep:
            of_cells = subject.sweep.get("seeds", seeds)
            axes = subject.sweep.get("axes", {})
            grid = "".join(f" --grid {shlex.quote(_axis(key, values))}" for key, values in axes.items())
        commands.append(f"kdistill sweep {options}{grid}{_seeds(of_cells)}")
    if not subject.described["cells"] or not (subject.is_winner or subject.is_unfinished_sweep):
        commands += _making(subject, options, seeds)
    return [*commands, report]


def _making(subject: Subject, options: str, seeds: Sequence[int]) -> list[str]:
    named = {seed: _named(subject, seed) for seed in seeds}
    if any(named.values()) and not subject.config.distill.teachers:  # on the command line
        commands = list[str]()
        for seed, teachers in named.items():
            arms = ["baseline", "distill"] if teachers else ["train-teacher", "baseline", "distill"]
            commands += [f"kdistill {arm} {options} --seed {seed}" for arm in arms]
            commands[-1] += teachers
        return commands
    taught = {seed: teacher.run.seed for seed, teacher in subject.taught.items() if teacher.run}
    others = list(dict.fromkeys(taught.values()))
    shared = _seeds(others, "--teacher-seeds") if any(seed != of for seed, of in taught.items()) else ""
    return [f"kdistill reproduce {options}{_seeds(list(taught) if shared else seeds)}{shared}"]


def _named(subject: Subject, seed: int) -> str:
    """Return the options that name a student's teachers, if they are not the experiment's own."""
    teacher = subject.taught.get(seed)
    if teacher is None or (teacher.run and teacher.run.folder.is_relative_to(subject.home.experiment.folder)):
        return ""
    paths = [teacher.run.model_file] if teacher.run else teacher.paths
    return "".join(f" --teacher{'-logits' if p.suffix == '.npz' else ''} {shlex.quote(str(p))}" for p in paths)


def _seeds(seeds: Sequence[int], option: str = "--seeds") -> str:
    """Return an option with a list of seeds; one alone gets a comma, without which it would be how many."""
    return f" {option} {','.join(map(str, seeds))}{',' if len(seeds) == 1 else ''}" if seeds else ""


def _axis(key: str, values: Sequence[Any]) -> str:
    return f"{key}={','.join(map(setting, values))}"


def _described(subject: Subject) -> list[FoundRun]:
    if not subject.is_winner:
        return subject.described["runs"]
    name = subject.session.experiment.folder.name
    return next((cell["runs"] for cell in subject.described["cells"] if cell["cell"] == name), [])


def _row(subject: Subject, described: FoundRun) -> RunRow:
    run = subject.session.experiment.run(described["arm"], described["seed"])
    manifest, result = _read(run)
    return RunRow(
        arm=run.arm,
        seed=run.seed,
        state=described["state"],
        problem=described["problem"],
        epochs=described["epoch"],
        best_epoch=result.get("best_epoch"),
        seconds=result.get("run_info", {}).get("seconds"),
        finished=manifest.get("finished"),
        model_sha256=manifest.get("files", {}).get("model.keras"),
    )


def _read(run: Run) -> tuple[Document, Result]:
    try:
        return run.manifest or {}, run.result or {}
    except KdistillError:
        return {}, {}
