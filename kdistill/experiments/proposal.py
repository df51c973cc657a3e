"""A config for data, and perhaps teachers, that come without one: sensible settings, each told with its reason.

What the data are is told from their files, the student is sized from the teacher (`kdistill.config.sizes`), and no
score has a part in it: the same line makes the same config, so that repeating it reuses its runs.
"""

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kdistill import config as configs
from kdistill import modelfiles
from kdistill.config import sizes
from kdistill.core.errors import ConfigError, DataError, ModelError
from kdistill.core.formatting import closest, percent
from kdistill.core.listener import Listener
from kdistill.datasets import Splits
from kdistill.datasets.user import parts
from kdistill.datasets.user.recognize import recognize
from kdistill.modelfiles.outline import Outline, outline
from kdistill.recipes.shared_data import SharedData
from kdistill.runs import survey
from kdistill.teachers.files import LOGITS_HINT
from kdistill.teachers.logits_file import SUFFIX as LOGITS

SEEDS = 3
# Where to begin. `sweep` tries them all, other commands none.
GRID = {"distill.temperature": [1, 2, 4, 8], "distill.alpha": [0.1, 0.5, 0.9]}
LONGEST_STEM = 90  # characters of a name before its number
YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Proposal:
    """A config that is in no file yet.

    Attributes:
        values: its keys that differ from the defaults, by section, before any override.
        reasons: a sentence on each thing that was assumed.
    """

    values: dict[str, Any]
    reasons: list[str]


def propose(
    path: Path, overrides: Sequence[str], root: Path | None, shared: SharedData, listener: Listener
) -> Proposal:
    """Return a config for data.

    Args:
        path: the data.
        overrides: texts `section.key=value`, which win over what is proposed; they may name teachers.
        root: the output folder, in which the name must not be another experiment's; None for any name.
        shared: keeps the data that are read.
        listener: receives the notes on the data.

    Raises:
        DataError: there is no such data, they cannot be read, or the label column is not clear.
        ModelError: the file of a teacher is missing or not accepted.
        ConfigError: an override is invalid, or the path is that of a config.
    """
    check_data(path)
    given = configs.merged({}, overrides)
    teachers = [str(file) for file in _section(given, "distill").get("teachers") or ()]
    known = _outline(teachers)
    found = recognize(path, _section(given, "data"), known.shape if known else ())
    if known and known.takes_tokens and found.section.get("dataset") == "npz" and "kind" not in _section(given, "data"):
        found.section["kind"] = "tokens"
        found.reasons.append("the teacher embeds tokens: the data are tokens (data.kind)")
    values: dict[str, Any] = {"name": configs.name_of(stem_of(path)), "seeds": SEEDS, "data": found.section}
    if root is not None and "name" not in given:
        values["name"] = _free_name(values["name"], root, found.section["path"], teachers, found.reasons)
    data = _checked_data(values, path, overrides)
    splits = shared.splits(data, listener)
    layers, reasons = _layers(splits, known, bool(teachers), given)
    values |= layers
    if teachers:
        values["distill"] = {"teachers": teachers}
    values |= {"training": sizes.training(len(splits.train)), "sweep": dict(GRID)}
    return Proposal(values, [*found.reasons, *reasons])


def told(made: Proposal, overrides: Sequence[str], source: str, file: Path, dry_run: bool = False) -> str:
    """Return what a person has to know of a config that was made: its keys, the reasons, and where it is kept."""
    values = configs.merged(made.values, overrides)
    keys = [f"  {configs.one_line(key, value)}" for key, value in values.items()]
    is_kept = "it will be kept" if dry_run else "it is kept"
    kept = f"{is_kept} beside the results, in {file}: other commands take it by -c; --set changes a key"
    return "\n".join([f"Config for {source}:", *keys, *(f"- {reason}" for reason in [*made.reasons, kept])])


def as_text(path: Path, overrides: Sequence[str], file: str | None, listener: Listener) -> str:
    """Return the config for data as the text of a file, with a comment on each key; see `propose`.

    Args:
        path: the data.
        overrides: texts `section.key=value`.
        file: the file that it is for, which gives it its name; data below its folder are named relative to it.
        listener: receives the notes on the data.
    """
    made = propose(path, overrides, None, SharedData(), listener)
    values = configs.merged(made.values, overrides)
    configs.from_values(values, str(path))
    if file:
        folder = Path(os.path.abspath(file)).parent
        values["data"]["path"] = _beside(values["data"]["path"], folder)
        if teachers := _section(values, "distill").get("teachers"):
            values["distill"]["teachers"] = [_beside(each, folder) for each in teachers]
    return configs.starter_text(file, values=values, notes=made.reasons)


def _beside(path: str, folder: Path) -> str:
    """Return a path relative to a folder, if it is below it."""
    relative = os.path.relpath(path, folder)
    return path if relative.startswith(os.pardir) else relative


