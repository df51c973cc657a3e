"""Writes a report: `report.html` alone, and `report.md` with its pictures in a folder beside it."""

from pathlib import Path
from typing import TypedDict

from kdistill.core import files
from kdistill.report.content.report import Report
from kdistill.report.pages import html, markdown
from kdistill.report.plots import all_plots

HTML, MARKDOWN, PICTURES = "report.html", "report.md", "report-files"


class Page(TypedDict):
    """The files of a report, and its main statements."""

    experiment: str
    folder: str
    html: str  # a path
    markdown: str  # a path
    pictures: list[str]  # paths
    bytes: int  # of the HTML
    headline: str  # see `Report.headline`
    verdict: str | None
    verdict_text: str | None
    state: list[str]
    warnings: list[str]
    missing: dict[str, str]


def write(folder: Path, report: Report) -> Page:
    """Write a report in both forms into the folder of its experiment, each file whole or not at all.

    Raises:
        OutputError: the folder cannot be written.
    """
    plots = all_plots.draw(report)
    page = html.render(report, plots)
    text, pictures = markdown.render(report, PICTURES, plots)
    home = folder / PICTURES
    with files.writing(folder):
        home.mkdir(exist_ok=True)
        for name, content in pictures.items():
            with files.replacing(home / name) as temporary:
                temporary.write_bytes(content)
        files.write_text(folder / MARKDOWN, text)
        files.write_text(folder / HTML, page)
        for left in home.glob("*.png"):  # of an earlier report with more pictures
            if left.name not in pictures:
                left.unlink(missing_ok=True)
        files.remove_stale(home)
    return {
        "experiment": report.name,
        "folder": str(folder),
        "html": str(folder / HTML),
        "markdown": str(folder / MARKDOWN),
        "pictures": [str(home / name) for name in pictures],
        "bytes": len(page.encode()),
        "headline": report.headline,
        "verdict": report.verdict.decision if report.verdict else None,
        "verdict_text": report.verdict.sentence if report.verdict else None,
        "state": list(report.state),
        "warnings": list(report.warnings),
        "missing": dict(report.missing),
    }
