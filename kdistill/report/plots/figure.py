"""Matplotlib figures as parts of a page: SVG in the page's colour scheme for HTML, and PNG for Markdown.

A figure is drawn once, in the colours of the light scheme. Each colour stands for one role, so that SVG can have the
CSS variable of that role instead; `templates/style.css` sets the variables for both schemes. Nothing is drawn with
pyplot: there is no global state, and no display.
"""

import io
import itertools
import re
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

from kdistill.core.controls import CONTROLS

COLOURS = {
    "ink": "#1b1f24",
    "muted": "#59636e",
    "line": "#d0d7de",
    "paper": "#ffffff",
    "teacher": "#00795a",
    "baseline": "#c44f00",
    "distilled": "#0072b2",
    "more": "#5b9bd5",
    "less": "#e69f00",
    "control-1": "#a3477f",
    "control-2": "#7d6608",
    "control-3": "#4b4bb0",
    "control-4": "#7a3b00",
    "control-5": "#5f7a1f",
}
"""The colour of each role in the light scheme, as in `style.css`.

The arms are Okabe and Ito's bluish green, vermilion and blue, which colour-blind readers can tell apart (the first two
darkened, so that text in them is legible on white); `more` and `less` fill cells, and ink is legible on both.
"""
MARKERS = {"teacher": "s", "baseline": "^", "distilled": "o"}
DASHES = {"teacher": (0, (6, 2, 1, 2)), "baseline": (0, (4, 2)), "distilled": "solid"}


class Look(NamedTuple):
    """How the lines of an arm are drawn."""

    colour: str
    marker: str
    dashes: Any


_OF_CONTROLS = [
    Look(COLOURS[f"control-{number}"], marker, dashes)
    for number, (marker, dashes) in enumerate(
        [("D", (0, (1, 1))), ("v", (0, (5, 1))), ("P", (0, (3, 1, 1, 1))), ("X", (0, (8, 3))), ("d", (0, (2, 3)))], 1
    )
]
LOOKS = {arm: Look(COLOURS[arm], MARKERS[arm], DASHES[arm]) for arm in MARKERS} | dict(
    zip(CONTROLS, itertools.cycle(_OF_CONTROLS), strict=False)
)

PIXELS = 72  # of the page in an inch: a point of the figure is a pixel of the page
PNG_DPI = 160
TITLE_WIDTH, TITLE_HEIGHT = 7.2, 14  # pixels of a character and of a line of a title
STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],  # ships with Matplotlib: the layout is the same everywhere
    "font.size": 11.0,
    "text.color": COLOURS["ink"],
    "text.parse_math": False,  # a dollar in a class name is a dollar
    "axes.titlesize": 11.0,
    "axes.labelcolor": COLOURS["ink"],
    "axes.edgecolor": COLOURS["muted"],
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.7,
    **{f"{axis}tick.{key}": COLOURS["muted"] for axis in "xy" for key in ("color", "labelcolor")},
    **{f"{axis}tick.labelsize": 10.0 for axis in "xy"},
    "legend.fontsize": 10.0,
    "legend.frameon": False,
    "figure.dpi": PIXELS,
    "svg.fonttype": "none",  # text stays text: it can be searched and read aloud, and has the page's font
    "path.simplify_threshold": 0.3,
}
SVG = "http://www.w3.org/2000/svg"
NO_METADATA: dict[str, None] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
_REFERENCE = re.compile(r"""(?:url\(#|href="#)([^)"]+)""")
_FONT = re.compile(r"""(['"]?)DejaVu Sans\1""")
_DECIMALS = re.compile(r"-?\d+\.\d{3,}")


