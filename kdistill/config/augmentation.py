"""The section `augmentation` of the schema, and what its changes of examples rule out."""

from typing import Annotated, Any

from pydantic import Field, StrictBool, StrictInt

from kdistill.config.distill_schema import Distill
from kdistill.config.section import Count, MisplacedError, Number, Section
from kdistill.core.soft_losses import DECLARED

MOST_MIXED = 100  # weights of Beta(100, 100) are nearly all within 0.1 of 1/2


class Augmentation(Section):
    """Random changes of training images, drawn anew in each epoch and equal for all arms."""

    shift: StrictInt = Field(0, ge=0, description="Shift images by up to this many pixels in each direction.")
    flip: StrictBool = Field(False, description="Mirror half of the images horizontally.")
    crop: Count | None = Field(None, description="Crop this many pixels at random, and resize to the original size.")
    mixup: Annotated[Number, Field(ge=0, le=MOST_MIXED)] = Field(
        0.0,
        description="Mix each example, after the changes above, and its label with another of its batch, by a weight "
        "from Beta(mixup, mixup); tables of numbers and sequences are mixed too. 0: off.",
    )

    @property
    def changes_images(self) -> bool:
        """Whether any augmentation is on."""
        return bool(self.moves_images or self.mixup)

    @property
    def moves_images(self) -> bool:
        """Whether images are shifted, mirrored or cropped."""
        return bool(self.shift or self.flip or self.crop)

    @property
    def formula_end(self) -> str:
        """What to add to the formula of every arm: what is mixed, if anything is."""
        if not self.mixup:
            return ""
        return f"; mixup: l * one example and label + (1 - l) * another, l from Beta({self.mixup:g}, {self.mixup:g})"

    def specification(self) -> dict[str, Any]:
        """Return the keys that a run depends on; those of later versions only if set, so that runs keep identity."""
        return self.model_dump(mode="json", exclude=set() if self.mixup else {"mixup"})


def check_mixed(augmentation: Augmentation, distill: Distill) -> None:
    """Raise MisplacedError where the soft loss needs the one label of an example, and labels are mixed."""
    if augmentation.mixup and distill.loss.needs_labels:
        can = ", ".join(loss.name for loss in DECLARED.values() if not loss.needs_labels)
        why = "needs one label for each example, and augmentation.mixup mixes the labels of two"
        raise MisplacedError("distill", "soft_loss", f"{distill.soft_loss} {why}: take one of {can}, or no mixup")
