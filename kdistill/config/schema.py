"""The schema of configs: the keys with their types, bounds, defaults and descriptions."""

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, StrictBool, StrictInt, StrictStr, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from kdistill.config import controls
from kdistill.config.augmentation import Augmentation, check_mixed
from kdistill.config.controls import Controls
from kdistill.config.data_schema import Data
from kdistill.config.distill_schema import Distill, check_examples, check_task
from kdistill.config.initial_weights import FROM_BASELINE, KERAS, InitialWeights, of_teacher
from kdistill.config.section import Count, KeyWithoutEffectError, MisplacedError, Number, Positive, Section, Share, Text
from kdistill.config.training_schema import READERS, Training, TrainingKeys, check_length
from kdistill.core.members import MEMBERS_OF_FILES, MOST_MEMBERS, STRIDE
from kdistill.core.task import MULTI
from kdistill.evaluation.measures import MEASURES, OF_MULTI_LABEL

Preprocessing = Literal["none", "unit", "signed", "standardize", "caffe", "imagenet"]
if TYPE_CHECKING:
    MeasureName: TypeAlias = str
else:  # the list of measures decides
    MeasureName = Literal[tuple(MEASURES)]
Activation = Literal["relu", "elu", "gelu", "leaky_relu", "selu", "sigmoid", "silu", "tanh"]

MOST_CHARACTERS = 100  # of an experiment's name
MISSING_LAYERS = "this key is missing, and there is neither conv nor model"
# The keys that make a model without `hidden`.
OTHER_LAYERS = ("model", "embedding", "conv", "recurrent")
EMPTY_LAYERS = "expected at least one layer; received []"
# The keys of a model in version 0.1.0: the specification of every run holds them.
FIRST_KEYS = ("hidden", "activation", "dropout", "l2", "max_norm")


