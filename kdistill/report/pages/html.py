"""The page: one HTML file that needs nothing else, from `templates/report.html` and `style.css`."""

import base64
import re
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from kdistill.core.formatting import counted, file_size, number, percent, points
from kdistill.evaluation.statistics import Summary
from kdistill.report.content.report import Example, Material
from kdistill.report.content.text import short, writable
from kdistill.report.pages import example_cards
from kdistill.report.plots import all_plots
from kdistill.report.plots.figure import MARKERS
from kdistill.report.plots.sweep import settings

SHOWN = 84  # pixels of an example's longer side
_CODE = re.compile(r"`([^`\n]+)`")
SIGNS = {"s": "■", "^": "▲", "o": "●"}


SECTIONS = {
    "arms": ("The arms compared", ("arms",)),
    "differences": ("The difference, seed by seed", ("verdict",)),
    "curves": ("How they learnt", ("curves",)),
    "reliability": ("How sure they are, and how right", ("reliability",)),
    "confusion": ("What is taken for what", ("confusion",)),
    "classes": ("What distillation changed, class by class", ("classes",)),
    "examples": ("What distillation fixed and broke", ("fixed", "broken")),
    "softened": ("What the teacher says when it is softened", ("softened",)),
    "sweep": ("The sweep", ("sweep",)),
    "benchmark": ("Size, accuracy, latency", ("benchmark",)),
    "objective": ("What was minimised", ()),
    "warnings": ("What speaks against it", ()),
    "provenance": ("How to get it again", ()),
}
"""Sections in their order: title, and the parts of `Material` of which at least one has to be there, or be missed."""


def render(material: Material, plots: all_plots.Plots | None = None) -> str:
    """Return the whole page.

    Args:
        material: what it tells.
        plots: its pictures, where they are drawn already.
    """
    plots = all_plots.draw(material) if plots is None else plots
    template = environment(autoescape=True).get_template("report.html")
    style = Markup(resources.files("kdistill.report.pages").joinpath("templates/style.css").read_text(encoding="utf-8"))
    return writable(template.render(**told(material), plots=plots, style=style))


def told(material: Material) -> dict[str, Any]:
    """Return what both templates are given besides their plots."""
    return {
        "m": material,
        "fixed": example_cards.cards(material.fixed, material.class_names, fixed=True),
        "broken": example_cards.cards(material.broken, material.class_names, fixed=False),
        "sections": [(name, title) for name, (title, parts) in SECTIONS.items() if _is_told(material, parts)],
        "published": any(arm.expected is not None for arm in material.arms),
    }


def _is_told(material: Material, parts: tuple[str, ...]) -> bool:
    return not parts or any(getattr(material, part) or part in material.missing for part in parts)


def environment(autoescape: bool) -> Environment:
    """Return what fills in the templates; a name that is not there is an error, not an empty place."""
    made = Environment(
        loader=PackageLoader("kdistill.report.pages"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "points": points,
        "percent": percent,
        "score": number,
        "file_size": file_size,
        "counted": counted,
        "prose": prose,
        "data_uri": data_uri,
        "short": short,
        "described": example_cards.described,
        "spoken": example_cards.spoken,
    }
    made.globals |= {"signs": {arm: SIGNS[mark] for arm, mark in MARKERS.items()}, "settings": settings}
    made.globals |= {"example_picture": _example_picture, "inline": inline, "mean_sd": mean_sd}
    return made


def prose(text: str) -> Markup:
    """Return a sentence for HTML, what stands in backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))


def inline(svg: str) -> Markup:
    """Return an SVG element of ours as it is. Names in it are escaped already."""
    return Markup(svg)


def data_uri(png: bytes) -> str:
    """Return a PNG file as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _example_picture(example: Example) -> all_plots.Picture | None:
    return None if example.image is None else all_plots.picture(example.image, SHOWN)


def mean_sd(values: Summary | None) -> str:
    """Return mean and standard deviation; a dash for None."""
    if values is None:
        return number(None)
    spread = "" if values["sd"] is None else f" ± {number(values['sd'])}"
    return f"{number(values['mean'])}{spread}"
