"""A report as one HTML file that loads nothing else, from `templates/report.html` and `style.css`."""

import base64
import re
from functools import partial
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import kdistill
from kdistill.core.controls import CONTROLS
from kdistill.core.formatting import counted, file_size, listed, number, percent, points, settings
from kdistill.evaluation.measures import MEASURES
from kdistill.evaluation.statistics import Summary
from kdistill.report.content.report import Report
from kdistill.report.content.text import short, writable
from kdistill.report.pages.example_cards import card
from kdistill.report.plots import all_plots
from kdistill.report.plots.curves import AVERAGED
from kdistill.report.plots.figure import MARKERS

SHOWN = 84  # pixels of an example's longer side
_CODE = re.compile(r"`([^`\n]+)`")
SIGNS = {"s": "■", "^": "▲", "o": "●"}


class Section(NamedTuple):
    """A section of the page: its title, and a short one for the table of contents."""

    title: str
    short: str


SECTIONS = {
    "warnings": Section("Caveats", "Caveats"),
    "arms": Section("Test scores by arm", "Scores"),
    "differences": Section("Paired differences by seed", "Differences"),
    "causes": Section("What the control arms tell", "Controls"),
    "curves": Section("Learning curves", "Learning curves"),
    "reliability": Section("Calibration (reliability diagrams)", "Calibration"),
    "confusion": Section("Confusion matrices", "Confusion"),
    "classes": Section("Per-class accuracy", "Classes"),
    "examples": Section("Examples fixed and broken by distillation", "Examples"),
    "softened": Section("Soft targets", "Soft targets"),
    "sweep": Section("Hyperparameter sweep", "Sweep"),
    "benchmark": Section("Size, accuracy and latency", "Size and latency"),
    "objective": Section("Objective", "Objective"),
    "provenance": Section("Reproducibility", "Reproducibility"),
}
"""The sections by id, in order."""


def render(report: Report, plots: all_plots.Plots | None = None) -> str:
    """Return the whole page.

    Args:
        report: its content.
        plots: its plots, if they are drawn already.
    """
    plots = all_plots.draw(report) if plots is None else plots
    return writable(environment(autoescape=True).get_template("report.html").render(**context(report), plots=plots))


def context(report: Report) -> dict[str, Any]:
    """Return the variables of both templates, except for the plots."""
    found, names = report.predictions, report.class_names
    return {
        "report": report,
        "fixed": [card(change, names, fixed=True) for change in found.fixed],
        "broken": [card(change, names, fixed=False) for change in found.broken],
        "sections": _sections(report),
        "caveats": len(report.state) + len(report.warnings),
        "kept_by": _kept_by(report),
        "averaged": AVERAGED if any(len(arm.runs) >= AVERAGED for arm in report.curves) else None,
        "shown": list(report.arms[0].shown) if report.arms else [],
        "measures": MEASURES,
        "controls": CONTROLS,
        "told": {(of["first"], of["second"]): of for of in (report.causes or {"comparisons": []})["comparisons"]},
        "published": any(arm.expected is not None for arm in report.arms),
        "version": kdistill.__version__,
    }


def _sections(report: Report) -> dict[str, Section]:
    shown = dict(SECTIONS)
    if not report.sweep and "sweep" not in report.missing:
        del shown["sweep"]
    if not report.causes:
        del shown["causes"]
    if soft := report.predictions.softened:
        at = " at T = 1" + ("" if soft.temperature == 1 else f" and T = {soft.temperature:g}")
        shown["softened"] = Section(f"Soft targets{at}", "Soft targets")
    return shown


def _kept_by(report: Report) -> dict[tuple[str, int | None], list[str]]:
    """Return the arms of each measure and patience by which epochs were kept."""
    arms = dict[tuple[str, int | None], list[str]]()
    for of in report.curves:
        arms.setdefault((of.monitor, of.patience), []).append(of.arm)
    return arms


def environment(autoescape: bool) -> Environment:
    """Return the environment of the templates; an undefined name is an error."""
    made = Environment(
        loader=PackageLoader("kdistill.report.pages"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"points": points, "percent": percent, "score": number, "file_size": file_size, "counted": counted}
    made.filters |= {"prose": prose, "data_uri": data_uri, "short": short, "settings": settings, "listed": listed}
    made.globals |= {"signs": {arm: SIGNS[mark] for arm, mark in MARKERS.items()}, "mean_sd": mean_sd}
    made.globals |= {"picture_of": partial(all_plots.picture, shown=SHOWN), "inline": Markup}  # SVG is escaped already
    return made


def prose(text: str) -> Markup:
    """Return a sentence for HTML, with text in backticks as code, and no line broken before a per cent sign."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))).replace(" %", "\u00a0%"))


def data_uri(png: bytes) -> str:
    """Return a PNG file as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def mean_sd(values: Summary | None) -> str:
    """Return mean and standard deviation; a dash for None."""
    if values is None:
        return number(None)
    spread = "" if values["sd"] is None else f" ±\u00a0{number(values['sd'])}"
    return f"{number(values['mean'])}{spread}"
