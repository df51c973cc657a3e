"""Downloads files and verifies them before they get their final names."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path

from kdistill.core import files
from kdistill.core.errors import DamagedError, DataError
from kdistill.core.listener import Downloading, Listener

TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 18  # bytes


class UnavailableError(DataError):
    """An address does not serve the expected file; another address may."""


def download(
    urls: Sequence[str],
    path: Path,
    limit: int,
    verify: Callable[[Path], object],
    listener: Listener | None = None,
) -> None:
    """Download a file to `path` from the first of `urls` that serves it intact; replace a file that is there.

    The file is written under a temporary name, verified, synced and renamed: other processes see the whole file or
    none, and several processes may download it at the same time.

    Args:
        limit: the most bytes to accept.
        verify: raises DamagedError for a file that is not the expected one.
        listener: notified of the bytes received; the total is known in the last event.

    Raises:
        UnavailableError: no address serves the file; the message gives the reason for each.
        DataError: the folder cannot be written to.
    """
    failures = []
    for url in urls:
        try:
            with files.replacing(path) as temporary:
                _store(url, path.name, temporary, limit, listener or Listener())
                verify(temporary)
        except DamagedError as error:
            failures.append(f"{url}: the file there is not the right one: {error}")
        except UnavailableError as error:
            failures.append(error.message)
        except OSError as error:
            raise DataError(
                f"{path} cannot be written: {error.strerror or error}",
                hint="Make room, or set KDISTILL_CACHE_DIR to another folder.",
            ) from error
        else:
            return
    raise UnavailableError("; ".join(failures))


def _store(url: str, name: str, path: Path, limit: int, listener: Listener) -> None:
    """Write the file at `url` to `path`; raise UnavailableError if the network fails, OSError if the disk does."""
    received, announced = 0, None
    with open(path, "xb") as file, closing(_chunks(url, limit)) as chunks:
        for chunk, announced in chunks:
            file.write(chunk)
            received += len(chunk)
            listener.handle(Downloading(name, received, announced))
    if announced is None:
        listener.handle(Downloading(name, received, received))


def _chunks(url: str, limit: int) -> Generator[tuple[bytes, int | None], None, None]:
    """Yield the file at `url` in pieces, each with the announced size of the whole file, if there is one."""
    received = 0
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            announced = _announced(response)
            while chunk := response.read(CHUNK):
                received += len(chunk)
                if (least := max(received, announced or 0)) > limit:
                    raise UnavailableError(f"{url}: expected at most {limit} bytes; received {least} or more")
                yield chunk, announced
    except (OSError, http.client.HTTPException) as error:
        # An HTTPError's text has the status code.
        reason = error.reason if type(error) is urllib.error.URLError else error
        raise UnavailableError(f"{url}: {reason}") from error
    if announced is not None and received < announced:
        raise UnavailableError(f"{url}: cut off after {received} of {announced} bytes")


def _announced(response: http.client.HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "")
    # 18 digits are an exabyte; Python refuses to convert thousands of them.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
