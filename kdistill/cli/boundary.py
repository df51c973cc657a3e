"""The error boundary: the one place where errors become messages and exit codes."""

import signal
import sys
import traceback
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from kdistill.cli.output import cannot_write
from kdistill.cli.rendering.screen import console, give_up
from kdistill.core.errors import KdistillError, OutputError, bug_message
from kdistill.core.signals import Stopped

BUG = 1
STOPPED = 128  # and the number of the signal: 130 for Ctrl-C, 143 for SIGTERM
GO_ON = "Nothing finished is lost: run the same command again to go on."


def _reader_gone(self: Console) -> None:
    """Go on in silence, so that the exit code is the same; Rich's own way is to exit with 1."""
    self.quiet = True
    give_up(self.file)


Console.on_broken_pipe = _reader_gone  # type: ignore[method-assign]  # for Typer's consoles, which are not ours


class Boundary(TyperGroup):
    """The error boundary: a user's mistake is one short message, never a traceback.

    It is the app's group class, so that it holds under Typer's test runner too.
    """

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command line; help that cannot be printed is a message too."""
        try:
            return super().main(*arguments, **options)
        except (OSError, OutputError) as error:  # while printing help or the version, which no command does
            give_up(sys.stdout)
            problem = cannot_write(error) if isinstance(error, OSError) else error
            _say(f"[bold red]Error:[/bold red] {escape(problem.message)}")
            sys.exit(problem.exit_code)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; turn what it raises into a message on stderr and an exit code."""
        debug = "--debug" in ctx.args
        try:
            return super().invoke(ctx)
        except KdistillError as error:
            _tell(error, debug)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt as error:
            stopped = error if isinstance(error, Stopped) else Stopped(signal.SIGINT)
            if stopped.failure:
                _tell(stopped.failure, debug)
            _say(f"[bold]{escape(stopped.where or 'Stopped')}.[/bold]", GO_ON)
            raise typer.Exit(STOPPED + stopped.signum) from None
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except Exception as error:
            _tell(error, debug)
            raise typer.Exit(BUG) from None


def _tell(error: Exception, debug: bool) -> None:
    if debug:
        _say(escape(traceback.format_exc().rstrip()))
    if isinstance(error, KdistillError):
        message, hint = error.message, error.hint or ""
    else:
        message, hint = bug_message(error), "Run it again with --debug and report what it prints."
    _say(f"[bold red]Error:[/bold red] {escape(message)}", hint)


def _say(markup: str, hint: str | None = None) -> None:
    screen = console(stderr=True)
    screen.print(markup, soft_wrap=True)
    if hint:
        screen.print(escape(hint), soft_wrap=True)
