import io
import re
from html.parser import HTMLParser

import pytest
import report_content as made
from markdown_it import MarkdownIt
from PIL import Image

from kdistill.report.pages import markdown


@pytest.fixture(scope="module")
def rendered():
    return markdown.render(made.report(), "report-files")


class Elements(HTMLParser):
    """Reads what a Markdown renderer makes."""

    def __init__(self, text):
        super().__init__()
        html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
        self.tags, self.texts = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def test_every_picture_is_there_and_shown_with_its_words(rendered):
    text, files = rendered
    shown = [attrs for tag, attrs in Elements(text).tags if tag == "img"]
    assert {attrs["src"] for attrs in shown} == {f"report-files/{name}" for name in files}
    assert all(len(attrs["alt"]) > 10 for attrs in shown)
    for content in files.values():
        assert Image.open(io.BytesIO(content)).format == "PNG"


def test_rendered_by_another_program_names_are_text(rendered):
    read = Elements(rendered[0])
    said = "".join(read.texts)
    assert {tag for tag, _ in read.tags} <= {
        "h1", "h2", "h3", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "img", "br", "code", "pre",
        "ul", "li", "hr",
    }  # fmt: skip
    for name in ("<b>bold</b> & 'x'", "$\\frac{1}{0}$ | pipe", "length <i>", "A run failed: <why>.", "it <broke>"):
        assert name in said


def test_it_begins_with_the_headline_the_verdict_and_the_plot_of_size(rendered):
    top = rendered[0].partition("\n## ")[0]
    headline, verdict = "Student: 1.4 % of the &#60;teacher&#62;'s parameters.", "**In &#60;short&#62;: 0.16 points.**"
    assert top.index(headline) < top.index(verdict) < top.index("(report-files/size.png)")
    assert rendered[0].partition("\n## ")[2].startswith("Caveats")


def test_every_row_of_a_table_has_as_many_cells_as_its_head(rendered):
    tables = re.findall(r"(?:^\|.*\n)+", rendered[0], re.MULTILINE)
    assert len(tables) == 7
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


def test_a_fence_is_longer_than_any_in_the_text():
    assert markdown.fenced("a ``` b", "yaml") == "````yaml\na ``` b\n````"
    assert markdown.fenced("a") == "```\na\n```"


@pytest.mark.parametrize(
    "text",
    [
        "*a*",
        "_a_",
        "[a](b)",
        "<a>",
        "`a`",
        "a|b",
        "#1",
        "~~a~~",
        "&amp;",
        "\\",
        "http://a.b",
        "www.a.b",
        "@a",
        "![a](b)",
    ],
)
def test_escaped_text_is_shown_as_it_is(text):
    html = MarkdownIt("gfm-like", {"linkify": False}).render(f"x {markdown.escaped(text)}")
    read = Elements(f"x {markdown.escaped(text)}")
    assert "".join(read.texts).strip() == f"x {text}"
    assert "<a" not in html


def test_sentences_keep_their_code():
    assert markdown.sentence("Run `a <b>` *now*") == "Run `a <b>` &#42;now&#42;"
    assert "`" not in markdown.sentence("one ` alone").replace("\\`", "")
    assert "<" not in markdown.sentence("cell `<img src=x>`` chosen")  # which a single backtick does not open


def test_a_text_without_results_gives_the_reasons():
    text, files = markdown.render(made.nothing(), "files")
    assert not files
    assert "**There is no verdict.**" in text
    for part in made.nothing().missing:
        assert f"No {part} &#60;yet&#62;." in text


def test_there_are_no_two_empty_lines_and_one_line_feed_at_the_end(rendered):
    assert "\n\n\n" not in rendered[0]
    assert rendered[0].endswith("\n")
    assert not rendered[0].endswith("\n\n")
