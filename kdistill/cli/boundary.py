"""The error boundary: the one place where errors become messages and exit codes."""

import os
import sys
import traceback
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from kdistill.errors import KdistillError

BUG, INTERRUPTED, TERMINATED = 1, 130, 143


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: unwinds like Ctrl-C, with an exit code of its own."""


class Boundary(TyperGroup):
    """The error boundary: a user's mistake is one short message, never a traceback.

    It is the app's group class, so that it holds under Typer's test runner too.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run a command; turn what it raises into a message on stderr and an exit code."""
        debug = "--debug" in ctx.args
        try:
            return super().invoke(ctx)
        except KdistillError as error:
            _fail(error.message, error.hint, error.exit_code, debug)
        except KeyboardInterrupt as error:
            code = TERMINATED if isinstance(error, Terminated) else INTERRUPTED
            _fail("stopped", "Finished runs are kept: the same command goes on from there.", code)
        except BrokenPipeError:
            # Whoever read our output has gone, as in `kdistill ... | head`.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except Exception as error:
            first_line = f"{type(error).__name__}: {error}".splitlines()[0]
            text = f"this is a bug in kdistill: {first_line}"
            _fail(text, "Run it again with --debug and report what it prints.", BUG, debug)


def _fail(message: str, hint: str | None, code: int, debug: bool = False) -> NoReturn:
    if debug:
        traceback.print_exc()
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(f"[bold red]Error:[/bold red] {escape(message)}")
    if hint:
        console.print(escape(hint))
    raise typer.Exit(code)
