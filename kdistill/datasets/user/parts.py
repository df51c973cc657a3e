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
EXAMPLES = frozenset(("x", "image", "images", "img", "imgs", "data", "feature", "features", "input", "inputs"))
LABELS = frozenset(("y", "label", "labels", "target", "targets"))
CAPITAL = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # where a word begins in trainX and XTrain
IGNORED = frozenset(("set", "data", "dataset", "split", "seg"))


def word_of(name: str) -> str | None:
    """Return the word for a part that a name consists of, such as `valid` for `Valid_Set`; None for other names."""
    word, others = _split(name)
    return word if not others else None


def _split(name: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the word for a part in a name and its other words, such as `train` and `mnist`; None if it has not one."""
    words = [word for word in _words(name) if word not in IGNORED]
    parts = [part for word in words if (part := _part_word(word))]
    if len(parts) != 1:
        return None, tuple(words)
    return parts[0], tuple(word for word in words if not _part_word(word))


def _words(name: str) -> list[str]:
    """Return the words of a name in small letters, such as `x` and `train` for XTrain."""
    return [word.lower() for word in re.split(r"[\W_]+", CAPITAL.sub(" ", name)) if word]


def _part_word(word: str) -> str | None:
    return next((each for each in (word, word.removesuffix("set")) if each in KNOWN), None)


def find(names: Mapping[str, str], place: str) -> dict[str, str]:
    """Return the file, folder or array of each part, in the order of `PARTS`.

    Names may have other words if two or more of them have the same ones, such as mnist_train and mnist_test.

    Args:
        names: for each file, folder or array the name that may be that of a part, such as `train` for `train.csv`.
        place: what they are in, for messages.

    Raises:
        DataError: a part is there twice, or several data sets are there.
    """
    words = {name: word for name, text in names.items() if (word := word_of(text))}
    return _of(words or _with_other_words(names, place), place)


def _with_other_words(names: Mapping[str, str], place: str) -> dict[str, str]:
    """Return the words for parts of names with the same other words, two of them at least, and one of train."""
    groups: dict[tuple[str, ...], dict[str, str]] = {}
    for name, text in names.items():
        word, others = _split(text)
        if word:
            groups.setdefault(others, {})[name] = word
    found = [words for words in groups.values() if len(words) > 1 and {*words.values()} & {*WORDS["train"]}]
    if len(found) > 1:
        raise DataError(
            f"{place}: expected the parts of one data set; received those of {len(found)}: "
            f"{', '.join(' and '.join(sorted(words)) for words in found[:3])}",
            hint="Set data.path to the one of train.",
        )
    return found[0] if found else {}


def _of(words: Mapping[str, str], place: str) -> dict[str, str]:
    """Return the name of each part; `words` has the word for its part by name."""
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
    return {part: folder / name for part, name in find(_stems(entries, suffixes), str(folder)).items()}


def _stems(entries: Iterable[Path], suffixes: Sequence[str]) -> dict[str, str]:
    """Return the names without their suffix by names, of those that have one of the suffixes."""
    return {
        path.name: path.name[: len(path.name) - len(suffix)]
        for path in entries
        for suffix in suffixes
        if path.name.lower().endswith(suffix)
    }


def beside(path: Path, suffixes: Sequence[str], is_there: Callable[[Path], bool]) -> dict[str, Path]:
    """Return the parts that lie beside a file or folder of train, such as mnist_test.csv beside mnist_train.csv.

    Returns:
        The path of each part, train included; nothing if it is not named as train is, or is alone.

    Raises:
        DataError: a part is there twice.
    """
    path = path.absolute()
    (stem,) = _stems([path], suffixes).values() or [""]
    word, others = _split(stem)
    if word not in WORDS["train"]:
        return {}
    try:
        entries = [each for each in path.parent.iterdir() if each.name[0] != "." and is_there(each)]
    except OSError:
        return {}
    words = {name: _split(text) for name, text in _stems(entries, suffixes).items()}
    alike = {name: of for name, (of, rest) in words.items() if of and rest == others and of not in WORDS["train"]}
    found = _of({path.name: word, **alike}, str(path.parent))
    return {part: path.parent / name for part, name in found.items()} if len(found) > 1 else {}


def arrays(names: Iterable[str], place: str) -> dict[str, tuple[str, str]]:
    """Return the names of the arrays of each part in an archive, examples and labels, such as x_train and y_train.

    An array is one of a part if its name is a word of the part and one of `EXAMPLES` or `LABELS`, in any order. Where
    one of the two is missing, its usual name is returned. If no array is one of train, the only ones that are called
    examples and labels are, such as X and y.

    Raises:
        DataError: a part has two arrays of one kind.
    """
    split = {name: _words_of_array(name) for name in names}
    found, plain = list[dict[str, str]](), list[list[str]]()
    for words in (EXAMPLES, LABELS):
        stems = {name: " ".join(w for w in of if w not in words) for name, of in split.items() if {*of} & words}
        found.append(find({name: stem for name, stem in stems.items() if stem}, place))
        plain.append([name for name, stem in stems.items() if not stem])
    if not any("train" in of_kind for of_kind in found) and all(len(of_kind) == 1 for of_kind in plain):
        for of_kind, (name,) in zip(found, plain, strict=True):
            of_kind["train"] = name
    usual = {"validation": "val"}
    return {
        part: (
            found[0].get(part, f"x_{usual.get(part, part)}"),
            found[1].get(part, f"y_{usual.get(part, part)}"),
        )
        for part in PARTS
    }


def has_labels(name: str) -> bool:
    """Whether an array is one of labels by its name, such as y or train_labels."""
    return bool({*_words_of_array(name)} & LABELS)


def _words_of_array(name: str) -> list[str]:
    """Return the words of an array's name; xtrain has two."""
    glued = [re.fullmatch(r"([xy])?(\w+?)([xy])?", word) for word in _words(name)]
    split = [[part for part in match.groups() if part] for match in glued if match]
    return [word for parts in split for word in (parts if any(part in KNOWN for part in parts) else ["".join(parts)])]


def note(found: Mapping[str, object]) -> str:
    """Return a sentence on what was taken for which part."""
    return f"Parts of the data: {', '.join(f'{part} is {name}' for part, name in found.items())}"
