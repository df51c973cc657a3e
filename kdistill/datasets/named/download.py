"""Downloads of files whose content is known, such that nothing unverified ever has the final name."""

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
    """An address did not give what was expected of it; another one may."""


def download(
    urls: Sequence[str],
    path: Path,
    limit: int,
    verify: Callable[[Path], object],
    listener: Listener | None = None,
) -> None:
    """Download a file from the first of `urls` that has it intact, replacing what is at `path`.

    It is written under a temporary name, verified, brought to disk and renamed: another process sees the whole file
    or none, and several may download it at the same time. The temporary file is removed whatever happens.

    Args:
        limit: the most bytes that are accepted.
        verify: raises DamagedError where the file is not the right one.
        listener: told of the bytes received; the last time, the total is never None.

    Raises:
        UnavailableError: no address has it; the message gives each with its reason.
        DataError: the folder cannot be written to.
    """
    failures = []
    for url in urls:
        try:
            with files.replacing(path) as temporary:
                _store(url, path.name, temporary, limit, listener)
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


def _store(url: str, name: str, path: Path, limit: int, listener: Listener | None) -> None:
    """Write what is at `url` to `path`. Raises UnavailableError for the network's faults, OSError for the disk's."""
    received, announced = 0, None
    with open(path, "xb") as file, closing(_chunks(url, limit)) as chunks:
        for chunk, announced in chunks:
            file.write(chunk)
            received += len(chunk)
            if listener is not None:
                listener.hear(Downloading(name, received, announced))
    if listener is not None and announced is None:
        listener.hear(Downloading(name, received, received))


def _chunks(url: str, limit: int) -> Generator[tuple[bytes, int | None], None, None]:
    """Yield the pieces of what is at `url`, each with the announced size of the whole, if there is one."""
    received = 0
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            announced = _announced(response)
            while chunk := response.read(CHUNK):
                received += len(chunk)
                if max(received, announced or 0) > limit:
                    raise UnavailableError(
                        f"{url}: expected at most {limit} bytes; received {max(received, announced or 0)} or more"
                    )
                yield chunk, announced
    except (OSError, http.client.HTTPException) as error:
        # An HTTP status is an error too; its text has the number in it.
        reason = error.reason if type(error) is urllib.error.URLError else error
        raise UnavailableError(f"{url}: {reason}") from error
    if announced is not None and received < announced:
        raise UnavailableError(f"{url}: cut off after {received} of {announced} bytes")


def _announced(response: http.client.HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "")
    # 18 digits are an exabyte; Python refuses to convert thousands of them.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
