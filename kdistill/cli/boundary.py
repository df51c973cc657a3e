"""The error boundary: the one place where errors become messages and exit codes."""

import os
import signal
import sys
import traceback
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from kdistill.errors import KdistillError
from kdistill.signals import Stopped

BUG = 1
STOPPED = 128  # and the number of the signal: 130 for Ctrl-C, 143 for SIGTERM
GO_ON = "Nothing finished is lost: run the same command again to go on."


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
            stopped = error if isinstance(error, Stopped) else Stopped(signal.SIGINT)
            _fail(stopped.where or "stopped", GO_ON, STOPPED + stopped.signum)
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
