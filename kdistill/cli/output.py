"""Results on standard output, which may be closed early or full."""

import io
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import RenderableType

from kdistill.cli.rendering.console import console, give_up
from kdistill.core.errors import OutputError


def write_out(text: str) -> bool:
    """Print text on stdout at once. A closed pipe, as after `kdistill ... | head`, is no error.

    Returns:
        Whether stdout still has a reader.

    Raises:
        OutputError: stdout is a file that cannot be written, as on a full disk.
    """
    try:
        # Names of files may be no text, and a terminal may lack a character.
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
        return True
    except BrokenPipeError:
        give_up(sys.stdout)
        return False
    except OSError as error:
        give_up(sys.stdout)
        raise cannot_write(error) from error


def cannot_write(error: OSError) -> OutputError:
    """Return the message for a stdout that cannot be written."""
    return OutputError(f"standard output cannot be written: {error.strerror or error}")


def emit(document: Mapping[str, Any], render: Callable[[Any], RenderableType], as_json: bool) -> None:
    """Print a result on stdout: as one JSON document, or as `render` shows it to a person."""
    if as_json:
        write_out(json.dumps(document, indent=2, allow_nan=False))
        return
    screen = console()
    screen.file = rendered = io.StringIO()
    screen.print(render(document), crop=False)  # commands to copy may be longer than a line
    # Rich pads lines with blanks, which are noise in a file.
    write_out("\n".join(line.rstrip() for line in rendered.getvalue().splitlines()))
