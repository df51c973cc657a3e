"""Which finished runs and model files are scored on the test split, and the document that this comes to."""

from collections.abc import Sequence
from pathlib import Path

from kdistill import runs
from kdistill.config import Config
from kdistill.core.errors import ModelError, OutputError
from kdistill.recipes import checks
from kdistill.recipes.session import Document, Session
from kdistill.runs import ARMS, Run

COMMANDS = {"teacher": "train-teacher", "baseline": "baseline", "distilled": "distill"}


def evaluate(session: Session, seed: int, model_files: Sequence[Path]) -> Document:
    """Score the finished arms of one seed, or the model files given, on the test split.

    Raises:
        ModelError: there is nothing to score, or it is damaged, or a file does not fit the data.
        OutputError: the finished arms were all made from another config.
    """
    document: Document = {"experiment": session.experiment.name, "split": "test", "models": [], "arms": {}}
    for path in model_files:
        checks.model_is_there(path)
    if model_files:
        document["models"] = [{"path": str(path), **_score_file(session, path)} for path in model_files]
    else:
        for run in arms_to_score(session, seed):
            document["arms"][run.arm] = {"seed": seed, **session.evaluate(run, reuse=False)}
    document["examples"] = len(session.splits.test)
    return document


def _score_file(session: Session, path: Path) -> Document:
    setting = session.setting
    from kdistill.recipes import arms

    try:
        scores, _ = arms.evaluate(setting, path)
        return scores
    except ModelError as error:
        raise ModelError(error.message, error.hint or held_against(session.config)) from error


def held_against(config: Config) -> str:
    """Return a hint for a model that does not fit the data: which data that was."""
    data = f"the data of the config `{config.name}` ({config.data.dataset})"
    return f"The model was held against {data}. For a model of other data, give the config of that data with -c."


def arms_to_score(session: Session, seed: int) -> list[Run]:
    """Return the finished runs of one seed that the config fits, with a warning of each that it does not.

    Raises:
        ModelError: there is none, or one is damaged.
        OutputError: there are some, and none was made from this config.
    """
    found, others = [], []
    for run in (session.experiment.run(arm, seed) for arm in ARMS):
        if run.state() not in {"complete", "damaged"}:
            continue
        manifest = run.manifest
        changed = run.conflict(session.specification(run.arm, seed, run.taught_by)) if manifest else []
        if changed:
            listed = "".join(f"\n  {line}" for line in changed)
            others.append(f"{run.folder}: this {run.arm} run was made from another config:{listed}")
        elif damage := run.damage():
            again = f"with the same -c, --set, --output-dir and --seed {seed} to make it again."
            raise ModelError(f"{run.folder}: {damage}", hint=f"Run `kdistill {COMMANDS[run.arm]}` {again}")
        else:
            found.append(run)
    if others and not found:
        raise OutputError("\n".join(others), hint=runs.SAME_CONFIG)
    if not found:
        raise ModelError(
            f"{session.experiment.folder}: there is no finished run of seed {seed} to evaluate",
            hint="Run `kdistill reproduce` with the same -c, --set and --output-dir first, or name model files.",
        )
    for other in others:
        session.options.listener.warning(f"{other}\n  It is not scored.")
    return found
