"""Matplotlib figures as parts of a page: SVG that follows the page's colour scheme, and PNG for everywhere else.

A figure is drawn once, in the colours of the light scheme. Each of these stands for a role, and for nothing else, so
that in SVG it becomes the CSS variable of that role; `templates/style.css` sets them for both schemes. Nothing is drawn
with pyplot: there is no global state, and no display.
"""

import io
import re
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

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
}
"""The roles, as in `style.css`, in the light scheme.

The arms are Okabe and Ito's bluish green, vermilion and blue, which survive colour-blindness (the first two darkened,
so that text in them is legible on white); `more` and `less` fill cells, at most so strongly that ink is legible on
them.
"""
MARKERS = {"teacher": "s", "baseline": "^", "distilled": "o"}
DASHES = {"teacher": (0, (6, 2, 1, 2)), "baseline": (0, (4, 2)), "distilled": "solid"}

PIXELS = 72  # of the page in an inch: a point of the figure is a pixel of the page
PNG_DPI = 160
TITLE_WIDTH, TITLE_HEIGHT = 7.2, 14  # pixels of a character and of a line of a title
STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],  # ships with Matplotlib: the layout is the same everywhere
    "font.size": 11.0,
    "text.color": COLOURS["ink"],
    "text.parse_math": False,  # a dollar in a class name is a dollar
    "axes.titlesize": 11.0,
    "axes.labelsize": 11.0,
    "axes.labelcolor": COLOURS["ink"],
    "axes.edgecolor": COLOURS["muted"],
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.7,
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.labelcolor": COLOURS["muted"],
    "xtick.labelsize": 10.0,
    "ytick.labelsize": 10.0,
    "legend.fontsize": 10.0,
    "legend.frameon": False,
    "figure.dpi": PIXELS,
    "svg.fonttype": "none",  # text stays text: it can be searched, read out, and has the page's font
    "path.simplify_threshold": 0.3,
}
SVG = "http://www.w3.org/2000/svg"
XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
_FONT = re.compile(r"""(['"]?)DejaVu Sans\1""")
_DECIMALS = re.compile(r"-?\d+\.\d{3,}")


@dataclass
class Plot:
    """A picture with what is said about it.

    Attributes:
        name: of files and ids: lower-case letters and hyphens, unique on its page.
        title: what it shows.
        alt: what can be seen in it, for whoever cannot; with the numbers that matter.
        figure: which has no title of its own.
        note: what should be known to read it, if anything.
    """

    name: str
    title: str
    alt: str
    figure: Figure = field(repr=False)
    note: str = ""

    @property
    def svg(self) -> str:
        """The figure as an SVG element, to stand in HTML, in the colours of the page."""
        return _inline(self._saved("svg", metadata={"Date": None}), self.name, self.alt)

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
    """Draw in the style of the page, whatever the user's own `matplotlibrc` says."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # A name in a script that DejaVu has no glyphs of is drawn by the browser, which has.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        matplotlib.rcParams["svg.hashsalt"] = salt
        yield


@contextmanager
def drawing(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """Give a figure with one pair of axes, to draw within the `with`; it is laid out at the end of that.

    Args:
        width: in pixels of the page.
        height: likewise.
    """
    with drawing_several(width, height) as (figure, (axes,)):
        yield figure, axes


@contextmanager
def drawing_several(width: float, height: float, **options: Any) -> Iterator[tuple[Figure, list[Axes]]]:
    """Give a figure with several pairs of axes.

    Args:
        width: in pixels of the page.
        height: likewise.
        options: of `Figure.subplots`.
    """
    with _style("drawing"):
        figure = Figure(figsize=(width / PIXELS, height / PIXELS))
        yield figure, list(figure.subplots(squeeze=False, **options).flat)
        # Once, here: a figure with an engine of its own is laid out and drawn again for every file that is saved.
        ConstrainedLayoutEngine().execute(figure)


def _inline(svg: bytes, name: str, alt: str) -> str:
    """Return an SVG file of Matplotlib's as an element that shares no id with any other on the page."""
    root = ElementTree.fromstring(svg)
    used = {reference for element in root.iter() for reference in _references(element)}
    for element in root.iter():
        identity = element.attrib.pop("id", None)
        if identity in used:
            element.set("id", f"{name}-{identity}")
        for key, value in list(element.attrib.items()):
            del element.attrib[key]
            element.set("href" if key == XLINK_HREF else key, _restyled(key, value, name))
    for left in [child for child in root if child.tag == f"{{{SVG}}}metadata"]:
        root.remove(left)
    root.attrib.pop("version", None)
    for key in ("width", "height"):
        root.set(key, root.attrib[key].removesuffix("pt"))
    root.attrib |= {"role": "img", "aria-label": alt, "class": "plot"}
    ElementTree.register_namespace("", SVG)
    return ElementTree.tostring(root, encoding="unicode")


def _references(element: ElementTree.Element) -> Iterator[str]:
    for key, value in element.attrib.items():
        if key == XLINK_HREF and value.startswith("#"):
            yield value[1:]
        elif value.startswith("url(#"):
            yield value[5:-1]


def _restyled(key: str, value: str, name: str) -> str:
    """Return an attribute's value with the page's colours and font, ids of its own, and the digits that are seen."""
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
