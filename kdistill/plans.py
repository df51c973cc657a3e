"""What a command would do, without doing it: nothing is trained, scored, downloaded or written.

Whatever can be checked is, and raises what the command itself would raise: the config, the folders, the data unless it
would have to be downloaded, model files that were named, the device.
"""

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from kdistill import backend, checks, datasets
from kdistill.chains import teacher_of_each, teachers_of
from kdistill.errors import ModelError
from kdistill.runs import Experiment, Run, joint_weights
from kdistill.scoring import arms_to_score, held_against
from kdistill.sessions import Document, Session

MADE_AGAIN = "to make again"
HARD = "loss = hard"
MODEL = ".keras"


def training(
    session: Session,
    arms: Sequence[str],
    seeds: Sequence[int],
    teacher_files: Sequence[Path] = (),
    teacher_seeds: Sequence[int] | None = None,
) -> Document:
    """Return every run of a command with its state.

    Args:
        session: of the command.
        arms: that it makes, in this order.
        seeds: of the runs.
        teacher_files: for a distilled run, its teachers, unless they are those of the config, or else the experiment's
            own.
        teacher_seeds: of the experiment's own teachers, taken in turn; by default each seed has its own.

    Returns:
        `experiment`, `runs` (`arm, seed, state, changes, folder`), `data`, `examples` (None where the data is to be
        downloaded), `teacher` (of files: their paths and validation accuracy together; or None), `formula`, `run_info`.
        `state` is `to train`, `interrupted`, `complete`, `damaged` or `to make again`, the last with what changed in
        `changes`.
    """
    config, experiment = session.config, session.experiment
    experiment.check_usable()
    checks.writable(experiment.folder)
    teacher_files = (teacher_files or session.given_teachers()) if "distilled" in arms else ()
    if list(arms) == ["distilled"] and not teacher_files:
        session.own_teacher(seeds[0])
    data = _data(session)
    if data["examples"]:
        checks.augmentation_fits(config, session.splits.shape)
        for arm in arms:
            checks.batch_fits(config, arm, session.splits)
            checks.models_fit(config, experiment.run(arm, seeds[0]), session.splits.shape)
    for role in {"teacher" if arm == "teacher" else "student" for arm in arms}:
        if model := getattr(config, role).model:
            _check_model(session, Path(model))
    teacher = None
    teachers_of(session, seeds, teacher_seeds)  # refuses what cannot be meant
    if teacher_files:
        for seed in seeds:
            checks.teachers_are_there(experiment.run("distilled", seed), teacher_files)
        teacher = _checked_teacher(session, teacher_files)
        arms = [arm for arm in arms if arm != "teacher"]
    _check_device(session)
    given = teacher["weights"] if teacher else None
    return {
        "experiment": experiment.name,
        "runs": _rows(session, arms, teacher_of_each(seeds, teacher_seeds), given),
        **data,
        "teacher": teacher,
        "formula": config.distill.formula(len(teacher_files)) if "distilled" in arms else HARD,
        "run_info": _run_info(session),
    }


def scoring(session: Session, seed: int, model_files: Sequence[Path]) -> Document:
    """Return the finished arms of one seed, or the model files given, that would be scored.

    Returns:
        `experiment`, `split`, `seed`, `arms` (`arm, folder`), `models` (`path`), `data`, `examples`, `run_info`.
    """
    arms = [] if model_files else arms_to_score(session, seed)
    data = _data(session)
    for path in model_files:
        _check_model(session, path)
    _check_device(session)
    return {
        "experiment": session.experiment.name,
        "split": "test",
        "seed": seed,
        "arms": [{"arm": run.arm, "folder": str(run.folder)} for run in arms],
        "models": [{"path": str(path)} for path in model_files],
        **data,
        "run_info": _run_info(session),
    }


