"""The section `data` of the schema."""

import math
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from kdistill.config.section import (
    Count,
    Fraction,
    KeyWithoutEffectError,
    MisplacedError,
    Positive,
    Section,
    Text,
    exact_int,
)
from kdistill.config.yamltext import shown
from kdistill.core.kinds import Kind
from kdistill.core.task import MULTI, TASKS, Task

# The named data sets, and the file formats of users' own data.
NamedData = Literal["digits", "fashion_mnist", "mnist"]
OwnData = Literal["npz", "image_folder", "csv"]
LastOrOther = Annotated[StrictInt, Field(ge=-4, le=4)]  # an axis of an array, as NumPy counts them
NAMED, OWN = get_args(NamedData), get_args(OwnData)
Labelled = StrictInt | StrictFloat | dict[StrictStr, StrictInt] | None
ClassWeights = Literal["balanced"] | dict[StrictStr, Positive] | None
# Each key that only some data sets read, with those data sets.
DATA_READERS = {
    "dir": NAMED,
    "path": OWN,
    "label": ("csv",),
    "drop": ("csv",),
    "keep": ("csv",),
    "header": ("csv",),
    "separator": ("csv",),
    "decimal": ("csv",),
    "thousands": ("csv",),
    "encoding": ("csv",),
    "missing": ("csv",),
    "image_size": ("image_folder", "csv"),
    "channels": ("image_folder",),
    "on_error": ("image_folder",),
    "kind": ("npz",),
    "channel_axis": ("npz",),
    "vocabulary": ("npz",),
    "test": OWN,
}
LABELLED = "a whole number of at least 1, a share between 0 and 1, or one for each class, such as {cat: 20, dog: 20}"
WEIGHTS = "balanced, null, or weights above 0 by class name, such as {cat: 5}"
# Keys of later versions than 0.1.0, by the data sets for which they are later.
LATER = dict.fromkeys(
    ("drop", "keep", "header", "separator", "decimal", "thousands", "encoding", "missing", "image_size"), ("csv",)
)
LATER_OF_ALL = ("labelled", "label_seed", "label_noise", "label_noise_in", "unlabelled")
TAB = "tab"


def _separator(value: Any) -> Any:
    """Return the character that a separator is: a tab may be written as a word. Refuse one that is in cells."""
    if isinstance(value, str) and len(value) == 1 and (value.isalnum() or value in '"\r\n.+-_'):
        raise MisplacedError("data", "separator", f"expected a character that no cell has; received {value!r}")
    return "\t" if value == TAB else value


def _encoding(name: str) -> str:
    """Refuse an encoding that Python does not know, or that is none of text."""
    try:
        "".encode(name)
    except (LookupError, ValueError):
        raise MisplacedError(
            "data", "encoding", f"expected an encoding, such as utf-8 or latin-1; received {name!r}"
        ) from None
    return name


def _class_weights(weights: Any) -> Any:
    """Refuse other class weights in one sentence, which names the first one that is none."""
    if weights in (None, "balanced"):
        return weights
    if not isinstance(weights, dict) or not weights:
        raise MisplacedError("data", "class_weights", f"expected {WEIGHTS}; received {shown(weights)}")
    for name, weight in weights.items():
        if type(weight) not in (int, float) or not 0 < weight < math.inf:
            text = f"expected {WEIGHTS}; received {name}: {shown(weight)}"
            raise MisplacedError("data", "class_weights", text)
    return weights


def _labelled(chosen: Any) -> Any:
    """Refuse other numbers of labels in one sentence; names of classes that are numbers become text."""
    if chosen is None or (type(chosen) is int and chosen >= 1) or (type(chosen) is float and 0 < chosen < 1):
        return chosen
    counts = chosen.values() if isinstance(chosen, dict) else ()
    if not counts or not all(type(count) is int and count >= 1 for count in counts):
        raise MisplacedError("data", "labelled", f"expected {LABELLED}; received {shown(chosen)}")
    return {str(name): count for name, count in chosen.items()}


