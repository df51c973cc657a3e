"""The browser that pages are shown in, and that each check finds what it is there for: on pages broken on purpose."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import chromium
import numpy as np
import page_checks
import pytest

pytestmark = pytest.mark.browser

DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
STYLE = """
body { margin: 0; padding: 1rem; color: #222; background: #fff; font: 16px sans-serif; }
.tall { overflow: auto; height: 2.5rem; } .black { background: #222; height: 3rem; }
.wide { overflow-x: auto; } .wide > div { width: 1500px; } .narrow { width: 6rem; }
svg text { fill: currentColor; font-size: 12px; }
@media screen and (prefers-color-scheme: dark) { body { color: #ddd; background: #111; } }
@media print { .wide > div { width: auto; } }
"""
SOUND = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A report</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<style>{STYLE}</style></head><body><main>
<h1 id="top">Does it help?</h1><p>It does, <a href="#top" style="color: inherit">as said</a>.</p><h2>Arms</h2>
<h3>Figures</h3><div class="wide"><div>A table that is wider than a phone</div></div><h2>Pictures</h2>
<table><caption>Arms</caption><tr><th scope="col">arm</th></tr><tr><td dir="rtl">שלום</td></tr></table>
<figure><img src="{DOT}" alt="a boot"><figcaption>A boot, <bdi>שלום</bdi>, 7</figcaption></figure>
<svg role="img" aria-label="accuracy by seed" width="200" height="60" viewBox="0 0 200 60">
<defs><clipPath id="frame"><rect width="200" height="60"></rect></clipPath></defs>
<g clip-path="url(#frame)"><text x="10" y="20">one</text><text x="60" y="20">two</text></g></svg>
<div class="tall"><p>One</p><p>Two, which lies behind the black</p></div><div class="black"></div>
<details><summary>More</summary><p>Hashes</p></details>
</main></body></html>"""
LOOKS = [
    {"width": 1280, "scheme": "light"},
    {"width": 400, "scheme": "dark"},
    {"width": 718, "scheme": "dark", "media": "print"},
]
PHONE = {"width": 400}
DARK = {"scheme": "dark"}
PAPER = {"width": 718, "media": "print"}


@pytest.fixture(scope="module")
def browser():
    with chromium.Browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(browser):
    with browser.page() as opened:
        yield opened


def written(tmp_path, text):
    path = tmp_path / "a page.html"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_nothing_is_found_on_a_sound_page(page, tmp_path, look):
    assert page_checks.problems(page, written(tmp_path, SOUND), **look) == []


def instead(old, new):
    """Return the sound page with one thing in it exchanged."""
    assert SOUND.count(old) == 1, old
    return SOUND.replace(old, new)


def added(text):
    return instead("</main>", text + "</main>")


def drawn(text):
    """Return the sound page with more in its drawing."""
    return instead("</g></svg>", text + "</g></svg>")


SCRIPTED = instead(POLICY, POLICY + "; script-src 'unsafe-inline'; connect-src *")
TALL = "<div style='height: 9000px'></div>"

BROKEN = {
    "an image without a text": (instead('alt="a boot"', ""), {}, r"pictures: <img> has no text"),
    "an image with an empty text": (instead("a boot", " "), {}, r"pictures: <img> has no text"),
    "an image that is not there": (instead(DOT, "data:image/png;base64,AAAA"), {}, r"pictures: <img> shows nothing"),
    "a drawing without a text": (instead('aria-label="accuracy by seed"', ""), {}, r"pictures: <svg> .* has no text"),
    "a drawing whose text is elsewhere": (
        instead('aria-label="accuracy by seed"', 'aria-labelledby="none"'),
        {},
        r"pictures: <svg> .* has no text",
    ),
    "a drawing read out label by label": (instead('role="img"', ""), {}, r"pictures: <svg> .* has no role"),
    "a picture of another kind without a text": (
        added("<p role='image'>&#9632; &#9633;</p>"),
        {},
        r"pictures: a screen reader has no name for 1 of 3 pictures",
    ),
    "a long word": (added(f"<p>{'w' * 100}</p>"), PHONE, r"overflows: the page is \d+ pixels wide where there are 400"),
    "a wide element": (
        added("<p id='far' style='width: 500px'>far</p>"),
        PHONE,
        r'overflows: <p#far> "far": from 16 to 516 of 400 pixels',
    ),
    "something left of the window": (
        added("<p style='margin-left: -30px'>left</p>"),
        {},
        r"overflows: <p> .*: from -14 to",
    ),
    "a word out of its box": (added(f"<p class='narrow'>{'w' * 30}</p>"), {}, r"overflows: <p.narrow> .*of content in"),
    "a word that is cut off": (
        added(f"<p class='narrow' style='overflow: hidden'>{'w' * 30}</p>"),
        {},
        r"overflows: <p.narrow> .*of content in",
    ),
    "lines that are cut off": (
        added("<p style='overflow: hidden; height: 1em'>one<br>two<br>three</p>"),
        {},
        r"overflows: <p> .*cuts off its last lines",
    ),
    "no viewport": (
        instead('<meta name="viewport" content="width=device-width, initial-scale=1">', ""),
        PHONE,
        r"structure: the page does not fit itself to a phone",
    ),
    "what paper cannot scroll": (
        instead("@media print { .wide > div { width: auto; } }", ""),
        PAPER,
        r"overflows: <div.wide> .*would have to be scrolled",
    ),
    "a label out of its drawing": (
        drawn("<text x='180' y='40'>three hundred</text>"),
        {},
        r'drawings: "three hundred" is cut off at the edge of the drawing "accuracy by seed"',
    ),
    "labels over each other": (
        drawn("<text x='15' y='22'>three</text>"),
        {},
        r'drawings: "one" lies over "three" in the drawing',
    ),
    "upright labels over each other": (
        drawn("<text transform='translate(150 55) rotate(-90)'>up</text><text x='140' y='48'>level</text>"),
        {},
        r'drawings: "up" lies over "level" in the drawing',
    ),
    "a label too small to read": (
        instead('width="200" height="60" viewBox', 'width="100" height="30" viewBox'),
        {},
        r'drawings: "one" is 6.0 pixels small in the drawing',
    ),
    "two first headings": (instead("<h2>Arms</h2>", "<h1>Arms</h1>"), {}, r"headings: expected one h1; there are 2"),
    "no first heading": (
        instead('<h1 id="top">Does it help?</h1>', '<p id="top">Does it help?</p>'),
        {},
        r"headings: expected one h1; there are 0",
    ),
    "a heading skipped": (added("<h4>Deep</h4>"), {}, r'headings: <h4> "Deep" follows h2'),
    "an empty heading": (added("<h2> </h2>"), {}, r"headings: <h2> is empty"),
    "an id twice": (added("<p id='frame'>x</p>"), {}, r"names: id frame is there more than once"),
    "a link to nowhere": (
        added("<a style='color: inherit' href='#gone'>x</a>"),
        {},
        r"names: <a> .*href refers to gone",
    ),
    "a clip path that is not there": (
        instead("url(#frame)", "url(#other)"),
        {},
        r"names: <g> .*clip-path refers to other",
    ),
    "a label by something gone": (
        added("<p aria-describedby='a b'>x</p>"),
        {},
        r"names: <p> .*describedby refers to b",
    ),
    "no language": (instead('lang="en"', ""), {}, r"structure: the page does not say its language"),
    "no title": (instead("<title>A report</title>", ""), {}, r"structure: the page has no title"),
    "one colour scheme": (instead('content="light dark"', 'content="light"'), {}, r"structure: .*two colour schemes"),
    "no main part": (SOUND.replace("main>", "div>"), {}, r"structure: the page has no main part"),
    "no policy": (instead(POLICY, "style-src 'unsafe-inline'"), {}, r"structure: .*does not forbid itself the network"),
    "a table without a caption": (instead("<caption>Arms</caption>", ""), {}, r"structure: <table> .* has no caption"),
    "a table without headings": (
        instead('<th scope="col">arm</th>', "<td>arm</td>"),
        {},
        r"structure: <table> .* has no headings",
    ),
    "a heading of nothing": (instead(' scope="col"', ""), {}, r"structure: <th> .*what it is the heading of"),
    "a figure without a caption": (
        instead("<figcaption>A boot, <bdi>שלום</bdi>, 7</figcaption>", ""),
        {},
        r"structure: <figure> has no caption",
    ),
    "a script": (added("<script>1</script>"), {}, r"scripts: <script> .*is in the page"),
    "a frame": (added("<iframe title='x'></iframe>"), {}, r"scripts: <iframe> is in the page"),
    "a handler": (added("<p onclick='x()'>x</p>"), {}, r"scripts: <p> .*onclick would run"),
    "a link that runs": (
        added("<a style='color: inherit' href=' javascript:x()'>x</a>"),
        {},
        r"scripts: <a> .*href would run",
    ),
    "a name that turns what follows": (added("<p>class שלום 7</p>"), {}, r"directions: <p> .*not kept apart"),
    "an override of the direction": (
        added("<p>class <b>\u202eabc</b> 7</p>"),
        {},
        r"directions: <b> .*not kept apart",
    ),
    "grey text": (added("<p style='color: #888'>pale</p>"), {}, r'contrast: "pale" in <p> .* a contrast of 3\.5'),
    "text that shines through": (
        added("<div style='opacity: .5'><p>through</p></div>"),
        {},
        r'contrast: "through" in <p>',
    ),
    "text on a picture": (
        added("<p style='background: linear-gradient(90deg, #555 50%, #fff)'>one two three four five six seven</p>"),
        PHONE,
        r'contrast: "one two three four five six seven" in <p>',
    ),
    "pale text far down": (added(f"{TALL}<p style='color: #888'>deep</p>"), {}, r'contrast: "deep" in <p> .* of 3\.5'),
    "black labels in the dark": (
        instead("svg text { fill: currentColor;", "svg text {"),
        DARK,
        r'contrast: "one" in <text> "one" has a contrast of 1\.',
    ),
    "a label on a dark field": (
        drawn("<rect x='100' y='5' width='60' height='50' fill='#333'></rect><text x='110' y='30'>cell</text>"),
        {},
        r'contrast: "cell" in <text>',
    ),
    "pale text in what is folded": (
        instead("<p>Hashes</p>", "<p style='color: #999'>Hashes</p>"),
        {},
        r'contrast: "Hashes" in <p>',
    ),
    "a page that stays light": (
        instead("body { color: #ddd; background: #111; }", ""),
        DARK,
        r"colours: a dark page has a luminance of 1",
    ),
    "light areas in the dark": (
        added("<div style='background: #fff; height: 450px'></div>"),
        DARK,
        r"colours: \d\d% of a dark page are bright",
    ),
    "a dark page on paper": (
        instead("@media screen and (prefers-color-scheme: dark)", "@media (prefers-color-scheme: dark)"),
        PAPER | DARK,
        r"colours: a light page has a luminance of 0.0",
    ),
    "an error": (
        SCRIPTED.replace("</main>", "</main><script>console.error('lost', 7); nothing.here</script>"),
        {},
        r"console: error: lost 7",
    ),
    "an exception": (
        SCRIPTED.replace("</main>", "</main><script>nothing.here</script>"),
        {},
        r"console: ReferenceError",
    ),
    "a picture from elsewhere": (
        instead(DOT, "https://example.org/boot.png").replace("img-src data:", "img-src *"),
        {},
        r"requests: https://example\.org/boot\.png",
    ),
    "a picture from elsewhere that is refused": (
        instead(DOT, "https://example.org/boot.png"),
        {},
        r"console: error: .*Content Security Policy",
    ),
    "a font from elsewhere": (
        instead("<style>", "<style>@import url(https://example.org/font.css);").replace(POLICY, ""),
        {},
        r"requests: https://example\.org/font\.css",
    ),
    "a picture beside the page": (
        instead(DOT, "beside.png").replace("img-src data:", "img-src *"),
        {},
        r"requests: file:///.*/beside\.png",
    ),
    "an answer that is waited for": (
        SCRIPTED.replace("</main>", "</main><script>fetch('http://127.0.0.1:9/x').catch(() => 0)</script>"),
        {},
        r"requests: http://127\.0\.0\.1:9/x",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found(page, tmp_path, name):
    text, look, expected = BROKEN[name]
    found = page_checks.problems(page, written(tmp_path, text), **look)
    assert any(re.match(expected, problem) for problem in found), found


def test_every_check_is_shown_to_find_something(page, tmp_path):
    """A check of which no page above is an example could be one that never finds anything."""
    page.open(written(tmp_path, SOUND))
    asked = set(page.evaluate(page_checks.PROGRAM)) - {"texts"}
    assert asked | {"contrast", "colours", "console", "requests"} == {
        expected.split(":")[0] for _, _, expected in BROKEN.values()
    }


def test_contrast_is_that_of_the_standard():
    """By the two examples that are known to everyone: black on white, and the palest grey that passes on it."""
    white = np.array([[255, 255, 255]])
    assert page_checks.ratio(np.array([[0, 0, 0]]), white) == pytest.approx(21)
    assert page_checks.ratio(np.array([[0x76] * 3]), white) == pytest.approx(4.54, abs=0.005)
    assert page_checks.ratio(np.array([[0x77] * 3]), white) == pytest.approx(4.48, abs=0.005)


def test_a_page_is_drawn_whole(page, tmp_path):
    """However long it is: each of its stripes has a colour of its own."""
    colours = [(200, 10, 10), (10, 200, 10), (10, 10, 200), (90, 90, 10)]
    bands = "".join(f"<div style='height: 6000px; background: rgb{colour}'></div>" for colour in colours)
    page.look(width=700)
    page.open(written(tmp_path, f"<!doctype html><body style='margin: 0'>{bands}"))
    picture = page.picture()
    assert picture.shape == (24_000, 700, 3)
    for number, colour in enumerate(colours):
        assert (picture[6000 * number : 6000 * (number + 1)] == colour).all()


def test_a_page_can_be_printed(page, tmp_path):
    page.look()
    page.open(written(tmp_path, SOUND))
    assert page.pdf().startswith(b"%PDF")


def test_messages_of_one_page_are_not_those_of_the_next(page, tmp_path):
    page.look()
    page.open(written(tmp_path, SCRIPTED.replace("</main>", "</main><script>console.warn('once')</script>")))
    assert page.messages() == ["warning: once"]
    page.open(written(tmp_path, SOUND))
    assert page.messages() == []


def test_a_failure_of_the_page_is_an_error(browser, page, tmp_path):
    with pytest.raises(chromium.BrowserError, match="FILE_NOT_FOUND"):
        page.open(tmp_path / "none.html")
    with pytest.raises(chromium.BrowserError, match="Error: broken"):
        page.evaluate("throw new Error('broken')")
    with pytest.raises(chromium.BrowserError, match=r"'No\.such' wasn't found"):
        browser.call("No.such")


def test_a_missing_browser_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(chromium.BrowserError, match=r"no browser on the PATH: looked for chromium.*apt-get install"):
        chromium.Browser()


def test_a_browser_that_does_not_start_is_an_error(monkeypatch, tmp_path):
    fake = tmp_path / "chromium"
    fake.write_text("#!/bin/sh\necho cannot be run here >&2\nexit 3\n")
    fake.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(chromium.BrowserError, match=r"(?s)the browser has ended; it said:.*cannot be run here"):
        chromium.Browser()


def processes_of(folder):
    """Return the ids of the processes that have a browser's folder for a home."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={folder}\0".encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue  # it has ended, or is another's
    return found


def has_vanished(folder, seconds=20):
    deadline = time.monotonic() + seconds
    while processes_of(folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_nothing_is_left_of_a_browser():
    browser = chromium.Browser()
    browser.page()
    assert len(processes_of(browser.folder)) > 1
    browser.close()
    browser.close()
    assert processes_of(browser.folder) == []
    assert not browser.folder.exists()


def test_a_browser_that_hangs_is_given_up_and_ended(tmp_path):
    browser = chromium.Browser(wait=20)
    page = browser.page()
    browser.wait = 1
    with pytest.raises(chromium.BrowserError, match=r"Runtime.evaluate: no answer within 1 seconds"):
        page.evaluate("for (;;) {}")
    browser.close()
    assert processes_of(browser.folder) == []


def test_a_browser_that_is_stopped_is_ended_all_the_same():
    browser = chromium.Browser()
    os.killpg(browser.process, signal.SIGSTOP)
    browser.wait = 0.5
    browser.close()
    assert processes_of(browser.folder) == []
    assert not browser.folder.exists()


def test_a_browser_ends_with_the_process_that_started_it():
    """Even one that was killed, and could not say goodbye."""
    program = "import chromium, time; print(chromium.Browser().folder, flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=Path(page_checks.__file__).parent, stdout=subprocess.PIPE, text=True
    )
    folder = process.stdout.readline().strip()
    try:
        assert processes_of(folder)
    finally:
        process.kill()
        process.communicate()
    assert has_vanished(folder)
    shutil.rmtree(folder, ignore_errors=True)
