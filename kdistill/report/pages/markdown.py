"""A report as Markdown for a repository, from `templates/report.md`, with its pictures as PNG files."""

import re

from kdistill.report.content.predictions import Example
from kdistill.report.content.report import Report
from kdistill.report.content.text import short, writable
from kdistill.report.pages import html
from kdistill.report.plots import all_plots

_MARKUP = re.compile(r"[\\`*_{}\[\]()<>#|~$&@]|:(?=//)|(?<=www)\.")


def render(report: Report, folder: str, plots: all_plots.Plots | None = None) -> tuple[str, dict[str, bytes]]:
    """Return the text, and the pictures that it shows, by file name.

    Args:
        report: its content.
        folder: of the pictures, relative to the text.
        plots: its plots, if they are drawn already.
    """
    plots = all_plots.draw(report) if plots is None else plots
    found = {f"{plot.name}.png": plot.png for of_part in plots.values() for plot in of_part}

    def image_of(example: Example) -> str | None:
        """Add the image of an example to the pictures, and return its file name."""
        if example.image is None:
            return None
        name = f"example-{example.number}.png"
        found[name] = all_plots.picture(example.image, enlarge=True).png
        return name

    environment = html.environment(autoescape=False)
    environment.filters |= {"md": escaped, "prose": sentence, "fenced": fenced}
    environment.globals |= {"image_of": image_of, "folder": folder}
    text = environment.get_template("report.md").render(**html.context(report), plots=plots)
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    return f"{writable(text)}\n", found


def escaped(text: object, most: int = 80) -> str:
    """Return the user's text on one line, with its Markdown and HTML escaped."""
    line = short(str(text), most)
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};" if found[0] in "<>&|@:." else f"\\{found[0]}", line)


def sentence(text: str) -> str:
    """Return a sentence with its Markdown escaped, except for code in backticks."""
    text = " ".join(text.split())
    parts = text.split("`")
    if len(parts) % 2 == 0 or "``" in text:  # an unclosed backtick, or a longer run of backticks
        return escaped(text, len(text))
    return "".join(_plain(part) if number % 2 == 0 else f"`{part}`" for number, part in enumerate(parts))


def _plain(text: str) -> str:
    return re.sub(r"([\\*_\[\]<>|$#])", lambda found: f"&#{ord(found[0])};", text.replace("&", "&amp;"))


def fenced(text: str, language: str = "") -> str:
    """Return text in a fenced block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