class Model(TrainingKeys):
    """The architecture of a model, and the training keys in which it differs from the section `training`."""

    model: Annotated[StrictStr, Field(min_length=1)] | None = Field(
        None,
        description="A `.keras` file, relative to the config file, whose architecture replaces the keys below.",
    )
    initial_weights: InitialWeights = Field(
        "fresh",
        description="What training starts from: fresh weights, or (file) those in the file of `model`. Of the student "
        "also baseline: all students but the baseline go on from its weights of the same seed; or a `.keras` file of "
        "the same architecture, from which every student starts, the baseline too.",
    )
    embedding: Count | None = Field(
        None,
        description="Units of each token's embedding; without conv and recurrent, the mean over all tokens follows.",
    )
    conv: tuple[Count, ...] = Field(
        (),
        description="Filters of each convolution block, first to last: in one dimension for sequences and embedded "
        "tokens, in two for images, in three for volumes.",
    )
    kernel: Count = Field(3, description="conv: kernel size, in each dimension.")
    pool: Count = Field(2, description="conv: max pooling factor after each block; 1 or null: no pooling.")
    separable: StrictBool = Field(
        False, description="conv: depthwise-separable convolutions in all blocks but the first."
    )
    global_pool: StrictBool = Field(
        False, description="conv: global average pooling after the last block, instead of flattening."
    )
    recurrent: tuple[Count, ...] = Field(
        (),
        description="Units of each recurrent layer, first to last, of which the last returns its last state; for "
        "sequences and embedded tokens.",
    )
    cell: Literal["lstm", "gru"] = Field("lstm", description="recurrent: kind of the layers.")
    hidden: tuple[Count, ...] = Field(
        (),
        validate_default=True,
        description="Units of each hidden layer, first to last; may be [] with conv, recurrent or embedding.",
    )
    batch_norm: StrictBool = Field(False, description="Batch normalization before each activation.")
    activation: Activation = Field("relu", description="Activation of the blocks and hidden layers.")
    dropout: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.0, description="Dropout rate after each hidden layer, or before the logits if there is none."
    )
    l2: Annotated[Number, Field(ge=0)] = Field(
        0.0, description="L2 penalty on all kernels but the last, added to the loss."
    )
    max_norm: Positive | None = Field(None, description="Max-norm constraint on each unit's or filter's weights.")

    @field_validator("pool", mode="before")
    @classmethod
    def _null_is_no_pooling(cls, pool: Any) -> Any:
        return 1 if pool is None else pool

    @field_validator("hidden", mode="before")
    @classmethod
    def _some_layers(cls, hidden: Any, others: ValidationInfo) -> Any:
        """Refuse a model without any layers; an invalid key of `OTHER_LAYERS` is reported for itself."""
        if hidden in ([], ()) and not any(others.data.get(key, True) for key in OTHER_LAYERS):
            # A value from a file is a list; the tuple is the default.
            raise PydanticCustomError("missing" if hidden == () else "too_short", "no layers")
        return hidden

    @property
    def keeps_weights(self) -> bool:
        """Whether training starts from the weights in the file."""
        return self.initial_weights == "file"

    @property
    def weights_file(self) -> str | None:
        """The file of the same architecture from whose weights training starts; None without one."""
        return self.initial_weights if self.initial_weights.endswith(KERAS) else None

    def architecture(self) -> dict[str, Any]:
        """Return the keys of the architecture; those later than 0.1.0 only if changed, so that runs keep identity."""
        keys = {"model"} if self.model else set(FIRST_KEYS)
        return self.model_dump(mode="json", include=keys | set(self._changed()))

    def _changed(self) -> list[str]:
        """Return the keys of the architecture that differ from their defaults."""
        return [key for key in ARCHITECTURE if getattr(self, key) != Model.model_fields[key].default]

    def without_effect(self) -> dict[str, str]:
        """Return each key that is set though this kind of model does not read it, with the reason."""
        unread: dict[str, str] = {}
        if self.model:
            own = set(ARCHITECTURE) - {"model", "initial_weights"}
            unread = dict.fromkeys(own, "model is given, and its file defines the layers")
        else:
            if self.keeps_weights:
                unread["initial_weights"] = "only a model from a file has any, and none is given"
            if not self.conv:
                of_conv = ("kernel", "pool", "separable", "global_pool")
                unread |= dict.fromkeys(of_conv, "only conv reads it, and none is given")
            elif len(self.conv) == 1:
                unread["separable"] = "the first block is never separable, and conv has no other"
            unread |= self._unread_of_recurrent()
        return {key: unread[key] for key in self._changed() if key in unread}

    def _unread_of_recurrent(self) -> dict[str, str]:
        """Return the keys without effect in a model with recurrent layers, or with an embedding alone."""
        unread = {}
        if not self.recurrent:
            unread["cell"] = "only recurrent reads it, and none is given"
        elif self.conv:
            unread["global_pool"] = "recurrent takes all steps that the last block leaves"
        if not self.conv and not self.hidden:
            unread |= dict.fromkeys(("activation", "batch_norm"), "only conv and hidden read it, and neither is given")
            if not self.recurrent:
                unread |= dict.fromkeys(("l2", "max_norm"), "conv, recurrent and hidden read it, and none is given")
        return unread

    def overrides(self) -> dict[str, Any]:
        """Return the training keys that this model overrides."""
        own = self.model_fields_set & set(TrainingKeys.model_fields)
        return {key: getattr(self, key) for key in TrainingKeys.model_fields if key in own}


ARCHITECTURE = [key for key in Model.model_fields if key not in TrainingKeys.model_fields]


