"""A run's scores on the test split, kept beside its model in `test.json` with whose scores they are."""

from collections.abc import Sequence
from typing import Any

from kdistill.core import files
from kdistill.runs.run import Run, ScoresOnTest

NAME = "test.json"


def record_scores(
    run: Run, scores: ScoresOnTest, teacher_weights: str | None, correct: Sequence[bool], model_sha256: str | None
) -> None:
    """Keep a model's scores on the test split beside it.

    Args:
        run: whose model it is.
        scores: see `recipes.arms.evaluate`.
        teacher_weights: fingerprint of the teacher it was compared with, if any.
        correct: for each example of the split, whether it was right.
        model_sha256: of the model's file, when it was loaded.

    Raises:
        OutputError: the folder cannot be written.
    """
    answers = "".join("1" if right else "0" for right in correct)
    whose = {"model_sha256": model_sha256, "teacher_weights": teacher_weights}
    with files.writing(run.folder):
        files.write_sealed(run.folder / NAME, {**whose, "scores": scores, "correct": answers})


def known_scores(run: Run, teacher_weights: str | None) -> ScoresOnTest | None:
    """Return the scores that were recorded, if they are of the model that is there, compared with that teacher."""
    stored = _of_model(run)
    return stored.get("scores") if stored.get("teacher_weights") == teacher_weights else None


def own_scores(run: Run) -> ScoresOnTest | None:
    """Return the scores of the model that is there, whatever teacher it was compared with; None if unknown."""
    return _of_model(run).get("scores")


def correct_answers(run: Run) -> list[bool]:
    """Return for each example of the test split whether the model that is there was right; empty if not known."""
    return [answer == "1" for answer in _of_model(run).get("correct", "")]


def _of_model(run: Run) -> dict[str, Any]:
    stored = files.read_sealed(run.folder / NAME) or {}
    return stored if stored.get("model_sha256") == run.model_sha256 else {}
