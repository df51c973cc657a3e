"""Reads YAML text into plain values, each with its place (file, line, column).

It is stricter than PyYAML's safe loader: duplicate keys are refused, the only types are null, true, false, numbers and
text, `1e-3` is a number, and documents whose aliases expand to too many values are refused.
"""

import re
from typing import Any

import yaml

from kdistill.core.errors import ConfigError

MAX_BYTES = 200_000
MAX_VALUES = 20_000
LONGEST_OPTION = 80  # characters of an option, in messages

# The place of each value: path of keys and list positions -> "file:line:column".
Path = tuple[str | int, ...]
Marks = dict[Path, str]

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {_TAG + name for name in ("null", "bool", "int", "float", "str")}


class _Loader(yaml.SafeLoader):
    """Reads scalars as YAML 1.2 does: `no` is text, `012` is not ten, `1e-3` is a number."""

    yaml_implicit_resolvers: dict = {}  # noqa: RUF012 (as PyYAML declares it)


for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), _first)


def read(text: str, source: str) -> tuple[dict[str, Any], Marks]:
    """Return the mapping in a YAML document, and the place of each of its values.

    Args:
        text: one YAML document.
        source: its name in messages, such as that of the file.

    Raises:
        ConfigError: it is empty, no mapping or too large, or has a syntax error, a duplicate key or another type.
    """
    value, marks = read_value(text, source)
    if value is None:
        raise ConfigError(f"{source}: the file is empty; expected a config")
    if not isinstance(value, dict):
        raise ConfigError(f"{source}: expected `key: value` lines; received {shown(value)}")
    return value, marks


def read_value(text: str, source: str) -> tuple[Any, Marks]:
    """Return one YAML value of any type, and the places in it; see `read`.

    Raises:
        ConfigError: it is not valid YAML, or too large.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise ConfigError(f"{source}: expected a config of at most {MAX_BYTES:,} bytes")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        reader = _Reader(loader, source)
        return reader.value(node, ()) if node is not None else None, reader.marks
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"{_place(source, mark)}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:  # characters that YAML does not allow
        raise ConfigError(f"{source}: not YAML text: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise ConfigError(f"{source}: the config is nested too deeply") from None


class _Reader:
    def __init__(self, loader: yaml.SafeLoader, source: str) -> None:
        self.loader = loader
        self.source = source
        self.marks: Marks = {}
        self.seen = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        """Return the value of a node; values that an alias repeats are counted each time."""
        self.seen += 1
        if self.seen > MAX_VALUES:
            raise ConfigError(f"{self.source}: expected a config of at most {MAX_VALUES:,} values")
        self.marks.setdefault(path, _place(self.source, node.start_mark))
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(item, (*path, number)) for number, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _PLAIN_TAGS:
            return self._scalar(node)
        raise ConfigError(
            f"{_place(self.source, node.start_mark)}: expected a plain value; received one with the tag {node.tag}"
        )

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        try:
            return self.loader.construct_object(node)
        except ValueError:  # an explicit tag, such as `!!int x`; or more digits than Python reads
            place = _place(self.source, node.start_mark)
            raise ConfigError(f"{place}: cannot read {node.value[:40]!r} as {node.tag}") from None

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            place = _place(self.source, key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{place}: expected a word as a key")
            key = key_node.value
            if key == "<<":
                raise ConfigError(f"{place}: merge keys (<<) are not supported; write the keys out")
            if key in lines:
                raise ConfigError(f"{place}: duplicate key '{key}' (first on line {lines[key]})")
            lines[key] = key_node.start_mark.line + 1
            self.marks[(*path, key)] = place
            values[key] = self.value(value_node, (*path, key))
        return values


def option(name: str, text: str) -> str:
    """Return an option of the command line as messages name it: in one line, and shortened."""
    line = " ".join(text.split())
    return f"{name} {line if len(line) <= LONGEST_OPTION else f'{line[: LONGEST_OPTION - 3]}...'}"


def shown(value: Any) -> str:
    """Return a value as messages show it: in YAML's words, at most 60 characters."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    text = "a section" if isinstance(value, dict) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _place(source: str, mark: yaml.Mark | None) -> str:
    return f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
