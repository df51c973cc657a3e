"""The section `data` of the schema."""

from typing import Annotated, Literal, Self, get_args

from pydantic import BeforeValidator, Field, StrictInt, StrictStr, model_validator

from kdistill.config.section import Count, Fraction, KeyWithoutEffectError, MisplacedError, Section, exact_int

# The named data sets, and the file formats of users' own data.
NamedData = Literal["digits", "fashion_mnist", "mnist"]
OwnData = Literal["npz", "image_folder", "csv"]
NAMED, OWN = get_args(NamedData), get_args(OwnData)
# Each key that only some data sets read, with those data sets.
DATA_READERS = {
    "dir": NAMED,
    "path": OWN,
    "label": ("csv",),
    "image_size": ("image_folder",),
    "channels": ("image_folder",),
    "on_error": ("image_folder",),
    "test": OWN,
}


class Data(Section):
    """The data set, and how it is split."""

    dataset: Literal[NamedData, OwnData] = Field(
        "digits",
        description="The data set. digits comes with scikit-learn; npz, image_folder and csv are your own data.",
    )
    dir: StrictStr | None = Field(
        None,
        description="Folder of a named data set's files, relative to the config file; null: searched in "
        "KDISTILL_DATA_DIR and the caches, then downloaded.",
    )
    path: StrictStr | None = Field(
        None,
        description="Your own data, relative to the config file. npz: the file. image_folder: the folder with "
        "train/CLASS/*.png. csv: the file, or a folder with train.csv and test.csv.",
    )
    label: StrictStr | None = Field(None, description="csv: name of the label column; all other columns are features.")
    image_size: tuple[Count, Count] | None = Field(
        None, description="image_folder: [height, width] of all images after resizing; null: that of the first image."
    )
    channels: Annotated[Literal[1, 3], BeforeValidator(exact_int)] | None = Field(
        None, description="image_folder: 1 (grey) or 3 (RGB); null: 1 if every image is grey, else 3."
    )
    on_error: Literal["fail", "skip"] = Field(
        "fail", description="image_folder: what happens if an image cannot be read."
    )
    test: Fraction | None = Field(
        None, description="Share of train held out as the test split, stratified by class, if your own data have none."
    )
    validation: Fraction | Literal["test", "given"] = Field(
        0.1,
        description="Share of train held out for early stopping, stratified by class; `given`: the validation part of "
        "your own data; `test`: select on the test split, which makes test scores optimistically biased.",
    )
    split_seed: StrictInt = Field(
        0, ge=0, le=2**32 - 1, description="Seed of the split, which is the same for all runs, whatever their `seed`."
    )

    @property
    def is_own(self) -> bool:
        """Whether it is the user's own data, whose shape and classes are known only once it is read."""
        return self.dataset in OWN

    def read_keys(self) -> list[str]:
        """Return the keys that the chosen data set reads."""
        return [key for key in type(self).model_fields if self.dataset in DATA_READERS.get(key, (self.dataset,))]

    @model_validator(mode="after")
    def _what_the_data_set_reads(self) -> Self:
        """Refuse a key that the chosen data set does not read, and a missing key that it needs."""
        for key, readers in DATA_READERS.items():
            if key in self.model_fields_set and getattr(self, key) is not None and self.dataset not in readers:
                raise KeyWithoutEffectError("data", key, "dataset", readers, [self.dataset])
        if self.is_own and not self.path:
            raise MisplacedError("data", "path", f"dataset {self.dataset} needs it: the path of the data")
        if self.dataset == "csv" and not self.label:
            raise MisplacedError("data", "label", "dataset csv needs it: the name of the label column")
        if self.validation == "given" and not self.is_own:
            text = f"{self.dataset} has no validation part: expected a share between 0 and 1, or test"
            raise MisplacedError("data", "validation", text)
        return self
