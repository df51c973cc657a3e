"""The training keys of the schema: the section `training`, any key of which a model may override."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, StrictBool, StrictInt

from kdistill.config.section import Count, MisplacedError, Number, Positive, Section, Share
from kdistill.core.budget import Budget
from kdistill.evaluation.measures import monitors

OptimizerName = Literal["adam", "adamw", "sgd", "rmsprop"]
ScheduleName = Literal["constant", "cosine", "exponential"]
if TYPE_CHECKING:
    Monitor: TypeAlias = str
else:  # the list of measures decides
    Monitor = Literal[monitors()]

# Each key that only some optimizers or schedules read: with any other choice it would silently have no effect.
READERS = {
    "amsgrad": ("optimizer", ("adam", "adamw")),
    "momentum": ("optimizer", ("sgd", "rmsprop")),
    "weight_decay": ("optimizer", ("adamw",)),
    "decay_steps": ("schedule", ("cosine", "exponential")),
    "decay_to": ("schedule", ("cosine",)),
    "decay_rate": ("schedule", ("exponential",)),
}
# Updates and epochs beyond any use, within what TensorFlow can hold: a schedule has the product of two of them.
MOST = 10**9
Length = Annotated[StrictInt, Field(ge=1, le=MOST)]
# Two keys for one thing, of which a section has one.
EITHER = {"steps": "epochs", "epochs": "steps"}


class TrainingKeys(Section):
    """The training keys, any of which a model may override."""

    optimizer: OptimizerName = Field("adam", description="Optimizer, as in Keras.")
    learning_rate: Positive = Field(1e-3, description="Initial learning rate.")
    amsgrad: StrictBool = Field(False, description="adam, adamw: use the AMSGrad variant.")
    momentum: Annotated[Number, Field(ge=0, lt=1)] = Field(0.0, description="sgd, rmsprop: momentum.")
    weight_decay: Annotated[Number, Field(ge=0)] = Field(0.004, description="adamw: decoupled weight decay.")
    schedule: ScheduleName = Field("constant", description="Learning rate schedule.")
    decay_steps: Length | None = Field(
        None,
        description="cosine: steps to the end of the decay; exponential: steps per factor decay_rate. "
        "null: all steps of the run.",
    )
    decay_to: Share = Field(0.0, description="cosine: final learning rate as a share of the initial one.")
    decay_rate: Annotated[Number, Field(gt=0, le=1)] = Field(0.1, description="exponential: factor per decay_steps.")
    batch_size: Count = Field(32, description="Batch size.")
    epochs: Length = Field(100, description="Maximum number of epochs.")
    steps: Length | None = Field(
        None,
        description="Maximum number of updates, in place of `epochs`: the epochs follow from it, and the last one ends "
        "with the last update, so that data sets, batch sizes and arms are compared after equal numbers of updates. "
        "null: `epochs` decides.",
    )
    patience: Count | None = Field(
        10, description="Early stopping: epochs without improvement before training stops; null: off."
    )
    monitor: Monitor = Field(
        "val_nll",
        description="What early stopping watches on the validation split: cross-entropy at T = 1 (val_nll), accuracy, "
        "another measure, or the arm's objective (val_loss). Class weights count in val_loss alone.",
    )


class Training(TrainingKeys):
    """How a model is trained."""

    checkpoint_every: Literal["auto"] | Count = Field(
        "auto", description="Epochs between checkpoints; no effect on results."
    )

    def with_own(self, own: Mapping[str, Any]) -> "Training":
        """Return the section with the training keys of a model merged in; its own epochs replace updates."""
        return self.model_copy(update={**({"steps": None} if "epochs" in own else {}), **own})

    @property
    def length_key(self) -> str:
        """The key that decides how long a run may train."""
        return "epochs" if self.steps is None else "steps"

    def budget(self, steps_per_epoch: int) -> Budget:
        """Return how long a run may train whose epochs have this many updates."""
        return Budget(self.steps or self.epochs * steps_per_epoch, steps_per_epoch)


def replaced_by(path: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the path of the key in whose place an option or an axis sets another; none for most keys."""
    if len(path) != 2 or path[0] not in ("training", "teacher", "student") or path[1] not in EITHER:
        return []
    return [(path[0], EITHER[path[1]])]


def check_length(section: str, written: TrainingKeys) -> None:
    """Refuse a section that says in two ways how long a run may train."""
    if written.steps is not None and "epochs" in written.model_fields_set:
        raise MisplacedError(section, "steps", f"epochs says it too: expected {section}.steps or {section}.epochs")
