"""Files changed as a disk or a person may change them: cut off, bits flipped, keys and lines taken out, swapped."""

import copy
import io
import json
import zipfile
from collections.abc import Iterator

import yaml

# What a value is replaced with: one of each type, and numbers that no reader expects.
OTHERS = (None, True, -1, 10**6, 0.5, "text", [], {}, [1], {"a": 1})
# Other JSON than what was written; Python reads NaN, and gives up on very deep documents.
SWAPPED = (b"{}", b"[]", b"null", b"3", b'"text"', b'{"a": NaN}', b"[" * 100_000, b"{", b"\xff\xfe", b"\0" * 64)


def of_file(path, random, some=8, swap=()):
    """Yield (kind, content) for a file, by what it is; `some` of the kinds that there are many of, drawn by `random`.

    Args:
        path: of the sound file.
        random: a generator of NumPy.
        some: how many bits are flipped, how many keys removed, and so on.
        swap: other files, whose content is put into its place.
    """
    content = path.read_bytes()
    yield from of_bytes(content, random, some)
    if path.suffix == ".json":
        yield from _of_json(content, random, some)
    elif path.suffix == ".jsonl":
        yield from _of_lines(content, random, some)
    elif path.suffix == ".yaml":
        yield from _of_yaml(content, random, some)
    elif path.suffix == ".keras":
        yield from models(content, random, some)
    for other in swap:
        yield f"is {other.parent.name}/{other.name}", other.read_bytes()


def group_of(kind):
    """Return the group of a kind of mutation, of which `of_file` yields many."""
    kind = kind.removeprefix("config.json: ").removeprefix("line 1: ")
    first = kind.split(" ")[0]
    if first in ("empty", "cut", "last"):
        return "cut"
    if kind.startswith(("is b'", 'is b"', "line 1 is b")):
        return "other content"
    if kind.startswith(("without line", "lines")):
        return "lines"
    if first in ("bit", "zeros", "without"):
        return first
    return "other file" if first == "is" else "other value"


def of_bytes(content, random, some):
    """Yield what a disk may do to a file of any kind."""
    yield "empty", b""
    for share in (0.1, 0.5, 0.9):
        yield f"cut at {share:.0%}", content[: int(share * len(content))]
    yield "last byte cut", content[:-1]
    for _ in range(some):
        place, bit = int(random.integers(len(content))), int(random.integers(8))
        changed = bytearray(content)
        changed[place] ^= 1 << bit
        yield f"bit {bit} of byte {place} flipped", bytes(changed)
    start = int(random.integers(len(content)))
    yield f"zeros from byte {start}", content[:start] + bytes(min(512, len(content) - start)) + content[start + 512 :]


def _of_json(content, random, some):
    for other in SWAPPED:
        yield f"is {other[:12]!r}", other
    for kind, changed in trees(json.loads(content), random, some):
        yield kind, json.dumps(changed, indent=2).encode()


def _of_lines(content, random, some):
    lines = content.splitlines(keepends=True)
    for number in range(len(lines)):
        yield f"without line {number + 1}", b"".join(lines[:number] + lines[number + 1 :])
    yield "lines reversed", b"".join(lines[::-1])
    yield "lines twice", content + content
    for other in SWAPPED:
        yield f"line 1 is {other[:12]!r}", b"".join([other + b"\n", *lines[1:]])
    for kind, changed in trees(json.loads(lines[0]), random, some):
        yield f"line 1: {kind}", b"".join([json.dumps(changed).encode() + b"\n", *lines[1:]])


def _of_yaml(content, random, some):
    for other in (b"3", b"[]", b"a: [", b"{}", b"\xff\xfe", b"a: &a [*a]"):
        yield f"is {other!r}", other
    for kind, changed in trees(yaml.safe_load(content), random, some):
        yield kind, yaml.safe_dump(changed, sort_keys=False).encode()


def models(content, random, some):
    """Yield model files with another config, correct checksums included: what the archive does not find out."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for kind, changed in trees(json.loads(members["config.json"]), random, some):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for name, member in {**members, "config.json": json.dumps(changed).encode()}.items():
                archive.writestr(name, member)
        yield f"config.json: {kind}", stream.getvalue()


def trees(document, random, some) -> Iterator[tuple[str, object]]:
    """Yield copies of a document with a key or an item removed, or with a value of another type, `some` of each."""
    paths = list(_paths(document))
    top = [path for path in paths if len(path) == 1]
    drawn = [paths[number] for number in random.permutation(len(paths))[:some]]
    for path in dict.fromkeys([*(top if some > 4 else ()), *drawn]):
        yield f"without {_name(path)}", _changed(document, path)
    for number in random.permutation(len(paths))[:some]:
        other = OTHERS[int(random.integers(len(OTHERS)))]
        yield f"{_name(paths[number])} is {other!r}", _changed(document, paths[number], [other])


def _paths(value, path=()):
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, of_key in inner:
        yield (*path, key)
        yield from _paths(of_key, (*path, key))


def _changed(document, path, value=()):
    """Return a copy of a document without what is at `path`, or with the single item of `value` there."""
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    if value:
        place[path[-1]] = value[0]
    else:
        del place[path[-1]]
    return changed


def _name(path):
    return ".".join(map(str, path))
