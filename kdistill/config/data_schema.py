"""The schema's section `data`."""

from typing import Annotated, Literal, Self, get_args

from pydantic import BeforeValidator, Field, StrictInt, StrictStr, model_validator

from kdistill.config.section import Count, KeyWithoutEffectError, MisplacedError, Number, Section, no_lookalike

# The data sets known by name, and the forms in which users bring their own.
NamedData = Literal["digits", "fashion_mnist", "mnist"]
OwnData = Literal["npz", "image_folder", "csv"]
NAMED, OWN = get_args(NamedData), get_args(OwnData)
# Keys that only some data sets read, by the data sets that read them.
DATA_READERS = {
    "dir": NAMED,
    "path": OWN,
    "test": OWN,
    "label": ("csv",),
    "image_size": ("image_folder",),
    "channels": ("image_folder",),
    "on_error": ("image_folder",),
}


class Data(Section):
    """Which data, and how it is split."""

    dataset: Literal[NamedData, OwnData] = Field(
        "digits", description="The data set. digits ships inside scikit-learn; the last three are your own."
    )
    dir: StrictStr | None = Field(
        None,
        description="The folder of the files, from this file's own; null: KDISTILL_DATA_DIR, the caches, a download.",
    )
    path: StrictStr | None = Field(
        None,
        description="npz: the file. image_folder: the folder of train/CLASS/*.png and so on. csv: the file, or a "
        "folder of train.csv and test.csv. From this file's own folder.",
    )
    label: StrictStr | None = Field(None, description="csv: the column of the labels; all others are features.")
    image_size: tuple[Count, Count] | None = Field(
        None, description="image_folder: [height, width] that all are resized to; null: that of the first image."
    )
    channels: Annotated[Literal[1, 3], BeforeValidator(no_lookalike)] | None = Field(
        None, description="image_folder: 1 is grey, 3 is colour; null: 1 if every image is grey, else 3."
    )
    on_error: Literal["fail", "skip"] = Field(
        "fail", description="image_folder: what to do about images that cannot be read."
    )
    test: Annotated[Number, Field(gt=0, lt=1)] | None = Field(
        None, description="Share held back for the test split, stratified, where your own data bring none."
    )
    validation: Annotated[Number, Field(gt=0, lt=1)] | Literal["test", "given"] = Field(
        0.1,
        description="Share of train, stratified, that chooses epochs; `given`: the part that your own data bring; or "
        "`test`, which flatters.",
    )
    split_seed: StrictInt = Field(
        0, ge=0, le=2**32 - 1, description="Draws the validation rows, the same ones for every seed."
    )

    @property
    def is_own(self) -> bool:
        """Whether the user brings the data: its shape and classes are known only when it has been read."""
        return self.dataset in OWN

    def read_keys(self) -> list[str]:
        """Return the keys that the chosen data set reads."""
        return [key for key in type(self).model_fields if self.dataset in DATA_READERS.get(key, (self.dataset,))]

    @model_validator(mode="after")
    def _what_the_data_set_reads(self) -> Self:
        """Refuse a key that the chosen data set does not read, and a data set without a key that it needs."""
        for key in type(self).model_fields:
            readers = DATA_READERS.get(key, (self.dataset,))
            if key in self.model_fields_set and getattr(self, key) is not None and self.dataset not in readers:
                raise KeyWithoutEffectError("data", key, "dataset", readers, [self.dataset])
        if self.is_own and not self.path:
            raise MisplacedError("data", "path", f"dataset {self.dataset} needs it: where the data is")
        if self.dataset == "csv" and not self.label:
            raise MisplacedError("data", "label", "dataset csv needs it: the name of the column of the labels")
        if self.validation == "given" and not self.is_own:
            text = f"{self.dataset} brings no validation part: expected a share between 0 and 1, or test"
            raise MisplacedError("data", "validation", text)
        return self