def _rows(session: Session, arms: Sequence[str], teachers: Mapping[int, int], given: str | None) -> list[Document]:
    """Return a row for each run; `teachers` has each seed's teacher's seed, `given` the weights of a teacher's file."""
    rows: dict[tuple[str, int], Document] = {}
    for seed, teacher_seed in teachers.items():
        own = session.experiment.run("teacher", teacher_seed)
        for arm in arms:
            run = own if arm == "teacher" else session.experiment.run(arm, seed)
            if (run.arm, run.seed) not in rows:
                made_again = rows.get(("teacher", teacher_seed), {}).get("state") == MADE_AGAIN
                rows[run.arm, run.seed] = _row(session, run, own, given, made_again)
    return list(rows.values())


def _row(session: Session, run: Run, teacher: Run, given: str | None, teacher_changes: bool) -> Document:
    """Return a run with its state; refuse it where the command would."""
    teacher_weights = None
    if run.arm == "distilled":
        teacher_weights = given or _weights_of_own_teacher(session, teacher, run)
    spec = session.specification(run.arm, run.seed, teacher_weights)
    run.check_free()
    session.check_no_conflict(run, teacher_weights)
    changes = run.conflict(spec)
    if run.arm == "distilled" and teacher_changes and run.manifest:
        changes = [*changes, "teacher: is made again"]
    return _as_row(run, MADE_AGAIN if changes else run.state(), changes)


def _as_row(run: Run, state: str, changes: list[str]) -> Document:
    return {"arm": run.arm, "seed": run.seed, "state": state, "changes": changes, "folder": str(run.folder)}


def _weights_of_own_teacher(session: Session, teacher: Run, run: Run) -> str | None:
    """Return those of the teacher as it is; where it is still to be made, of the one that taught the run that is there.

    A teacher that is made again from the same config is the same teacher.
    """
    if teacher.is_complete() and not teacher.conflict(session.specification("teacher", teacher.seed)):
        return (teacher.result or {})["weights_sha256"]
    return ((run.manifest or {}).get("spec") or {}).get("teacher_weights")


def _data(session: Session) -> Document:
    """Return the data set with the sizes of its splits, read and verified unless it would have to be downloaded."""
    name = session.config.data.dataset
    if datasets.needs_download(session.config.data):
        return {"data": {"dataset": name, "state": "to download"}, "examples": None}
    splits = session.splits
    examples = {part: len(getattr(splits, part)) for part in ("train", "validation", "test")}
    return {"data": {"dataset": name, "state": "here"}, "examples": examples}


def _checked_teacher(session: Session, paths: Sequence[Path]) -> Document:
    """Open a teacher, or several, with all the checks of training, their logits kept nowhere."""
    names = ", ".join(map(str, paths))
    if datasets.needs_download(session.config.data):
        models = [_check_model(session, path) for path in paths if path.suffix == MODEL]
        return {"path": names, "weights": joint_weights(models), "validation_accuracy": None}
    setting = session.setting
    from kdistill import recipes

    with tempfile.TemporaryDirectory() as place:
        elsewhere = dataclasses.replace(setting, experiment=Experiment(Path(place)))
        teacher = recipes.open_teacher(elsewhere, *paths)
        accuracy = teacher.validation_scores.accuracy
    return {"path": names, "weights": teacher.weights, "validation_accuracy": accuracy}


def _check_model(session: Session, path: Path) -> str:
    """Open a model file as far as it can be without data; return the fingerprint of its weights."""
    checks.model_is_there(path)
    backend.start(session.threads, session.options.device)
    from kdistill import models

    shape, classes = session.example
    try:
        model, _ = models.load_classifier(path, shape, classes)
    except ModelError as error:
        raise ModelError(error.message, error.hint or held_against(session.config)) from error
    return models.fingerprint(model)


def _check_device(session: Session) -> None:
    """Refuse a GPU that is not there. It takes TensorFlow to know."""
    if session.options.device == "gpu":
        backend.start(session.threads, "gpu")


def _run_info(session: Session) -> Document:
    return {"threads": session.threads, "output_dir": str(session.experiment.folder)}
