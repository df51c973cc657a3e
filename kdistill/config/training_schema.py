"""The training keys of the schema: the section `training`, any key of which a model may override."""

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field, StrictBool

from kdistill.config.section import Count, Number, Positive, Section, Share
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


class TrainingKeys(Section):
    """The training keys, any of which a model may override."""

    optimizer: OptimizerName = Field("adam", description="Optimizer, as in Keras.")
    learning_rate: Positive = Field(1e-3, description="Initial learning rate.")
    amsgrad: StrictBool = Field(False, description="adam, adamw: use the AMSGrad variant.")
    momentum: Annotated[Number, Field(ge=0, lt=1)] = Field(0.0, description="sgd, rmsprop: momentum.")
    weight_decay: Annotated[Number, Field(ge=0)] = Field(0.004, description="adamw: decoupled weight decay.")
    schedule: ScheduleName = Field("constant", description="Learning rate schedule.")
    decay_steps: Count | None = Field(
        None,
        description="cosine: steps to the end of the decay; exponential: steps per factor decay_rate. "
        "null: all steps of the run.",
    )
    decay_to: Share = Field(0.0, description="cosine: final learning rate as a share of the initial one.")
    decay_rate: Annotated[Number, Field(gt=0, le=1)] = Field(0.1, description="exponential: factor per decay_steps.")
    batch_size: Count = Field(32, description="Batch size.")
    epochs: Count = Field(100, description="Maximum number of epochs.")
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
