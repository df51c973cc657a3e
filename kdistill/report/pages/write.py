"""Writes a page: `report.html` alone, and `report.md` with its pictures in a folder beside it."""

from pathlib import Path
from typing import TypedDict

from kdistill.core import files
from kdistill.report.content.report import Material
from kdistill.report.pages import markdown
from kdistill.report.pages.html import render
from kdistill.report.plots import all_plots as drawn

HTML, MARKDOWN, PICTURES = "report.html", "report.md", "report-files"


class Page(TypedDict):
    """A page that was written, and what it says first."""

    experiment: str
    folder: str
    html: str  # a path
    markdown: str
    pictures: list[str]
    bytes: int  # of the HTML
    verdict: str | None  # None where there is none
    verdict_text: str | None
    state: list[str]
    warnings: list[str]
    missing: dict[str, str]


def write(folder: Path, material: Material) -> Page:
    """Write the page in both forms into the folder of its experiment, each file whole or not at all.

    Raises:
        OutputError: the folder cannot be written.
    """
    plots = drawn.draw(material)
    html = render(material, plots)
    text, pictures = markdown.render(material, PICTURES, plots)
    home = folder / PICTURES
    with files.writing(folder):
        home.mkdir(exist_ok=True)
        for name, content in pictures.items():
            with files.replacing(home / name) as temporary:
                temporary.write_bytes(content)
        files.write_text(folder / MARKDOWN, text)
        files.write_text(folder / HTML, html)
        for left in home.glob("*.png"):  # of a page before, which showed more
            if left.name not in pictures:
                left.unlink(missing_ok=True)
        files.remove_stale(home)
    return {
        "experiment": material.name,
        "folder": str(folder),
        "html": str(folder / HTML),
        "markdown": str(folder / MARKDOWN),
        "pictures": [str(home / name) for name in pictures],
        "bytes": len(html.encode()),
        "verdict": material.verdict.decision if material.verdict else None,
        "verdict_text": material.verdict.sentence if material.verdict else None,
        "state": list(material.state),
        "warnings": list(material.warnings),
        "missing": dict(material.missing),
    }
