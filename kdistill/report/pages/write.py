"""Writes a page: `report.html` alone, and `report.md` with its pictures in a folder beside it."""

from pathlib import Path
from typing import Any

from kdistill.core import files
from kdistill.report.content.report import Material
from kdistill.report.pages import markdown
from kdistill.report.pages.html import render
from kdistill.report.plots import all_plots as drawn

Document = dict[str, Any]

HTML, MARKDOWN, PICTURES = "report.html", "report.md", "report-files"


def write(folder: Path, material: Material) -> Document:
    """Write the page in both forms into the folder of its experiment, each file whole or not at all.

    Returns:
        `experiment`, `folder`, `html`, `markdown`, `pictures` (paths), `bytes` (of the HTML), `verdict` and
        `verdict_text` (None where there is none), `state`, `warnings`, `missing`.

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
        files.sweep(home)
    return {
        "experiment": material.name,
        "folder": str(folder),
        "html": str(folder / HTML),
        "markdown": str(folder / MARKDOWN),
        "pictures": [str(home / name) for name in pictures],
        "bytes": len(html.encode()),
        "verdict": material.verdict and material.verdict.decision,
        "verdict_text": material.verdict and material.verdict.sentence,
        "state": list(material.state),
        "warnings": list(material.warnings),
        "missing": dict(material.missing),
    }
