"""What a person reads in a terminal."""

import io

from rich.console import Console


def text(renderable, width=160):
    """Return what is printed in a terminal of `width` columns."""
    stream = io.StringIO()
    Console(file=stream, width=width).print(renderable)
    return stream.getvalue()