def _check_labels(data: "Data") -> None:
    """Refuse what does not go with `data.labelled`."""
    if data.labelled is None and data.label_noise is None and data.label_seed:
        text = "only data.labelled and data.label_noise read it, and neither is set"
        raise MisplacedError("data", "label_seed", text)
    if data.label_noise is None and "label_noise_in" in data.model_fields_set and data.label_noise_in != "both":
        raise MisplacedError("data", "label_noise_in", "only data.label_noise reads it, and it is not set")
    if data.label_noise is not None and data.task is MULTI:
        raise MisplacedError("data", "label_noise", "it is for labels: single; labels is multi")
    if isinstance(data.labelled, dict) and data.task is MULTI:
        text = "an example of multi-label data has several classes: expected a number or a share, not one a class"
        raise MisplacedError("data", "labelled", text)


def _check_multi_label(data: "Data") -> None:
    """Refuse multi-label data in another format, and keys that they do not read."""
    if data.dataset != "npz":
        text = f"multi is for dataset npz, with labels (n, classes) of 0 and 1; dataset is {data.dataset}"
        raise MisplacedError("data", "labels", text)
    if data.class_weights is not None:
        raise MisplacedError("data", "class_weights", "they are for labels: single; labels is multi")


def _check_table(data: "Data") -> None:
    """Refuse keys of a table that contradict each other."""
    if both := set(data.drop or ()) & set(data.keep or ()):
        raise MisplacedError("data", "keep", f"{min(both)} is in data.drop too: expected it in one of them")
    if data.thousands is not None and data.thousands == data.decimal:
        raise MisplacedError("data", "thousands", "it is the decimal mark too: expected another one")


def _check_keys(data: "Data") -> None:
    """Refuse a key that the chosen data set does not read, and a missing key that it needs."""
    for key, readers in DATA_READERS.items():
        if key in data.model_fields_set and getattr(data, key) is not None and data.dataset not in readers:
            raise KeyWithoutEffectError("data", key, "dataset", readers, [data.dataset])
    if data.is_own and not data.path:
        raise MisplacedError("data", "path", f"dataset {data.dataset} needs it: the path of the data")
    if data.dataset == "csv" and not data.label:
        raise MisplacedError("data", "label", "dataset csv needs it: the name of the label column")
    if data.task is MULTI:
        _check_multi_label(data)
    _check_table(data)
    _check_labels(data)
    if data.vocabulary is not None and data.kind != "tokens":
        raise MisplacedError("data", "vocabulary", f"only kind tokens reads it; kind is {data.kind or 'null'}")
    if data.channel_axis is not None and data.kind in ("tokens", "table"):
        raise MisplacedError("data", "channel_axis", f"kind {data.kind} has no channels")
    if data.channel_axis == 0:
        raise MisplacedError("data", "channel_axis", "axis 0 counts the examples: expected 1 or more, or -1")
    if data.validation == "given" and not data.is_own:
        text = f"{data.dataset} has no validation part: expected a share between 0 and 1, or test"
        raise MisplacedError("data", "validation", text)


class Files(Section):
    """The data set, and how its files are read."""

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
    label: Text | None = Field(
        None,
        description="csv: name of the label column, or its number from 1 with header: false; all other columns are "
        "features.",
    )
    labels: Literal["single", "multi"] = Field(
        "single",
        description="single: each example has one class. multi: any number of classes, each with its own probability; "
        "the labels in the .npz are (n, classes) of 0 and 1.",
    )
    drop: tuple[Text, ...] | None = Field(None, description="csv: names of columns that are no features.")
    keep: tuple[Text, ...] | None = Field(
        None,
        description="csv: names of columns that are features though they have no name (the third one is called "
        "`column 3`) or count the rows; without it such columns are left out.",
    )
    header: StrictBool | None = Field(
        None,
        description="csv: whether the first line names the columns; without it they are named 1, 2 and so on. null: it "
        "does, and a line that looks like data is an error.",
    )
    separator: Annotated[StrictStr, Field(min_length=1, max_length=1), BeforeValidator(_separator)] | None = Field(
        None, description="csv: the character between two cells, or `tab`; null: told from the file."
    )
    decimal: Literal[".", ","] | None = Field(
        None, description="csv: the decimal mark of numbers; null: told from the file."
    )
    thousands: Literal[".", ",", " ", "'"] | None = Field(
        None,
        description="csv: the mark between thousands, as in 1.234,5; null: told from the file, if a number can be read "
        "in one way only.",
    )
    encoding: Annotated[StrictStr, AfterValidator(_encoding)] | None = Field(
        None, description="csv: the encoding; null: UTF-8, UTF-16 with its mark, or else latin-1."
    )
    missing: Literal["refuse", "mean"] = Field(
        "refuse",
        description="csv: what happens to missing values: `mean` puts the mean of train in their place, also "
        "for `predict`.",
    )
    image_size: tuple[Count, Count] | None = Field(
        None,
        description="image_folder: [height, width] of all images after resizing; null: that of the first image. csv: "
        "[height, width] of the images whose pixels the columns are, row by row; null: columns are features.",
    )
    channels: Annotated[Literal[1, 3], BeforeValidator(exact_int)] | None = Field(
        None, description="image_folder: 1 (grey) or 3 (RGB); null: 1 if every image is grey, else 3."
    )
    on_error: Literal["fail", "skip"] = Field(
        "fail", description="image_folder: what happens if an image cannot be read."
    )
    kind: Kind | None = Field(
        None,
        description="npz: what the examples are, which decides how they are scaled and what layers they may have; "
        "null: told from the shape, tokens never.",
    )
    channel_axis: LastOrOther | None = Field(
        None,
        description="npz: the axis of x_train that has channels or features, 0 being that of the examples: 1 if they "
        "come first, -1 if they come last; null: last, if the shape has such an axis.",
    )
    vocabulary: Count | None = Field(
        None, description="npz, kind tokens: the number of tokens; null: the largest in x_train, plus 1."
    )