@dataclass
class Plot:
    """A figure with its texts.

    Attributes:
        name: name of its files and ids: lower-case letters and hyphens, unique on a page.
        title: what the figure shows.
        alt: alternative text for screen readers, with the numbers that matter.
        figure: without a title of its own.
        note: how to read the figure; empty if that is obvious.
    """

    name: str
    title: str
    alt: str
    figure: Figure = field(repr=False)
    note: str = ""

    @property
    def width(self) -> int:
        """The width of the figure in pixels of the page, where there is room for it."""
        return round(self.figure.get_size_inches()[0] * PIXELS)

    @property
    def svg(self) -> str:
        """The figure as an SVG element for HTML, in the colours of the page."""
        return _inline(self._saved("svg", metadata=NO_METADATA), self.name, self.alt)

    @property
    def png(self) -> bytes:
        """The figure with its title above it as a PNG file, on white."""
        width, height = self.figure.get_size_inches()
        lines = textwrap.wrap(self.title, int(width * PIXELS / TITLE_WIDTH))
        room = (len(lines) * TITLE_HEIGHT + 8) / PIXELS
        top = 1 + (room - 4 / PIXELS) / height
        with _style(self.name):
            title = self.figure.text(0.01, top, "\n".join(lines), va="top", fontweight="bold", fontsize=11)
        try:
            whole = Bbox([[0, 0], [width, height + room]])
            return self._saved("png", dpi=PNG_DPI, metadata={"Software": None}, bbox_inches=whole)
        finally:
            title.remove()

    def _saved(self, form: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        with _style(self.name):
            self.figure.savefig(buffer, format=form, facecolor=COLOURS["paper"], transparent=form == "svg", **options)
        return buffer.getvalue()


@contextmanager
def _style(salt: str) -> Iterator[None]:
    """Apply the style of the page instead of the user's own `matplotlibrc`."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # DejaVu has no glyphs for some scripts; the browser has.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        matplotlib.rcParams["svg.hashsalt"] = salt
        yield


@contextmanager
def drawing(width: float, height: float, **options: Any) -> Iterator[tuple[Figure, Any]]:
    """Give a figure to draw within the `with`, at whose end it is laid out.

    Args:
        width: in pixels of the page.
        height: in pixels of the page.
        options: of `Figure.subplots`, whose result comes with the figure: one pair of axes, or an array of them.
    """
    with _style("drawing"):
        figure = Figure(figsize=(width / PIXELS, height / PIXELS))
        yield figure, figure.subplots(**options)
        lay_out(figure)


def lay_out(figure: Figure) -> None:
    """Lay out a figure as it is now: one that has a layout engine is laid out and drawn again for every file."""
    ConstrainedLayoutEngine().execute(figure)


def _inline(svg: bytes, name: str, alt: str) -> str:
    """Return a Matplotlib SVG file as an element for HTML, whose ids all begin with its name."""
    root = ElementTree.fromstring(svg)
    used = set(_REFERENCE.findall(svg.decode()))
    for element in root.iter():
        identity = element.attrib.pop("id", None)
        if identity in used:
            element.set("id", f"{name}-{identity}")
        for key, value in list(element.attrib.items()):
            del element.attrib[key]
            element.set("href" if key == XLINK_HREF else key, _restyled(key, value, name))
    for key in ("width", "height"):
        root.set(key, root.attrib[key].removesuffix("pt"))
    root.attrib |= {"role": "img", "aria-label": alt, "class": "plot", "style": f"--w: {root.attrib['width']}px"}
    ElementTree.register_namespace("", SVG)
    return ElementTree.tostring(root, encoding="unicode")


def _restyled(key: str, value: str, name: str) -> str:
    """Return an attribute's value with the page's colours and font, prefixed ids, and visible digits only."""
    if key == "style":
        for role, colour in COLOURS.items():
            value = value.replace(colour, f"var(--{role})")
        return _FONT.sub("var(--sans)", value)
    if value.startswith("url(#"):
        return f"url(#{name}-{value[5:]}"
    if key == XLINK_HREF and value.startswith("#"):
        return f"#{name}-{value[1:]}"
    if key in {"d", "x", "y", "transform", "points", "width", "height"}:
        return _DECIMALS.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), value)
    return value
