"""The classes that the transfer set leaves out, and the biases that are moved to the prior after training.

What is said and refused before training; `adjust` moves the biases of a trained student.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kdistill.config import Config
from kdistill.core.controls import is_taught
from kdistill.core.errors import ConfigError
from kdistill.core.formatting import counted, first_few, number
from kdistill.datasets import Splits
from kdistill.datasets.transfer_set import of_classes
from kdistill.evaluation import metrics, prior
from kdistill.evaluation.metrics import Floats
from kdistill.recipes.session import Session
from kdistill.runs import Result, Run, ScoresOnTest

if TYPE_CHECKING:
    from kdistill.training.fit import Fit

NAMED_AT_MOST = 10  # classes, with the offsets of their biases


def fits(config: Config, splits: Splits) -> None:
    """Refuse classes that the data do not have, and a prior that there is not, or that other keys contradict.

    Raises:
        ConfigError: naming the key.
    """
    keys = config.distill
    if keys.classes:
        of_classes(keys.classes, splits)
    if not keys.adjust_prior:
        return
    if config.data.class_weights is not None:
        raise ConfigError(
            "distill.adjust_prior: it brings the class probabilities to the shares of the classes in train, from which "
            "data.class_weights takes them away",
            hint="Leave one of the two keys out.",
        )
    counts = splits.task.examples(splits.labelled.all_labels, len(splits.classes))
    if none := [name for name, count in zip(splits.classes, counts, strict=True) if not count]:
        raise ConfigError(
            f"distill.adjust_prior: expected labelled training examples of each class; there is none of {none[0]}"
        )


def told(session: Session) -> str:
    """Return in a sentence which classes are left out, and what is done with the biases; empty for neither."""
    keys, splits = session.config.distill, session.splits
    parts = []
    if keys.classes:
        kept = len(splits.positions(session.transfer_set))
        all_of_them = counted(len(splits.labelled), "labelled training example", ",")
        parts.append(f"{kept:,} of the {all_of_them}, {left_out_words(keys.left_out(splits.classes))}")
    if keys.adjust_prior:
        parts.append("biases moved to the prior after training (distill.adjust_prior)")
    return "; ".join(parts)


def left_out_words(names: list[str]) -> str:
    """Return which classes are left out, as the end of a sentence."""
    return f"without the class{'es' if len(names) > 1 else ''} {first_few(names, NAMED_AT_MOST)}"


def prior_of(session: Session, arm: str) -> NDArray[np.float64] | None:
    """Return the share (classes,) of each class in the labels of train, also of those that the transfer set leaves out.

    None for an arm whose biases stay.
    """
    if not (session.config.distill.adjust_prior and is_taught(arm)):
        return None
    splits = session.splits
    counts = splits.task.examples(splits.labelled.all_labels, len(splits.classes))
    return counts / counts.sum()


def adjust(session: Session, run: Run, fit: "Fit") -> Result:
    """Move the biases of a run's trained model as `fit.data.prior` says; return what is recorded of it.

    Labels of validation are read for the scores alone. `fit` is one after its last epoch.
    """
    if fit.data.prior is None:
        return Result()
    from kdistill.evaluation import predict
    from kdistill.models import output_bias

    splits = session.splits
    logits = predict.logits(fit.predict, splits.validation)
    offsets = prior.offsets(logits, fit.data.prior)
    for model in (fit.model, fit.engine.model):  # the engine trains, and predicts with, a copy
        output_bias.move(model, offsets)
    before, after = (metrics.score(of, splits.validation.all_labels) for of in (logits, logits + offsets))
    moved = dict(zip(splits.classes, offsets.tolist(), strict=True))
    largest = sorted(moved.items(), key=lambda item: -abs(item[1]))
    listed = first_few([f"{name}: {offset:+.2f}" for name, offset in largest], NAMED_AT_MOST)
    accuracies = f"validation accuracy {number(before.accuracy)} before, {number(after.accuracy)} after"
    session.listener.note(f"{session.title(run)}: biases moved to the prior ({listed}); {accuracies}")
    scores: Any = before.to_json()
    return Result(moved_biases=moved, before_adjustment=scores)


def with_scores_before(run: Run, scores: ScoresOnTest, logits: Floats, labels: NDArray[np.integer]) -> ScoresOnTest:
    """Return test scores with those of the same model before its biases were moved; as they are if none were.

    Args:
        run: whose model it is.
        scores: of the model.
        logits: (n, classes) on the test split.
        labels: (n,) of the test split.
    """
    if not (moved := (run.result or {}).get("moved_biases")):
        return scores
    before: Any = metrics.score(logits.astype(np.float64) - np.array(list(moved.values())), labels).to_json()
    return {**scores, "before_adjustment": before}
