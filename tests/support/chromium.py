"""A headless Chromium, driven over the DevTools protocol through a pair of pipes: no port, no other library.

The browser has a folder and a process group of its own. It ends with `close`, and by itself once the pipes break, so
that a test process which is killed leaves none behind. The protocol: https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import contextlib
import fcntl
import io
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SWITCHES = (
    "--headless",
    "--remote-debugging-pipe",  # file descriptor 3 for what it is told, 4 for what it answers
    "--no-sandbox",  # there is none for root, nor in most containers; the pages are the tests' own
    "--disable-gpu",
    "--disable-dev-shm-usage",  # 64 MB in most containers
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # whatever a page asks for, it does not get
    "--force-color-profile=srgb",
)
WAIT = 60  # seconds for one answer, which takes milliseconds; a busy machine may be slow
FIRST_FREE = 10  # descriptors below are left to be given to the browser
STRIPE = 4000  # pixels of height in one picture: what is taller than a texture of the renderer comes out repeated
ENDING = 5  # seconds that it is given to end by itself
DETAIL = 3000  # characters of the browser's own words in a message


class BrowserError(Exception):
    """The browser is missing, did not answer in time, has died, or refused what it was told."""


def executable():
    """Return the path of the browser.

    Raises:
        BrowserError: there is none.
    """
    for name in NAMES:
        if found := shutil.which(name):
            return found
    raise BrowserError(f"no browser on the PATH: looked for {', '.join(NAMES)} (Debian: apt-get install chromium)")


class Browser:
    """A browser in a process of its own; a context manager that ends it.

    Args:
        wait: seconds for one answer.

    Raises:
        BrowserError: there is none, or it does not start.
    """

    def __init__(self, wait=WAIT):
        program = executable()
        self.wait = wait
        self.folder = Path(tempfile.mkdtemp(prefix="chromium-"))
        self._last, self._answers, self._events, self._unread = 0, {}, {}, b""
        self._closed = False
        read_there, self._write = _pipe()
        self._read, write_there = _pipe()
        self.process = self._start(program, read_there, write_there)
        os.close(read_there)
        os.close(write_there)
        try:
            self.version = self.call("Browser.getVersion")["product"]
        except BaseException:
            self.close()
            raise

    def _start(self, program, read_there, write_there):
        """Start the browser with its two pipes; return its process id."""
        log = str(self.folder / "log")
        arguments = [program, *SWITCHES, f"--user-data-dir={self.folder / 'profile'}", "about:blank"]
        return os.posix_spawn(
            program,
            arguments,
            os.environ | {"HOME": str(self.folder)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                (os.POSIX_SPAWN_DUP2, read_there, 3),
                (os.POSIX_SPAWN_DUP2, write_there, 4),
            ],
            setpgroup=0,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def call(self, method, session=None, **parameters):
        """Tell the browser something; return its answer.

        Args:
            method: of the protocol.
            session: of a page, for what concerns it alone.

        Raises:
            BrowserError: it refuses, has died, or does not answer in time.
        """
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters} | (
            {"sessionId": session} if session else {}
        )
        deadline = time.monotonic() + self.wait
        self._send(json.dumps(message).encode() + b"\0", deadline, method)
        while self._last not in self._answers:
            self._receive(deadline, method)
        answer = self._answers.pop(self._last)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def events(self, session):
        """Return what a page has reported so far: the list itself, to which later events are added."""
        return self._events.setdefault(session, [])

    def wait_for(self, session, event):
        """Wait until a page has reported an event.

        Raises:
            BrowserError: it has died, or that does not happen in time.
        """
        deadline = time.monotonic() + self.wait
        while not any(each["method"] == event for each in self.events(session)):
            self._receive(deadline, event)

    def _send(self, content, deadline, what):
        while content:
            if not select.select([], [self._write], [], max(0, deadline - time.monotonic()))[1]:
                raise self._silent(what)
            try:
                content = content[os.write(self._write, content[: select.PIPE_BUF]) :]
            except BrokenPipeError:
                raise self._died(what) from None

    def _receive(self, deadline, what):
        """Take in what the browser says next: an answer, or an event of a page."""
        while b"\0" not in self._unread:
            if not select.select([self._read], [], [], max(0, deadline - time.monotonic()))[0]:
                raise self._silent(what)
            received = os.read(self._read, 1 << 20)
            if not received:
                raise self._died(what)
            self._unread += received
        text, self._unread = self._unread.split(b"\0", 1)
        message = json.loads(text)
        if "id" in message:
            self._answers[message["id"]] = message
        else:
            self.events(message.get("sessionId")).append(message)

    def _silent(self, what):
        return BrowserError(f"{what}: no answer within {self.wait} seconds{self._words()}")

    def _died(self, what):
        return BrowserError(f"{what}: the browser has ended{self._words()}")

    def _words(self):
        with contextlib.suppress(OSError):
            return f"; it said:\n{(self.folder / 'log').read_text(errors='replace')[-DETAIL:]}"
        return ""

    def close(self):
        """End the browser and whatever it has started, and remove its folder. It may be called again."""
        if self._closed:
            return
        self._closed, self.wait = True, min(self.wait, ENDING)
        with contextlib.suppress(BrowserError):
            self.call("Browser.close")
        has_ended = self._has_ended(ENDING)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)  # its own group, in which its children are
        if not has_ended:
            self._has_ended(ENDING)
        os.close(self._write)
        os.close(self._read)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _has_ended(self, seconds):
        """Wait for the process; return whether it is gone."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(self.process, os.WNOHANG) == (0, 0):
                    time.sleep(0.02)
                    continue
            return True
        return False

    def page(self):
        """Return a new page, empty as yet."""
        return Page(self)


