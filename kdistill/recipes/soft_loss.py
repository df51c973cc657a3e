"""What is told of a soft loss before a student is trained with it, and refused where the data do not fit it."""

from kdistill.config import Config
from kdistill.core.errors import ConfigError
from kdistill.core.formatting import counted
from kdistill.core.soft_losses import DECLARED, STANDARDIZED, WARMUP
from kdistill.datasets import Splits
from kdistill.recipes.budgets import budget_of

STANDARDIZED_KEY = "distill.standardize:"


def fits(config: Config, splits: Splits) -> None:
    """Refuse a soft loss that says nothing about so few classes, or examples in a batch.

    Raises:
        ConfigError: naming the key, with the reason.
    """
    batch_size = config.training_for("student").batch_size
    problem = config.distill.problem(len(splits.classes), min(batch_size, splits.per_epoch))
    if problem:
        always = ", ".join(loss.name for loss in DECLARED.values() if not loss.needs)
        hint = "Remove this key." if STANDARDIZED_KEY in problem else f"Losses without such a need: {always}."
        raise ConfigError(problem, hint=hint)


def notes(config: Config, splits: Splits) -> list[str]:
    """Return what is assumed: the size of the loss, the warm-up, the last batch."""
    keys, plan = config.distill, config.training_for("student")
    found = []
    if keys.loss.factor != 1 and plan.optimizer == "sgd":
        found.append(
            f"The authors' loss is {keys.loss.factor:g} times this one, and sgd takes steps in proportion to the loss: "
            f"theirs are those of a learning rate {keys.loss.factor:g} times as large"
        )
    epochs = budget_of(config, "student", splits).epochs
    if (warmup := keys.own_numbers().get(WARMUP, 0)) > epochs:
        key = keys.loss.key(WARMUP)
        found.append(f"The soft term has its full weight from epoch {warmup} on (distill.{key}), of {epochs} epochs")
    last = splits.per_epoch % plan.batch_size
    if last and (need := keys.unmet_need(len(splits.classes), last)):
        found.append(f"The last batch of each epoch has {counted(last, 'example')}: {need.why}")
    return found


def warnings(config: Config, splits: Splits) -> list[str]:
    """Return why the student's probabilities will be bad whatever it learns: logits are standardised."""
    keys = config.distill
    if not keys.standardize:
        return []
    classes, watched = len(splits.classes), config.training_for("student").monitor
    highest = STANDARDIZED.highest(classes, keys.temperature)
    instead = "" if watched != "val_nll" else " Early stopping watches val_nll: set student.monitor to val_accuracy."
    return [
        f"distill.standardize bounds the logits that teach: at T = {keys.temperature:g} no probability of {classes} "
        f"classes is above {highest:.2g}. How sure the student is comes from the hard term alone, so its NLL and ECE "
        f"are bad by construction: compare accuracies, and fit a temperature before using its probabilities.{instead}"
    ]
