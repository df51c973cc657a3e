"""Reads a config: finds the file, applies overrides, validates; and writes a resolved config."""

import copy
import os
import re
import stat
import textwrap
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from kdistill.config import axes, paths, problems, yamltext
from kdistill.config.axes import Axis
from kdistill.config.formula import of_distillation
from kdistill.config.schema import MOST_CHARACTERS, Config, Verdict
from kdistill.config.training_schema import EITHER, READERS, replaced_by
from kdistill.config.yamltext import Marks
from kdistill.core.errors import ConfigError
from kdistill.core.formatting import setting

DEFAULT = "quickstart"
UNNAMED = "experiment"  # of a file whose name has no letter or digit that a folder may have


def load(source: str | Path | None = None, overrides: Sequence[str] = (), **top: Any) -> Config:
    """Return the validated config of a file or a built-in name, with overrides applied.

    Relative paths become absolute: in a file they start from the file's folder, in an override from the working folder.

    Args:
        source: a path, or the bare name of a built-in config; None for `quickstart`.
        overrides: texts `section.key=value`, the value read as YAML; later ones win.
        top: values of top-level keys, which win over everything else.

    Raises:
        ConfigError: the config cannot be read or is invalid; names every problem with its place.
    """
    return _overridden(*written(source), overrides, top)


def written(source: str | Path | None) -> tuple[dict[str, Any], Marks]:
    """Return the values of a config as they are written, by section and key, with absolute paths; and their places.

    Raises:
        ConfigError: the config cannot be read.
    """
    text, place, stem, folder = _find(DEFAULT if source is None else str(source))
    values, marks = yamltext.read(text, place)
    _expand_t(values, marks)
    _make_absolute(values, folder)
    values.setdefault("name", name_of(stem))
    return values, marks


def from_values(values: Mapping[str, Any], place: str, overrides: Sequence[str] = (), **top: Any) -> Config:
    """Return the validated config of values that are in no file, with overrides applied; see `load`.

    Args:
        values: by section and key, with absolute paths and a name.
        place: their name in messages.
        overrides: as of `load`.
        top: as of `load`.
    """
    return _overridden(copy.deepcopy(dict(values)), {(): place}, overrides, top)


def merged(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return values, by section and key, with overrides applied, whose paths become absolute; nothing is validated.

    Raises:
        ConfigError: an override cannot be read, or names a section that there is not.
    """
    changed = copy.deepcopy(dict(values))
    for override in overrides:
        apply(changed, {}, override)
    _make_absolute(changed, Path.cwd())
    return changed


def _overridden(values: dict[str, Any], marks: Marks, overrides: Sequence[str], top: Mapping[str, Any]) -> Config:
    for override in overrides:
        apply(values, marks, override)
    _make_absolute(values, Path.cwd())
    for key, value in top.items():
        values[key], marks[(key,)] = value, f"--{key}"
    return _check(values, marks)


def unreached(config: Config, overrides: Sequence[str]) -> list[str]:
    """Return a sentence for each override of a training key that leaves a model with a value of its own."""
    named = [override.partition("=")[0].strip() for override in overrides]
    sentences = list[str]()
    for key in (name.removeprefix("training.") for name in named if name.startswith("training.")):
        for role in ("teacher", "student"):
            own = getattr(config, role).overrides()
            deciding = key if key in own else EITHER.get(key, key)
            reached = deciding not in own or own[deciding] == getattr(config.training, deciding)
            if not reached and not {role, f"{role}.{key}"} & set(named):
                sentences.append(
                    f"--set training.{key} does not reach the {role}: the config sets {role}.{deciding} to "
                    f"{setting(own[deciding])}, which stays. Set that too to change it."
                )
    return list(dict.fromkeys(sentences))


def _make_absolute(values: dict[str, Any], folder: Path) -> None:
    paths.make_absolute(values, folder)
    paths.make_axes_absolute(values.get(axes.SECTION), folder)


def _check(values: dict[str, Any], marks: Marks) -> Config:
    _expand_t(values, marks)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(problems.explain(error, values, marks)), problems.HELP) from None
    if config.sweep:
        cells(config, axes.of_section(config.sweep, marks))
    return config


def cells(config: Config, tried: Sequence[Axis]) -> list[tuple[dict[str, Any], Config]]:
    """Return the settings of every combination of the axes' values, each with its config (see `axes.cells`).

    Keys of `distill` that are not set are left to the cell: their defaults depend on its soft loss.
    """
    values = resolved(config)
    values["distill"] = {
        key: values["distill"][key] for key in values["distill"] if key in config.distill.model_fields_set
    }
    return axes.cells(config, values, tried)


def name_of(stem: str) -> str:
    """Return an experiment's name, made of that of its file: what the name of a folder may not have is a hyphen."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-").lstrip(".")[:MOST_CHARACTERS] or UNNAMED


def _find(source: str) -> tuple[str, str, str, Path]:
    """Return a config's text, its name in messages, its own name, and its folder."""
    known = f"Built-in configs: {', '.join(builtin_names())}."
    if not source.strip():
        raise ConfigError(f"expected a config file or the name of a built-in config; received {source!r}", known)
    try:
        return _find_at(Path(source), source)
    except FileNotFoundError:
        raise ConfigError(f"{source}: no such config file", f"Give the path of a YAML file. {known}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{source}: expected YAML text in UTF-8; received other bytes") from None
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}") from None


