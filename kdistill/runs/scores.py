"""A run's scores on the test split: `test.json` in its folder, with the hashes of model and teacher."""

from collections.abc import Mapping, Sequence
from typing import Any

from kdistill.core import documents, files
from kdistill.evaluation.measures import ACCURACY, Measure, recorded
from kdistill.evaluation.verdict import Answers
from kdistill.runs import shapes
from kdistill.runs.run import Run, ScoresOnTest

NAME = "test.json"


def record_scores(
    run: Run,
    scores: ScoresOnTest,
    teacher_weights: str | None,
    correct: Sequence[bool],
    model_sha256: str | None,
    without: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Write the scores of a run's model on the test split.

    Args:
        run: its folder is written.
        scores: see `recipes.arms.evaluate`.
        teacher_weights: identity of the teacher whose agreement was measured, if any.
        correct: for each example of the split, whether the model was right.
        model_sha256: of the model file when it was loaded.
        without: measures without each part of the split, by name: see `crossed.without_parts`; empty if undefined.

    Raises:
        OutputError: the folder cannot be written.
    """
    answers = "".join("1" if right else "0" for right in correct)
    whose = {"model_sha256": model_sha256, "teacher_weights": teacher_weights}
    with files.writing(run.folder):
        files.write_sealed(run.folder / NAME, {**whose, "scores": scores, "correct": answers, "without": without or {}})


def known_scores(run: Run, teacher_weights: str | None) -> ScoresOnTest | None:
    """Return the recorded scores if they are of the present model, with the agreement with that teacher; else None."""
    stored = _of_model(run)
    return stored.get("scores") if stored.get("teacher_weights") == teacher_weights else None


def own_scores(run: Run) -> ScoresOnTest | None:
    """Return the recorded scores of the present model, whichever teacher its agreement is with; None if unknown."""
    return _of_model(run).get("scores")


def answers_of(run: Run, scores: Mapping[str, Any], measure: Measure) -> Answers:
    """Return how the present model classified the test split: what a verdict by a measure needs of its `scores`."""
    stored = _of_model(run)
    correct = [answer == "1" for answer in stored.get("correct", "")]
    return Answers(recorded(scores, measure), correct, (stored.get("without") or {}).get(measure.name, []))


def lacks_parts(run: Run, measure: Measure) -> bool:
    """Whether scores are recorded without what each part of the split contributes to a measure.

    What each example contributes to accuracy is known from the correct answers.
    """
    return measure is not ACCURACY and measure.name not in (_of_model(run).get("without") or {})


def damage(run: Run) -> str | None:
    """Return what is wrong with the file of the scores; None if it is sound, or there is none."""
    if damaged := documents.sealed_damage(run.folder / NAME, shapes.Scores):
        return damaged
    has_others = (run.folder / NAME).exists() and not _of_model(run)
    return f"{NAME} has the scores of another model" if has_others else None


def _of_model(run: Run) -> dict[str, Any]:
    stored = documents.read_sealed(run.folder / NAME, shapes.Scores) or {}
    return stored if stored.get("model_sha256") == run.model_sha256 else {}
