"""Shows data sets: whether they are found and intact, and what a user's own data hold."""

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from kdistill.cli.rendering.results import facts
from kdistill.cli.rendering.tables import Pairs, sections
from kdistill.core.formatting import dimensions, first_few

CLASSES_SHOWN = 50

Document = Mapping[str, Any]


def named_data(document: Document) -> RenderableType:
    """Show for each data set by name whether it is there and intact, and the folders that were searched."""
    return sections(*(Pairs(name, _found(info)) for name, info in document.items()))


def _found(info: Document) -> list[tuple[str, str]]:
    state = "intact" if info["intact"] else "damaged"
    problem = "" if info["intact"] else f": {info['problem']}"
    places = [
        f"{place['folder']} ({place['named_by']}): {'intact' if place['intact'] else place['problem']}"
        for place in info["searched"]
    ]
    return [
        ("state", f"{state}, {info['folder']}{problem}" if info["found"] else "not here"),
        ("holds", f"{_examples(info)}; {dimensions(info['shape'])}, {len(info['classes'])} classes"),
        *_labels(info).items(),
        *([("searched", "\n".join(places))] if places else []),
    ]


def fetched(document: Document) -> RenderableType:
    """Show what was downloaded, and into which folder."""
    what = ", ".join(document["downloaded"]) or "nothing to download"
    return Text(f"{document['title']}: {what}; {document['folder']}")


def own_data(document: Document) -> RenderableType:
    """Show the description of the user's own data that `datasets.describe` returned, by the name of its form."""
    return facts({name: _rows(info) for name, info in document.items()})


def exported(document: Document) -> RenderableType:
    """Show what `datasets.export` has written."""
    names = document["classes"]
    classes = f"{len(names):,}: {first_few(names, CLASSES_SHOWN)}"
    return facts({**document, "shape": dimensions(document["shape"]), "classes": classes})


def _labels(info: Document) -> dict[str, str]:
    """Return a row on training examples without labels, where there are any."""
    found = {name: f"{info[name]:,}" for name in ("labelled", "unlabelled") if name in info}
    return (
        {"labels": f"{found['labelled']} training examples have one, {found['unlabelled']} have none"} if found else {}
    )


def _examples(info: Document) -> str:
    return ", ".join(f"{number:,} {part}" for part, number in info["examples"].items())


def _rows(info: Document) -> dict[str, Any]:
    size, count = dimensions(info["shape"]), len(info["classes"])
    rows = {
        "place": info["folder"],
        "examples": _examples(info),
        **_labels(info),
        "shape": f"{size}, {count} classes",
        "kind": info["kind"],
        "values": f"{info['type']}, {info['scaling']}",
        f"{' + '.join(info['per_class'])}": _by_class(info),
    }
    return rows | {name: info[name] for name in ("notes", "warnings") if info.get(name)}


def _by_class(info: Document) -> list[str]:
    counts = list(zip(info["classes"], *info["per_class"].values(), strict=True))
    lines = [f"{name}: {' + '.join(f'{number:,}' for number in of)}" for name, *of in counts[:CLASSES_SHOWN]]
    more = len(counts) - CLASSES_SHOWN
    return [*lines, f"and {more} more: see --json"] if more > 0 else lines