def _find_at(path: Path, source: str) -> tuple[str, str, str, Path]:
    # A built-in name wins over a folder of the same name, such as that of its experiment.
    if path.is_dir() and source not in builtin_names():
        raise ConfigError(f"{source}: expected a config file; this is a folder")
    is_name = path.name == source and path.suffix not in {".yaml", ".yml"}
    if is_name and not path.is_file():
        return builtin_text(source), f"{source}.yaml", source, Path.cwd()
    return _read(path, source), source, path.stem, path.parent


def _read(path: Path, source: str) -> str:
    """Return the text of a regular, small file: reading a pipe would block for ever, and a device never ends."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ConfigError(f"{source}: expected a config file; this is a pipe or a device")
        content = file.read(yamltext.MAX_BYTES + 1)
    if len(content) > yamltext.MAX_BYTES:
        raise ConfigError(f"{source}: expected a config of at most {yamltext.MAX_BYTES:,} bytes")
    return content.decode("utf-8")


def _folder() -> Traversable:
    """Return the folder of the built-in configs: in an installed package, or next to it in a checkout."""
    installed = resources.files("kdistill") / "_configs"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "configs"


def builtin_names() -> list[str]:
    """Return the names of the built-in configs."""
    files = (entry.name for entry in _folder().iterdir())
    return sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml"))


def builtin_text(name: str) -> str:
    """Return the text of a built-in config.

    Raises:
        ConfigError: there is no built-in config of this name.
    """
    names = builtin_names()
    if name not in names:
        raise ConfigError(
            f"{name}: no such file, and no built-in config of this name{problems.did_you_mean(name, names)}",
            hint=f"Built-in configs: {', '.join(names)}.",
        )
    return (_folder() / f"{name}.yaml").read_text(encoding="utf-8")


def summaries() -> list[dict[str, str]]:
    """Return the name and the first header line of each built-in config."""
    return [{"name": name, "summary": builtin_text(name).splitlines()[0].lstrip("# ")} for name in builtin_names()]


def _expand_t(values: dict[str, Any], marks: Marks) -> None:
    """Rename `distill.T` to `distill.temperature`, in the section `distill` and among the axes of a sweep."""
    for name, short, full in (("distill", "T", "temperature"), (axes.SECTION, "distill.T", "distill.temperature")):
        section = values.get(name)
        if not isinstance(section, dict) or short not in section:
            continue
        if full in section:
            place = problems.place(marks, (name, short))
            raise ConfigError(f"{place}: distill.T: temperature and T are the same key; write one")
        values[name] = {full if key == short else key: value for key, value in section.items()}
        for path in [path for path in marks if path[:2] == (name, short)]:
            marks[(name, full, *path[2:])] = marks.pop(path)


def apply(values: dict[str, Any], marks: Marks, override: str) -> None:
    """Apply an override to values and their places.

    Raises:
        ConfigError: it cannot be read, or names a section that there is not.
    """
    key, equals, text = override.partition("=")
    label = yamltext.option("--set", override)
    if not equals or not key.strip():
        raise ConfigError(f"{label}: expected section.key=value, such as distill.temperature=4")
    path = tuple(part.strip() for part in key.split("."))
    if path == ("distill", "T"):
        path = ("distill", "temperature")
    value, _ = yamltext.read_value(text, label)
    for depth in range(1, len(path)):
        section = path[:depth]
        if section[-1] not in problems.keys_of(section[:-1]):
            raise ConfigError(f"{label}: {problems.unknown_key(section)}")
        takes_keys = problems.keys_of(section) or (section in problems.OWN_KEYS and depth == len(path) - 1)
        if not takes_keys:
            raise ConfigError(f"{label}: {problems.no_keys(section)}")
    for inner in [known for known in marks if known[: len(path)] == path]:
        del marks[inner]
    paths.put(values, path, value)
    marks[path] = label
    for other in replaced_by(path) if value is not None else ():
        if not marks.get(other, "").startswith("--set"):  # two options that contradict each other are refused
            values[path[0]].pop(other[-1], None)


def resolved(config: Config) -> dict[str, Any]:
    """Return a config as a JSON-able document that loads to an equal config.

    Keys without effect are left out, such as the momentum of adam, and so are training keys that a model does not
    override.
    """
    values = config.model_dump(mode="json")
    for role in ("teacher", "student"):
        section = getattr(config, role)
        layers = section.architecture() if role == "student" or config.teacher.has_layers else {}
        values[role] = {**layers, **{key: values[role][key] for key in section.overrides()}}
    values["data"] = {key: values["data"][key] for key in config.data.read_keys()}
    for key in set(READERS) - config.training.model_fields_set:
        del values["training"][key]
    del values["training"][EITHER[config.training.length_key]]
    if config.teacher.preprocessing != "none":
        values["teacher"]["preprocessing"] = config.teacher.preprocessing
    if config.teacher.examples != "labelled":
        values["teacher"]["examples"] = config.teacher.examples
    if config.teacher.members != 1:
        values["teacher"]["members"] = config.teacher.members
    read = [key for key in config.distill.read_keys() if key != "teachers" or config.distill.teachers]
    values["distill"] = {key: values["distill"][key] for key in read}
    values["augmentation"] = config.augmentation.specification()
    if not config.augmentation.changes_images:
        del values["augmentation"]
    if config.data.labels == "single":
        values["data"].pop("labels", None)
    if not config.controls:
        del values["controls"]
    if not config.sweep:
        del values["sweep"]
    # Keys of later versions are left out at their defaults: earlier ones can read the config then.
    if config.data.class_weights is None:
        del values["data"]["class_weights"]
    if config.verdict.scope == "new_examples":
        del values["verdict"]["scope"]
    if config.verdict == Verdict():
        del values["verdict"]
    return values


def dump(config: Config) -> str:
    """Return a config as YAML, resolved (see `resolved`)."""
    return yaml.safe_dump(resolved(config), sort_keys=False, default_flow_style=None, allow_unicode=True)


def described(config: Config) -> str:
    """Return a config as YAML, with the formula of the distilled student's loss as comments at its end."""
    keys, data = config.distill, config.data
    text = of_distillation(keys, config.teachers_together, data.class_weights, data.task, data.has_unlabelled)
    text += config.augmentation.formula_end
    lines = [f"# {line}" for part in text.split("; ") for line in textwrap.wrap(part, 118)]
    return "\n".join([dump(config).rstrip(), "# What the distilled student minimises:", *lines])


def one_line(key: str, value: Any) -> str:
    """Return a key with its value as one line of YAML."""
    return yaml.safe_dump(
        {key: value}, sort_keys=False, default_flow_style=True, allow_unicode=True, width=10**6
    ).strip()[1:-1]


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of config files, in which `name` is optional."""
    schema = Config.model_json_schema()
    schema["required"] = [key for key in schema["required"] if key != "name"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
