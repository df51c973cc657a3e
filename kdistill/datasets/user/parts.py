"""Which file, folder or array of a data set is which part, by the names that people give to parts."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from kdistill.core.errors import DataError
from kdistill.core.formatting import listed

PARTS = ("train", "test", "validation")
WORDS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "validation": ("validation", "valid", "val", "dev", "development"),
}
# Of a data set with a test part, evaluation is validation. Without one it is the test part, which chooses nothing.
EVALUATION = ("eval", "evaluation")
KNOWN = frozenset((*sum(WORDS.values(), ()), *EVALUATION))
# Words beside that of a part: in names of arrays, such as x_train and train_labels, and in those of folders and files,
# such as training_set, test-data, seg_train.
EXAMPLES = frozenset(("x", "images", "data", "features", "inputs"))
LABELS = frozenset(("y", "labels", "targets"))
IGNORED = frozenset(("set", "data", "dataset", "split", "seg"))


def word_of(name: str) -> str | None:
    """Return the word for a part that a name consists of, such as `valid` for `Valid_Set`; None for other names."""
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word and word not in IGNORED]
    if len(words) != 1:
        return None
    return next((word for word in (words[0], words[0].removesuffix("set")) if word in KNOWN), None)


def find(names: Mapping[str, str], place: str) -> dict[str, str]:
    """Return the file, folder or array of each part, in the order of `PARTS`.

    Args:
        names: for each file, folder or array the name that may be that of a part, such as `train` for `train.csv`.
        place: what they are in, for messages.

    Raises:
        DataError: a part is there twice.
    """
    words = {name: word for name, text in names.items() if (word := word_of(text))}
    has_test = any(word in WORDS["test"] for word in words.values())
    found = {}
    for part in PARTS:
        known = WORDS[part] + (EVALUATION if part == ("validation" if has_test else "test") else ())
        there = sorted((known.index(word), name) for name, word in words.items() if word in known)
        if len(there) > 1:
            raise DataError(
                f"{place}: expected one of {listed([name for _, name in there])}; received "
                f"{'both' if len(there) == 2 else 'all of them'}",
                hint=f"Each is a name of the {part} part: rename or move what is not to be read.",
            )
        if there:
            found[part] = there[0][1]
    return found


def in_folder(folder: Path, suffixes: Sequence[str], is_there: Callable[[Path], bool]) -> dict[str, Path]:
    """Return the file or subfolder of each part in a folder; names end in one of `suffixes`, in capitals or not.

    Raises:
        DataError: the folder cannot be read, or a part is there twice.
    """
    try:
        entries = [path for path in folder.iterdir() if path.name[0] != "." and is_there(path)]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror or error}") from None
    stems = {
        path.name: path.name[: len(path.name) - len(suffix)]
        for path in entries
        for suffix in suffixes
        if path.name.lower().endswith(suffix)
    }
    return {part: folder / name for part, name in find(stems, str(folder)).items()}


def arrays(names: Iterable[str], place: str) -> dict[str, tuple[str, str]]:
    """Return the names of the arrays of each part in an archive, examples and labels, such as x_train and y_train.

    An array is one of a part if its name is a word of the part and one of `EXAMPLES` or `LABELS`, in any order. Where
    one of the two is missing, its usual name is returned.

    Raises:
        DataError: a part has two arrays of one kind.
    """
    split = {name: [word for word in re.split(r"[\W_]+", name.lower()) if word] for name in names}
    found: list[dict[str, str]] = []
    for words in (EXAMPLES, LABELS):
        stems = {name: " ".join(w for w in of if w not in words) for name, of in split.items() if {*of} & words}
        found.append(find(stems, place))
    usual = {"validation": "val"}
    return {
        part: (
            found[0].get(part, f"x_{usual.get(part, part)}"),
            found[1].get(part, f"y_{usual.get(part, part)}"),
        )
        for part in PARTS
    }


def note(found: Mapping[str, object]) -> str:
    """Return a sentence on what was taken for which part."""
    return f"Parts of the data: {', '.join(f'{part} is {name}' for part, name in found.items())}"