class TeacherModel(Model):
    """The teacher that is trained here, and the preprocessing for teacher files from elsewhere."""

    preprocessing: Preprocessing = Field(
        "none",
        description="Scaling of raw values for a teacher file whose own layers do not scale: unit is [0, 1], signed "
        "[-1, 1], standardize mean 0 and variance 1 (per channel or column of train); caffe and imagenet are "
        "ImageNet's of Keras's models: BGR minus the means, or RGB in [0, 1] minus the means, by the deviations.",
    )
    members: Annotated[StrictInt, Field(ge=1, le=MOST_MEMBERS)] = Field(
        1,
        description="How many teachers are trained here and teach together, as an ensemble: the mean of their softened "
        f"outputs. Member k of the teacher of a seed has the seed plus {STRIDE:,} * (k - 1).",
    )

    examples: Literal["labelled", "all"] = Field(
        "labelled",
        description="Which labels the teacher learns from, where data.labelled sets some aside: those that are left, "
        "or all.",
    )

    _starts = field_validator("initial_weights")(of_teacher)

    @field_validator("hidden", mode="before")
    @classmethod
    def _some_layers(cls, hidden: Any, _: ValidationInfo) -> Any:
        """Accept a teacher without layers: `Config` checks whether distill.teachers replaces it."""
        return hidden

    @property
    def has_layers(self) -> bool:
        """Whether a teacher is trained here."""
        return bool(self.hidden) or any(getattr(self, key) for key in OTHER_LAYERS)

    def without_effect(self) -> dict[str, str]:
        """Return each key that is set though nothing reads it, with the reason: without layers, that is every key."""
        why = "only layers read it, and there are none: no teacher is trained here"
        if self.has_layers:
            return super().without_effect()
        return dict.fromkeys([*self._changed(), *(["members"] if self.members != 1 else [])], why)


class Verdict(Section):
    """How arms are compared; no run depends on it."""

    measure: MeasureName = Field(
        "accuracy",
        description="The measure on the test split that the verdict is about, and by which `sweep` chooses on "
        "validation. balanced_accuracy and macro_f1 count every class the same; auc is for two classes, top5_accuracy "
        "for 20 or more. Of multi-label data the default is mean_average_precision.",
    )
    scope: Literal["new_examples", "test_set"] = Field(
        "new_examples",
        description="What `helps` and `hurts` claim: a difference for other seeds on new examples too, or on this test "
        "set alone.",
    )


class Expected(Section):
    """Published test accuracies, to be shown beside those measured."""

    teacher: Share | None = Field(None, description="Test accuracy of the teacher.")
    baseline: Share | None = Field(None, description="Test accuracy of the student trained alone.")
    distilled: Share | None = Field(None, description="Test accuracy of the distilled student.")