def _section(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = values.get(name)
    return section if isinstance(section, dict) else {}


def check_data(path: Path) -> None:
    """Refuse a path that holds no data of the user's but a config or an experiment, or that does not exist.

    Raises:
        ConfigError: it is the name of a built-in config or of a named data set, a config file, or an experiment.
        DataError: there is no such file or folder.
    """
    name = str(path)
    if path.suffix.lower() in YAML:
        raise ConfigError(f"{name}: expected data; received the name of a config file", f"Give it as -c {name}.")
    if survey.is_experiment(path):
        raise ConfigError(
            f"{name}: expected data; received the folder of an experiment",
            f"Use its config: -c {path / 'config.yaml'}.",
        )
    if os.path.exists(path):  # unlike Path.exists, this never raises
        return
    builtin, plain = configs.builtin_names(), name.lower().replace("_", "-")
    if meant := (plain if plain in builtin else closest(plain, builtin)):
        raise ConfigError(f"{name}: there is no such file or folder", f"For the built-in config, write -c {meant}.")
    raise DataError(
        f"{name}: there is no such file or folder",
        hint=f"Give the path of your data, or a config: -c FILE, or -c NAME of {', '.join(builtin)}.",
    )


def stem_of(path: Path) -> str:
    """Return what data are called: by their file or folder, or that around it where its name is one of a part."""
    whole = Path(os.path.abspath(path))
    stem = whole.name if whole.is_dir() else whole.stem
    return whole.parent.name if parts.word_of(stem) and whole.parent.name else stem


def _free_name(name: str, root: Path, data: str, teachers: Sequence[str], reasons: list[str]) -> str:
    """Return a name whose folder in `root` is free, or is that of the same data and teachers."""
    why = _other(root / name, data, teachers)
    if why is None:
        return name
    others = (f"{name[:LONGEST_STEM]}-{number}" for number in itertools.count(2))
    free = next(other for other in others if _other(root / other, data, teachers) is None)
    reasons.append(f"the name is {free}, since {root / name} {why}; --set name=NAME gives another")
    return free


def _other(folder: Path, data: str, teachers: Sequence[str]) -> str | None:
    """Return what a folder holds that is not an experiment on these data and teachers; None if it may be used."""
    try:
        if not os.path.lexists(folder) or not any(folder.iterdir()):
            return None
        read = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        found, of = _section(read, "data").get("path"), list(_section(read, "distill").get("teachers") or ())
    except (OSError, ValueError, AttributeError, yaml.YAMLError):
        return "is no experiment"
    if found != data:
        return f"is of other data, {found}" if found else "is of other data"
    return None if of == list(teachers) else f"is of {'other teachers' if of else 'a teacher that it trains'}"


def _outline(teachers: Sequence[str]) -> Outline | None:
    """Return what is known of the first teacher whose layers are known; None if there is none."""
    for file in map(Path, teachers):
        modelfiles.check_exists(file)
    for file in (Path(file) for file in teachers if not file.endswith(LOGITS)):
        try:
            return outline(file)
        except ModelError as error:
            raise ModelError(error.message, f"{error.hint or ''} {LOGITS_HINT}".strip()) from error.__cause__
    return None


def _checked_data(values: Mapping[str, Any], path: Path, overrides: Sequence[str]) -> configs.Data:
    """Return the section `data` with the overrides applied; the layers are not known yet."""
    about_data = [text for text in overrides if text.partition("=")[0].strip().partition(".")[0] == "data"]
    placeholder = {**values, "student": {"hidden": [1]}}
    return configs.from_values(placeholder, str(path), about_data).data


def _layers(
    splits: Splits, known: Outline | None, has_files: bool, given: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return the sections `teacher` and `student`, and a sentence on each."""
    example, vocabulary = splits.example, splits.vocabulary
    values: dict[str, Any] = {}
    reasons = []
    usual = sizes.teacher(example, vocabulary)
    of, like, whose = usual.parameters, sizes.Layers(), "the teacher's"
    if known:
        of, like = known.parameters, sizes.Layers(known.has_convolutions, known.is_recurrent)
    elif has_files:
        whose = f"a teacher's of {usual.parameters:,}, since that of the logits is not known"
    elif not _section(given, "teacher").get("model"):
        values["teacher"] = usual.section
        reasons.append(f"teacher: {usual.parameters:,} parameters, a usual size for these data; it is trained")
    if not _section(given, "student").get("model"):
        sized = sizes.student(example, of, like, vocabulary)
        values["student"] = sized.section
        share = f"{percent(sized.parameters / of)} of {whose}" + (f" {of:,}" if whose.endswith("'s") else "")
        reasons.append(f"student: {sized.parameters:,} parameters, {share}; at most {percent(sizes.SHARE)} is aimed at")
    return values, reasons
