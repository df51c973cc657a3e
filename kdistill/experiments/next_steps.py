"""What a user does next after a command, with the command line for it."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from kdistill.core import extras
from kdistill.evaluation.measures import Measure, recorded
from kdistill.evaluation.statistics import LEAST_SEEDS
from kdistill.recipes import checks
from kdistill.recipes.command_lines import options_of, quoted, teacher_option
from kdistill.recipes.session import Session

SEEDS, SEEDS_OF_A_SWEEP, LONGER = 5, 3, 4
TEMPERATURES, ALPHAS = "distill.temperature=1,2,4,8", "distill.alpha=0.1,0.5,0.9"


class Step(TypedDict):
    """A next step."""

    why: str  # what it gives, in a few words
    command: str


def after_reproduce(session: Session, seeds: Sequence[int], results: Mapping[int, Mapping[str, Any]]) -> list[Step]:
    """Return the steps after all arms are compared.

    Args:
        session: of the experiment.
        seeds: that the runs have.
        results: of the distilled runs, by seed.
    """
    best = _best(results, session.measure)
    if _is_improving(results[best]):
        return [_longer(session, seeds), _report(session)]
    return [_report(session), _sweep(session, seeds), _export(session, best)]


def after_sweep(session: Session, winner: str) -> list[Step]:
    """Return the steps after a sweep; `winner` is the command that runs its winner with fresh seeds."""
    return [{"why": "evaluate the winner with new seeds", "command": winner}, _report(session)]


def after_training(session: Session, arm: str, seed: int) -> list[Step]:
    """Return the steps after one run: what its arm is compared with, until all three are there."""
    has_baseline = session.experiment.run("baseline", seed).finished
    if arm == "teacher":
        distill = _one_seed(session, "distill", "train the student on its outputs", seed)
        if has_baseline or not session.config.starts_from_baseline("distilled"):
            return [distill]
        return [
            _one_seed(session, "baseline", "train the baseline, from which the student starts", seed),
            distill,
        ]
    if arm == "distilled" and not has_baseline:
        alone = _one_seed(session, "baseline", "train the same student without a teacher, to compare", seed)
        return [alone, _evaluate(session, seed)]
    steps = [_evaluate(session, seed)]
    return [*steps, _reproduce(session), _export(session, seed)] if arm == "distilled" else steps


def after_evaluate(session: Session, arms: Sequence[str], seed: int) -> list[Step]:
    """Return the steps after the finished arms of one seed are scored."""
    if "distilled" not in arms:
        return []
    return [_report(session), _reproduce(session), _export(session, seed)]


def _is_improving(result: Mapping[str, Any]) -> bool:
    """Whether the best epoch of a student is the last: early stopping would have ended the run after others."""
    return result.get("best_epoch") is not None and result.get("best_epoch") == result.get("epochs")


def _longer(session: Session, seeds: Sequence[int]) -> Step:
    """Return the step that trains for more epochs, or updates, in a new experiment."""
    plan = session.config.training_for("student")
    key = f"{checks.section_of(plan.length_key, session.config, 'student')}.{plan.length_key}"
    longer = LONGER * getattr(plan, plan.length_key)
    more = f"--set name={session.config.name}-longer --set {key}={longer} --seeds {len(seeds)}"
    command = f"kdistill reproduce {options_of(session)}{teacher_option(session)} {more}"
    return {"why": "train longer: the student was still improving", "command": command}


def _report(session: Session) -> Step:
    return {"why": "one page with plots and all figures", "command": f"kdistill report {_home(session)}"}


def _sweep(session: Session, seeds: Sequence[int]) -> Step:
    config = session.config
    reads_t = config.distill.loss.divides and config.distill.soft_loss != "mse"  # in which T cancels
    axes = [TEMPERATURES, ALPHAS] if reads_t else [ALPHAS]
    grid = "" if config.sweep else "".join(f" --grid {axis}" for axis in axes)
    some = list(seeds[:SEEDS_OF_A_SWEEP])
    counted_up = some == list(range(config.seed, config.seed + len(some)))
    listed = str(len(some)) if counted_up else ",".join(map(str, some)) + ("," if len(some) == 1 else "")
    options = f"{options_of(session)}{teacher_option(session)}{grid} --seeds {listed}"
    return {"why": "look for better settings, on validation", "command": f"kdistill sweep {options}"}


def _export(session: Session, seed: int) -> Step:
    kind = next((extra for extra in ("litert", "onnx") if extras.installed(extra)), "saved-model")
    run = quoted(session.experiment.run("distilled", seed).folder)
    return {"why": "make a file to deploy", "command": f"kdistill export {run} --format {kind}"}


def _reproduce(session: Session) -> Step:
    few = session.config.seeds < LEAST_SEEDS  # of which there is no verdict
    options = f"{options_of(session)}{teacher_option(session)}{f' --seeds {SEEDS}' if few else ''}"
    return {"why": "compare over several seeds, for a verdict", "command": f"kdistill reproduce {options}"}


def _evaluate(session: Session, seed: int) -> Step:
    return _one_seed(session, "evaluate", "score on the test split", seed)


def _one_seed(session: Session, command: str, why: str, seed: int) -> Step:
    return {"why": why, "command": f"kdistill {command} {options_of(session)} --seed {seed}"}


def _home(session: Session) -> str:
    return quoted(session.experiment.folder)


def _best(results: Mapping[int, Mapping[str, Any]], measure: Measure) -> int:
    """Return the seed of the best run on validation; the first, where a run of an early version has no score."""
    scores = {seed: recorded(result["validation"], measure) for seed, result in results.items()}
    return max(scores, key=lambda seed: measure.gain(scores[seed] or 0.0))
