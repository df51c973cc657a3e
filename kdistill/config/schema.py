"""The config's schema: closed, frozen, and the one place where each key is described."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from kdistill.config.data_schema import Data
from kdistill.config.section import Count, KeyWithoutEffectError, MisplacedError, Number, Section, Share

OptimizerName = Literal["adam", "adamw", "sgd", "rmsprop"]
ScheduleName = Literal["constant", "cosine", "exponential"]
Monitor = Literal["val_nll", "val_accuracy", "val_loss"]
SoftLoss = Literal["kl", "mse"]
Preprocessing = Literal["none", "unit", "signed", "standardize"]
Activation = Literal["relu", "elu", "gelu", "leaky_relu", "selu", "sigmoid", "silu", "tanh"]

# Keys that only some optimizers or schedules read. Set with another one they would be silently without effect.
READERS = {
    "amsgrad": ("optimizer", ("adam", "adamw")),
    "momentum": ("optimizer", ("sgd", "rmsprop")),
    "weight_decay": ("optimizer", ("adamw",)),
    "decay_steps": ("schedule", ("cosine", "exponential")),
    "decay_to": ("schedule", ("cosine",)),
    "decay_rate": ("schedule", ("exponential",)),
}

# The keys of a model that the first version had, which every specification of a run holds.
MISSING_LAYERS = "this key is missing, and there is neither conv nor model"
EMPTY_LAYERS = "expected at least one layer; received []"
FIRST_KEYS = ("hidden", "activation", "dropout", "l2", "max_norm")


class TrainingKeys(Section):
    """The training keys, each of which a model may override."""

    optimizer: OptimizerName = Field("adam", description="The Keras optimizer.")
    learning_rate: Annotated[Number, Field(gt=0)] = Field(1e-3, description="At the start.")
    amsgrad: StrictBool = Field(False, description="adam, adamw: the AMSGrad variant.")
    momentum: Annotated[Number, Field(ge=0, lt=1)] = Field(0.0, description="sgd, rmsprop.")
    weight_decay: Annotated[Number, Field(ge=0)] = Field(0.004, description="adamw: per step.")
    schedule: ScheduleName = Field("constant", description="How the learning rate changes.")
    decay_steps: Count | None = Field(
        None,
        description="cosine: steps to the end of the decay; exponential: steps for each decay_rate. "
        "null: the whole run.",
    )
    decay_to: Share = Field(0.0, description="cosine: the final learning rate as a share of the first.")
    decay_rate: Annotated[Number, Field(gt=0, le=1)] = Field(
        0.1, description="exponential: factor for each decay_steps."
    )
    batch_size: Count = Field(32, description="Examples in a step.")
    epochs: Count = Field(100, description="At most.")
    patience: Count | None = Field(10, description="Stop after this many epochs without improvement; null: never.")
    monitor: Monitor = Field(
        "val_nll",
        description="What counts as improvement on the validation split: cross-entropy at T = 1, accuracy, or "
        "the arm's own objective.",
    )


class Training(TrainingKeys):
    """How a model is trained."""

    checkpoint_every: Literal["auto"] | Count = Field(
        "auto", description="Epochs between checkpoints; no part of a run's identity."
    )


class Model(TrainingKeys):
    """A model, and the training keys in which it differs from `training`. Teacher and student take the same keys."""

    model: Annotated[StrictStr, Field(min_length=1)] | None = Field(
        None,
        description="A `.keras` file whose layers are taken, from this file's folder, in place of the keys below.",
    )
    initial_weights: Literal["fresh", "file"] = Field("fresh", description="model: where training starts.")
    conv: tuple[Count, ...] = Field((), description="Filters of each convolution block, first to last; images only.")
    kernel: Count = Field(3, description="conv: height and width of the filters.")
    pool: Count = Field(2, description="conv: max pooling after each block; 1 or null: none.")
    separable: StrictBool = Field(False, description="conv: depthwise-separable blocks, all but the first.")
    global_pool: StrictBool = Field(
        False, description="conv: average over the positions after the last block, rather than keep them all."
    )
    hidden: tuple[Count, ...] = Field(
        (), validate_default=True, description="Units of each hidden layer, first to last; [] is possible with conv."
    )
    batch_norm: StrictBool = Field(
        False, description="Batch normalisation in each block and hidden layer, before the activation."
    )
    activation: Activation = Field("relu", description="Of the blocks and hidden layers.")
    dropout: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.0, description="Share of units dropped after each hidden layer (or the last block) while training."
    )
    l2: Annotated[Number, Field(ge=0)] = Field(
        0.0, description="L2 penalty on the kernels of blocks and hidden layers, added to the loss."
    )
    max_norm: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="Largest norm of a hidden unit's or a filter's incoming weights."
    )

    @field_validator("pool", mode="before")
    @classmethod
    def _pool_of_nothing(cls, pool: Any) -> Any:
        return 1 if pool is None else pool

    @field_validator("hidden", mode="before")
    @classmethod
    def _some_layers(cls, hidden: Any, others: ValidationInfo) -> Any:
        """Refuse a model without any layers; whether `conv` and `model` are valid themselves is told elsewhere."""
        if hidden in ([], ()) and not any(others.data.get(key, True) for key in ("conv", "model")):
            # What was read from a file is a list: the tuple is the default.
            raise PydanticCustomError("missing" if hidden == () else "too_short", "no layers")
        return hidden

    def architecture(self) -> dict[str, Any]:
        """Return the keys that describe the model, without those of its training.

        Keys of later versions are left out where they have no effect: runs of earlier ones keep their identity.
        """
        keys = {"model"} if self.model else set(FIRST_KEYS)
        return self.model_dump(mode="json", include=keys | set(self._changed()))

    def _changed(self) -> list[str]:
        """Return the keys that describe the model and do not have their defaults."""
        return [key for key in ARCHITECTURE if getattr(self, key) != Model.model_fields[key].default]

    def without_effect(self) -> dict[str, str]:
        """Return the keys that are set to something that this kind of model does not read, with the reason."""
        unread: dict[str, str] = {}
        if self.model:
            own = set(ARCHITECTURE) - {"model", "initial_weights"}
            unread = dict.fromkeys(own, "model is given, and the layers are those of its file")
        else:
            unread["initial_weights"] = "only a model from a file has any, and none is given"
            if not self.conv:
                unread |= dict.fromkeys(
                    ("kernel", "pool", "separable", "global_pool"), "only conv reads it, and none is given"
                )
            elif len(self.conv) == 1:
                unread["separable"] = "the first block is never separable, and conv has no other"
        return {key: unread[key] for key in self._changed() if key in unread}

    def overrides(self) -> dict[str, Any]:
        """Return the training keys that this model has of its own."""
        own = self.model_fields_set & set(TrainingKeys.model_fields)
        return {key: getattr(self, key) for key in TrainingKeys.model_fields if key in own}


ARCHITECTURE = [key for key in Model.model_fields if key not in TrainingKeys.model_fields]


class TeacherModel(Model):
    """The teacher that is trained here, and what is done for teachers that are not; without layers, none is."""

    preprocessing: Preprocessing = Field(
        "none",
        description="How raw values are scaled for a teacher file from elsewhere, unless its own layers do it: unit is "
        "[0, 1], signed [-1, 1], standardize mean 0 and variance 1 (per channel or column, on train).",
    )

    @field_validator("hidden", mode="before")
    @classmethod
    def _some_layers(cls, hidden: Any, _: ValidationInfo) -> Any:
        """Leave it to `Config`, which knows whether a teacher is trained here."""
        return hidden

    @property
    def has_layers(self) -> bool:
        """Whether there is a model to train."""
        return bool(self.model or self.conv or self.hidden)

    def without_effect(self) -> dict[str, str]:
        """Return likewise, without layers, the keys of those."""
        if self.has_layers:
            return super().without_effect()
        why = "only layers read it, and there are none: no teacher is trained here"
        return dict.fromkeys(self._changed(), why)


class Distill(Section):
    """The distillation loss: alpha * soft + (1 - alpha) * hard."""

    soft_loss: SoftLoss = Field(
        "kl",
        description="The soft term: kl between softened outputs, or mse, the mean squared difference of the logits, in "
        "which T cancels.",
    )
    temperature: Annotated[Number, Field(gt=0)] = Field(
        4.0, description="T: logits are divided by it, before the softmax if any. `T` is accepted for it."
    )
    teacher_temperature: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="Where the teacher is softened differently."
    )
    alpha: Share = Field(0.9, description="Weight of the soft term. Some tools weight the hard one.")
    scale_by_t_squared: StrictBool = Field(
        True, description="Multiply the soft term by T^2, so that its gradients keep their size."
    )
    teachers: tuple[StrictStr, ...] = Field(
        (),
        description="Files instead of a teacher trained here: `.keras`, or `.npz` of logits. Several teach the mean of "
        "their softened outputs.",
    )

    def specification(self) -> dict[str, Any]:
        """Return the keys that a distilled run depends on.

        A key of a later version is left out where it has its default: runs of earlier ones keep their identity.
        """
        later = {"soft_loss"} if self.soft_loss == "kl" else set()
        return self.model_dump(mode="json", exclude={"teachers", *later})

    def formula(self, teachers: int = 1) -> str:
        """Return the loss with its numbers, on one line of text, for one teacher or for several."""
        t, teacher_t = f"{self.temperature:g}", f"{self.teacher_temperature or self.temperature:g}"
        scale = f"{t}^2 * " if self.scale_by_t_squared else ""
        mean = f"mean of {teachers} " if teachers > 1 else ""
        if self.soft_loss == "mse":
            soft = f"{scale}MSE({mean}teacher/{teacher_t}, student/{t})"
        else:
            soft = f"{scale}KL({mean}softmax(teacher/{teacher_t}) || softmax(student/{t}))"
        return f"loss = {self.alpha:g} * {soft} + {1 - self.alpha:g} * CE(labels, softmax(student))"


class Augmentation(Section):
    """How training images are changed at random, anew in each epoch, for all arms alike."""

    shift: StrictInt = Field(0, ge=0, description="Pixels at most, up, down, left or right.")
    flip: StrictBool = Field(False, description="Mirror half of the images, left to right.")
    crop: Count | None = Field(
        None, description="Pixels by which a random window is smaller than the image to whose size it is enlarged."
    )

    @property
    def changes_images(self) -> bool:
        """Whether there is any augmentation."""
        return bool(self.shift or self.flip or self.crop)


class Expected(Section):
    """Published test accuracies, shown beside ours."""

    teacher: Share | None = Field(None, description="Of the teacher.")
    baseline: Share | None = Field(None, description="Of the student trained alone.")
    distilled: Share | None = Field(None, description="Of the distilled student.")


class Config(Section):
    """A whole experiment."""

    name: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", max_length=100)] = Field(
        description="Of the experiment and its folder; the file's name unless given."
    )
    seed: StrictInt = Field(0, ge=0, le=2**31 - 1, description="Of initial weights, batch order and dropout.")
    seeds: Count = Field(1, le=1000, description="How many seeds `reproduce` runs, counted up from `seed`.")
    data: Data = Field(Data(), description="Which data, and how it is split.")
    teacher: TeacherModel = Field(
        TeacherModel(), description="The large model; its layers may be left out where distill.teachers names files."
    )
    student: Model = Field(description="The small model, trained as baseline and as distilled arm.")
    distill: Distill = Field(Distill(), validate_default=True, description="The distillation loss.")
    training: Training = Field(Training(), description="How both models are trained.")
    augmentation: Augmentation = Field(
        Augmentation(), description="How training images are changed at random; the teacher sees what the student sees."
    )
    sweep: dict[StrictStr, Annotated[list[Any], Field(min_length=1)]] = Field(
        {}, description="For `sweep`: the values to try of each config key, such as distill.temperature: [1, 2, 4]."
    )
    expected: Expected = Field(Expected(), description="Published test accuracies.")

    def training_for(self, role: str) -> Training:
        """Return the training section of `teacher` or `student`, its own keys merged in."""
        own: Model = getattr(self, role)
        return self.training.model_copy(update=own.overrides())

    @field_validator("distill")
    @classmethod
    def _some_teacher(cls, distill: Distill, others: ValidationInfo) -> Distill:
        """Refuse a config with no teacher: a field's check, so that it is told together with other fields' problems."""
        teacher: TeacherModel | None = others.data.get("teacher")
        if teacher and not teacher.has_layers and not distill.teachers:
            missing = f"{MISSING_LAYERS}, nor are there distill.teachers"
            raise MisplacedError("teacher", "hidden", EMPTY_LAYERS if "hidden" in teacher.model_fields_set else missing)
        return distill

    @model_validator(mode="after")
    def _no_key_without_effect(self) -> Self:
        """Refuse a key that the chosen optimizer or schedule, or the kind of model, does not read."""
        for section in ("teacher", "student"):
            model: Model = getattr(self, section)
            for key, why in model.without_effect().items():
                unset = json.dumps(Model.model_fields[key].default)
                what = f"; remove this key, or undo it with --set {section}.{key}={unset}" if model.model else ""
                raise MisplacedError(section, key, f"{why}{what}")
        for section in ("training", "teacher", "student"):
            written: TrainingKeys = getattr(self, section)
            for key in written.model_fields_set & set(READERS):
                choice, readers = READERS[key]
                roles = ("teacher", "student") if section == "training" else (section,)
                chosen = {str(getattr(self.training_for(role), choice)) for role in roles}
                if not chosen & set(readers):
                    raise KeyWithoutEffectError(section, key, choice, readers, sorted(chosen))
        return self
