"""The page that `kdistill report` writes, in a browser: of every kind of experiment, in every look it can have."""

import itertools
import re

import chromium
import page_checks
import pytest
import reported
from command_line import document, run

pytestmark = pytest.mark.browser

LOOKS = {
    "light": {"width": 1280, "scheme": "light"},
    "dark": {"width": 1280, "scheme": "dark"},
    "phone, light": {"width": 400, "scheme": "light"},
    "phone, dark": {"width": 400, "scheme": "dark"},
    "paper": {"width": 718, "scheme": "light", "media": "print"},  # A4 within the margins of a printer
    "paper of one who likes it dark": {"width": 718, "scheme": "dark", "media": "print"},
}
LARGEST = 5_000_000  # bytes of a page
SHOWN_TEXT = "document.body.innerText + [...document.querySelectorAll('svg text')].map(text => text.textContent)"


@pytest.fixture(scope="module")
def page():
    with chromium.Browser() as browser, browser.page() as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Return a function from a kind of experiment to its page; each is made once."""
    made = {}

    def of(kind):
        if kind not in made:
            experiment = reported.KINDS[kind](tmp_path_factory.mktemp("reported"))
            run("report", experiment.name, "--output-dir", experiment.parent)
            made[kind] = experiment / "report.html"
        return made[kind]

    return of


# Paper is white whatever its reader likes: seen once.
SEEN = [pair for pair in itertools.product(reported.KINDS, LOOKS) if "dark" not in pair[1] or "paper" not in pair[1]]
SEEN += [("finished", "paper of one who likes it dark")]

# Made in no time, or such that a page is most easily broken by it.
SOME = {"finished", "begun", "sweep", "table, hostile names"}


def kinds(names):
    """Return kinds of experiments as parameters: most are for the campaigns."""
    return [pytest.param(name, marks=[] if name in SOME else pytest.mark.campaign) for name in names]


@pytest.mark.parametrize(
    ("kind", "look"), [pytest.param(*pair, marks=[] if pair[0] in SOME else pytest.mark.campaign) for pair in SEEN]
)
def test_a_page_is_sound_in_every_look(page, report, kind, look):
    assert page_checks.problems(page, report(kind), **LOOKS[look]) == []


@pytest.mark.parametrize("kind", kinds(reported.KINDS))
def test_a_page_is_one_small_file_that_can_be_printed(page, report, kind):
    """What it consists of is in it: it is the same without the folder that it was made from."""
    assert report(kind).stat().st_size < LARGEST
    page.look()
    page.open(report(kind))
    assert page.pdf().startswith(b"%PDF")


def test_a_page_is_the_same_file_each_time(report):
    """A repository that keeps it sees a change only where there is one."""
    page, experiment = report("finished"), report("finished").parent
    before = page.read_bytes()
    run("report", experiment.name, "--output-dir", experiment.parent)
    assert page.read_bytes() == before


@pytest.mark.parametrize("kind", kinds(["colours, hostile names", "table, hostile names"]))
def test_hostile_names_are_text(page, report, kind):
    page.look()
    page.open(report(kind))
    page.evaluate(page_checks.OPEN_DETAILS)
    text = _plain(page.evaluate(SHOWN_TEXT))
    for name in reported.HOSTILE:
        assert _plain(name)[: reported.MOST_SHOWN] in text
    assert "49" not in re.findall(r"\{\{ (\S+) \}\}", text)
    assert page.evaluate("document.title") != "run"
    assert page.evaluate("document.querySelectorAll('[onerror], [src=x]').length") == 0


def _plain(text):
    """Return a text without the marks of direction that keep a name apart, and with single spaces."""
    return re.sub(r"\s+", " ", re.sub("[\u2066-\u2069\u200e\u200f\u202a-\u202e]", "", text)).strip()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("begun", "interrupted"),
        pytest.param("interrupted", "interrupted", marks=pytest.mark.campaign),
        pytest.param("one seed", "seed", marks=pytest.mark.campaign),
    ],
)
def test_missing_parts_are_named(page, report, kind, words):
    page.look()
    page.open(report(kind))
    assert words in page.evaluate(SHOWN_TEXT).lower()


@pytest.fixture(scope="module")
def fashion_mnist(fashion_mnist_dir, tmp_path_factory):
    """An experiment of ten seeds on the real Fashion-MNIST, cut short after three epochs."""
    folder = tmp_path_factory.mktemp("fashion-mnist")
    few = [f"{section}.epochs=3" for section in ("training", "teacher", "student")]
    few = [*itertools.chain(*(("--set", each) for each in few)), "--set", f"data.dir={fashion_mnist_dir}"]
    run("reproduce", "-c", "fashion-mnist", "--seeds", 10, *few, "--output-dir", folder)
    return folder / "fashion-mnist"


@pytest.mark.campaign
def test_ten_seeds_of_fashion_mnist(page, fashion_mnist, fashion_mnist_dir, monkeypatch, record_property):
    monkeypatch.setenv("KDISTILL_DATA_DIR", str(fashion_mnist_dir.parent))
    told = document("report", fashion_mnist.name, "--output-dir", fashion_mnist.parent)
    record_property("report", told)
    path = fashion_mnist / "report.html"
    assert path.stat().st_size < LARGEST
    for look in LOOKS.values():
        assert page_checks.problems(page, path, **look) == []