class Config(Section):
    """A whole experiment."""

    name: Annotated[Text, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", max_length=MOST_CHARACTERS)] = Field(
        description="Name of the experiment and of its folder; default: made of the name of the config file."
    )
    seed: StrictInt = Field(
        0, ge=0, le=2**31 - 1, description="First seed; it decides initial weights, batch order and dropout."
    )
    seeds: Count = Field(1, le=1000, description="Number of seeds that `reproduce` runs, counted up from `seed`.")
    data: Data = Field(Data(), description="The data set, and how it is split.")
    teacher: TeacherModel = Field(
        TeacherModel(),
        description="The large model; it needs no layers if distill.teachers or the command line names files.",
    )
    student: Model = Field(description="The small model, trained alone (baseline) and by distillation (distilled).")
    distill: Distill = Field(Distill(), validate_default=True, description="The distillation loss.")
    training: Training = Field(Training(), description="Training of both models.")
    augmentation: Augmentation = Field(
        Augmentation(),
        description="Random changes of training images; the teacher sees the same images as the student.",
    )
    controls: Controls = Field({}, description=controls.ABOUT)
    sweep: dict[StrictStr, Annotated[list[Any], Field(min_length=1)]] = Field(
        {}, description="For `sweep`: values to try, by config key, such as distill.temperature: [1, 2, 4]."
    )
    verdict: Verdict = Field(Verdict(), description="How arms are compared; no run depends on it.")
    expected: Expected = Field(Expected(), description="Published test accuracies, to be shown beside those measured.")

    @property
    def students(self) -> tuple[str, ...]:
        """The arms that train the student, in the order in which they are shown."""
        return ("baseline", "distilled", *self.controls)

    @property
    def teachers_together(self) -> int:
        """How many models form the teacher of a student: files that are named, or members that are trained."""
        return len(self.distill.teachers) or self.teacher.members

    def starts_from_baseline(self, arm: str) -> bool:
        """Whether `student.initial_weights` has runs of an arm start from the weights of the baseline of their seed.

        Controls start where the distilled student does; `continued` always starts from the baseline.
        """
        return self.student.initial_weights == "baseline" and arm not in ("teacher", "baseline", "continued")

    def formula_end(self, arm: str) -> str:
        """Return what to add to the formula of an arm: what it starts from and what is mixed, if that is to be said."""
        return (FROM_BASELINE if self.starts_from_baseline(arm) else "") + self.augmentation.formula_end

    def training_for(self, role: str) -> Training:
        """Return the training section of `teacher` or `student`, its own keys merged in."""
        own: Model = getattr(self, role)
        return self.training.with_own(own.overrides())

    def every_class_counts(self, role: str) -> bool:
        """Whether `teacher` or `student` is to be right on rare classes, at the cost of accuracy."""
        monitor = self.training_for(role).monitor
        return self.data.class_weights is not None or monitor in ("val_balanced_accuracy", "val_macro_f1")

    @model_validator(mode="before")
    @classmethod
    def _measure_of_multi_label_data(cls, values: Any) -> Any:
        """Give the verdict of multi-label data its own default measure."""
        data, verdict = (values.get(key) or {} for key in ("data", "verdict")) if isinstance(values, dict) else ({}, {})
        if not isinstance(data, dict) or not isinstance(verdict, dict) or data.get("labels") != MULTI.name:
            return values
        return {**values, "verdict": {"measure": OF_MULTI_LABEL, **verdict}}

    @field_validator("distill")
    @classmethod
    def _some_teacher(cls, distill: Distill, others: ValidationInfo) -> Distill:
        """Refuse a teacher of no layers, and members of files.

        It is a check of a field, so that other fields' problems are reported too.
        A config without a teacher is valid: the command line may name one.
        """
        teacher: TeacherModel | None = others.data.get("teacher")
        if teacher and "hidden" in teacher.model_fields_set and not teacher.has_layers and not distill.teachers:
            raise MisplacedError("teacher", "hidden", EMPTY_LAYERS)
        if teacher and teacher.members != 1 and distill.teachers:
            raise MisplacedError("teacher", "members", MEMBERS_OF_FILES)
        return distill

    @field_validator("distill")
    @classmethod
    def _a_loss_of_the_labels(cls, distill: Distill, others: ValidationInfo) -> Distill:
        """Refuse a soft loss that there is not for multi-label data, or that needs labels which are not there."""
        if data := others.data.get("data"):
            check_task(distill, data.task)
            check_examples(distill, data.has_unlabelled)
        return distill

    @model_validator(mode="after")
    def _no_key_without_effect(self) -> Self:
        """Refuse a key that the chosen optimizer, schedule or kind of model does not read."""
        controls.check(self.controls, self.augmentation.changes_images)
        check_mixed(self.augmentation, self.distill)
        if self.teacher.examples == "all" and (self.data.labelled is None or not self.teacher.has_layers):
            why = "no teacher is trained here" if self.data.labelled else "data.labelled sets no labels aside"
            raise MisplacedError("teacher", "examples", f"all has no effect: {why}")
        for section in ("teacher", "student"):
            model: Model = getattr(self, section)
            for key, why in model.without_effect().items():
                unset = json.dumps(Model.model_fields[key].default)
                what = f"; remove this key, or undo it with --set {section}.{key}={unset}" if model.model else ""
                raise MisplacedError(section, key, f"{why}{what}")
        for section in ("training", "teacher", "student"):
            written: TrainingKeys = getattr(self, section)
            check_length(section, written)
            for key in written.model_fields_set & set(READERS):
                choice, readers = READERS[key]
                roles = ("teacher", "student") if section == "training" else (section,)
                chosen = {str(getattr(self.training_for(role), choice)) for role in roles}
                if not chosen & set(readers):
                    raise KeyWithoutEffectError(section, key, choice, readers, sorted(chosen))
        return self