class Page:
    """A page of the browser: what it shows, and what it reported since it was opened.

    Args:
        browser: that shows it.
    """

    def __init__(self, browser):
        self.browser = browser
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(f"{domain}.enable")
        # Pictures have none, and would be laid out wider than the page that was measured.
        self.call("Emulation.setScrollbarsHidden", hidden=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.browser.call("Target.closeTarget", targetId=self.target)

    def call(self, method, **parameters):
        """Tell the browser something about this page; return its answer. Raises BrowserError: see `Browser.call`."""
        return self.browser.call(method, self.session, **parameters)

    def look(self, width=1280, height=900, scheme="light", media="screen"):
        """Show the page as another device would.

        Args:
            width: in pixels; up to 600 it is that of a phone.
            height: in pixels.
            scheme: `light` or `dark`, which the reader prefers.
            media: `screen` or `print`.
        """
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width <= 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        wished = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wished.items()]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def open(self, path):
        """Open a file and wait until it is loaded; what was reported before is forgotten.

        Raises:
            BrowserError: it cannot be opened, or is not loaded in time.
        """
        self.browser.events(self.session).clear()
        address = Path(path).absolute().as_uri()
        failed = self.call("Page.navigate", url=address).get("errorText")
        if failed:
            raise BrowserError(f"{address}: {failed}")
        self.browser.wait_for(self.session, "Page.loadEventFired")
        self.settle()

    def settle(self):
        """Wait until two frames have been drawn: by then fonts are there and the layout is done."""
        frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
        self.evaluate(f"document.fonts.ready.then(() => {frames})")

    def evaluate(self, program):
        """Run JavaScript in the page; return its value, of a promise what it comes to.

        Raises:
            BrowserError: the program threw, naming what.
        """
        answer = self.call("Runtime.evaluate", expression=program, returnByValue=True, awaitPromise=True)
        if thrown := answer.get("exceptionDetails"):
            raise BrowserError(_thrown(thrown))
        return answer["result"].get("value")

    def messages(self):
        """Return what the page has written to the console: its own words, the browser's, exceptions."""
        found = []
        for event in self.browser.events(self.session):
            match event:
                case {"method": "Runtime.consoleAPICalled", "params": {"type": kind, "args": values}}:
                    found.append(f"{kind}: " + " ".join(str(each.get("value", each["type"])) for each in values))
                case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                    found.append(_thrown(details))
                case {"method": "Log.entryAdded", "params": {"entry": entry}}:
                    found.append(f"{entry['level']}: {entry['text']}")
        return found

    def requests(self):
        """Return the addresses that the page has asked for, its own the first, those that it was refused included."""
        events = self.browser.events(self.session)
        return [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]

    def picture(self):
        """Return the whole page, however long, as it is drawn: (height, width, 3), sRGB from 0 to 255."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        width, height = int(size["width"]), int(size["height"])
        stripes = [self._stripe(top, width, min(STRIPE, height - top)) for top in range(0, height, STRIPE)]
        return np.concatenate(stripes)

    def _stripe(self, top, width, height):
        clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
        whole = {"captureBeyondViewport": True, "optimizeForSpeed": True}
        answer = self.call("Page.captureScreenshot", format="png", clip=clip, **whole)
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["data"]))).convert("RGB"))

    def pdf(self):
        """Return the page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=False)["data"])


def _pipe():
    """Return the two ends of a pipe, neither of which is among the descriptors that the browser is given."""
    ends = os.pipe()
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE) for end in ends)
    for end in ends:
        os.close(end)
    return moved


def _thrown(details):
    return details.get("exception", {}).get("description") or details["text"]