class Data(Files):
    """The data set, how it is split, and which labels are used."""

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
    labelled: Annotated[Labelled, BeforeValidator(_labelled)] = Field(
        None,
        description="How many examples of train keep their labels, drawn by class with `label_seed`: a number, a "
        "share, or a number for each class. The others become unlabelled: only soft terms learn from them. null: all.",
    )
    unlabelled: Text | None = Field(
        None,
        description="More training examples, without labels: a folder of images, an `.npz` file with `x`, or for csv a "
        "table without the label column; relative to the config file. Only soft terms learn from them.",
    )
    label_seed: StrictInt = Field(
        0,
        ge=0,
        le=2**32 - 1,
        description="Seed of the choice of `labelled`, and of `label_noise`, which are the same for all runs.",
    )
    label_noise: Fraction | None = Field(
        None,
        description="For studies: the share of labels that are replaced by another class, each as likely, drawn with "
        "`label_seed`. Those of test stay right. null: none.",
    )
    label_noise_in: Literal["both", "train"] = Field(
        "both",
        description="label_noise: whether labels of train and validation are replaced, or of train alone. Of both, "
        "results have the scores on the right labels of validation beside, which choose nothing.",
    )
    class_weights: Annotated[ClassWeights, BeforeValidator(_class_weights)] = Field(
        None,
        description="Weights of the classes in the hard term, for imbalanced data; the soft term has none. `balanced`: "
        "inversely proportional to their labelled examples in train; or by class name, 1 for the others, divided by "
        "their mean over train. null: all examples count the same.",
    )

    def __hash__(self) -> int:  # class weights are a dict, which has no hash
        return hash(self.model_dump_json())

    @property
    def unweighted(self) -> "Data":
        """The section without its class weights: on it depends which examples there are."""
        return self.model_copy(update={"class_weights": None})

    @property
    def has_unlabelled(self) -> bool:
        """Whether some training examples have no label."""
        return self.labelled is not None or self.unlabelled is not None

    @property
    def task(self) -> Task:
        """What a label is: one class, or any number of classes."""
        return TASKS[self.labels]

    @property
    def is_own(self) -> bool:
        """Whether it is the user's own data, whose shape and classes are known only once it is read."""
        return self.dataset in OWN

    def read_keys(self) -> list[str]:
        """Return the keys that the chosen data set reads."""
        return [key for key in type(self).model_fields if self._reads(key)]

    def _reads(self, key: str) -> bool:
        """Whether the data set reads a key; one of a later version only if it is set, so that 0.1.0 reads configs."""
        is_default = getattr(self, key) == type(self).model_fields[key].default
        later = (self.dataset in LATER.get(key, ()) or key in LATER_OF_ALL) and is_default
        return not later and self.dataset in DATA_READERS.get(key, (self.dataset,))

    @model_validator(mode="after")
    def _what_the_data_set_reads(self) -> Self:
        """Refuse a key that the chosen data set does not read, and a missing key that it needs."""
        _check_keys(self)
        return self
