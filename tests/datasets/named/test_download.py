"""Downloads from a server on this machine that behaves well or badly."""

import errno
import os
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from heard import Heard

from kdistill.core.errors import DamagedError, DataError
from kdistill.core.listener import Downloading
from kdistill.datasets.named import download as module
from kdistill.datasets.named.download import UnavailableError, download

CONTENT = os.urandom(3 * module.CHUNK)
LIMIT = len(CONTENT) + 10


class Server(ThreadingHTTPServer):
    """Serves `pages`: path -> (status, headers, body)."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"

    def handle_error(self, request, client_address):
        """Say nothing of clients that hang up."""


class Handler(BaseHTTPRequestHandler):
    """Answers GET."""

    def do_GET(self):
        status, headers, body = self.server.pages.get(self.path, (404, {"Content-Length": "0"}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Stay silent."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def verify(path):
    if path.read_bytes() != CONTENT:
        raise DamagedError("wrong hash")


def page(body=CONTENT, length=True, **headers):
    return 200, ({"Content-Length": str(len(body))} if length is True else {}) | headers, body


def test_a_file_arrives(server, tmp_path):
    server.pages["/file"] = page()
    ear = Heard()
    download([server.url + "file"], tmp_path / "file", LIMIT, verify, ear)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    size = len(CONTENT)
    assert ear.of_kind(Downloading) == [Downloading("file", size // 3 * part, size) for part in (1, 2, 3)]


def test_it_is_readable_by_whom_the_umask_says(server, tmp_path):
    server.pages["/file"] = page()
    before = os.umask(0o022)
    try:
        download([server.url + "file"], tmp_path / "file", LIMIT, verify)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_the_listener_learns_of_the_end_where_no_size_was_announced(server, tmp_path):
    server.pages["/file"] = page(length=False)
    ear = Heard()
    download([server.url + "file"], tmp_path / "file", LIMIT, verify, ear)
    *before, last = ear.of_kind(Downloading)
    assert {event.total for event in before} == {None}
    assert last == Downloading("file", len(CONTENT), len(CONTENT))


@pytest.mark.parametrize("length", ["-5", "9" * 5000], ids=["negative", "endless"])
def test_a_malformed_length_counts_as_none(server, tmp_path, length):
    server.pages["/file"] = page(length=False, **{"Content-Length": length})
    download([server.url + "file"], tmp_path / "file", LIMIT, verify)
    assert (tmp_path / "file").read_bytes() == CONTENT


BAD = {
    "wrong": (page(CONTENT[:-1] + b"!"), "not the right one: wrong hash"),
    "announced too long": (page(CONTENT + bytes(20)), f"expected at most {LIMIT} bytes; received {LIMIT + 10}"),
    "too long": (page(CONTENT + bytes(20), length=False), f"expected at most {LIMIT} bytes"),
    "cut off": (page(CONTENT[:1000], length=False, **{"Content-Length": "2000"}), "cut off after 1000 of 2000 bytes"),
    "cut off unannounced": (page(CONTENT[:1000], length=False), "not the right one"),
    "cut off in chunks": (page(b"5\r\nabc", length=False, **{"Transfer-Encoding": "chunked"}), "IncompleteRead"),
    "empty": (page(b""), "not the right one"),
    "404": ((404, {"Content-Length": "0"}, b""), "404"),
    "500": ((500, {"Content-Length": "0"}, b""), "500"),
    "endless redirects": ((302, {"Location": "/file", "Content-Length": "0"}, b""), "redirect"),
}


@pytest.mark.parametrize("existing", [None, b"old"])
@pytest.mark.parametrize(("answer", "reason"), BAD.values(), ids=BAD)
def test_a_bad_answer_leaves_the_folder_as_it_was(server, tmp_path, answer, reason, existing):
    server.pages["/file"] = answer
    if existing is not None:
        (tmp_path / "file").write_bytes(existing)
    with pytest.raises(UnavailableError, match=reason) as error:
        download([server.url + "file"], tmp_path / "file", LIMIT, verify)
    assert server.url + "file" in error.value.message
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([existing] if existing else [])


def test_an_answer_that_is_not_http_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            connection, _ = listening.accept()
            connection.recv(1000)
            connection.sendall(b"\0\0\0 not http\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/file"
        with pytest.raises(UnavailableError, match=url):
            download([url], tmp_path / "file", LIMIT, verify)
        thread.join()
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_falls_silent_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/file"
        with pytest.raises(UnavailableError, match="timed out"):
            download([url], tmp_path / "file", LIMIT, verify)


def test_a_refused_connection_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/file"
    with pytest.raises(UnavailableError, match=re.escape(url) + ".*refused"):
        download([url], tmp_path / "file", LIMIT, verify)


def test_the_next_address_is_tried(server, tmp_path):
    server.pages |= {"/b": page(b"damaged"), "/c": page()}
    download([server.url + name for name in "abc"], tmp_path / "file", LIMIT, verify)
    assert (tmp_path / "file").read_bytes() == CONTENT
    del server.pages["/c"]
    with pytest.raises(UnavailableError) as error:
        download([server.url + name for name in "abc"], tmp_path / "file", LIMIT, verify)
    assert all(server.url + name in error.value.message for name in "abc")


def test_ctrl_c_in_the_middle_leaves_nothing(server, tmp_path):
    server.pages["/file"] = page()

    def interrupt(event, _):
        if event.received > len(CONTENT) // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download([server.url + "file"], tmp_path / "file", LIMIT, verify, Heard(interrupt))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_and_leaves_nothing(server, tmp_path, monkeypatch):
    server.pages["/file"] = page()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"file cannot be written: No space left on device") as error:
        download([server.url + "file"], tmp_path / "file", LIMIT, verify)
    assert "KDISTILL_CACHE_DIR" in error.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_reported(server, tmp_path):
    server.pages["/file"] = page()
    with pytest.raises(DataError, match="cannot be written: No such file or directory"):
        download([server.url + "file"], tmp_path / "nowhere" / "file", LIMIT, verify)


def test_the_content_is_on_disk_before_it_has_its_name(server, tmp_path, monkeypatch):
    server.pages["/file"] = page()
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (events.append("fsync"), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (events.append("replace"), replace(*paths)))
    download([server.url + "file"], tmp_path / "file", LIMIT, lambda _: events.append("verify"))
    assert events == ["verify", "fsync", "replace", "fsync"]


def test_several_downloads_at_once_do_not_disturb_each_other(server, tmp_path):
    server.pages["/file"] = page()
    failures = []

    def run():
        try:
            download([server.url + "file"], tmp_path / "file", LIMIT, verify)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    verify(tmp_path / "file")
