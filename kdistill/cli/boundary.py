"""The error boundary: the one place where errors become messages and exit codes."""

import signal
import sys
import traceback
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperArgument, TyperGroup, TyperOption

from kdistill.cli import suggestions
from kdistill.cli.output import cannot_write
from kdistill.cli.rendering.console import console, give_up, print_text
from kdistill.core.errors import KdistillError, OutputError, bug_message
from kdistill.core.signals import Stopped

BUG = 1
STOPPED = 128  # plus the number of the signal: 130 for Ctrl-C, 143 for SIGTERM
RESUME = "Finished runs and checkpoints are kept: run the same command again to resume."


def _ignore_broken_pipe(self: Console) -> None:
    """Print nothing more and keep the exit code; Rich's own method exits with 1."""
    self.quiet = True
    give_up(self.file)


# For the consoles and parameters that Typer creates. Its help would show Python types, such as `<list[Path]>`.
Console.on_broken_pipe = _ignore_broken_pipe  # type: ignore[method-assign]
TyperArgument.display_type_rich = lambda self, ctx: (  # type: ignore[method-assign]
    None if self.nargs == 1 else "..."
)
TyperOption.display_type_rich = lambda self, ctx: (  # type: ignore[method-assign]
    None if self.is_flag else self.metavar or self.display_type(ctx).strip("<>")
)


class Boundary(TyperGroup):
    """The error boundary: a user's mistake is one short message, never a traceback.

    It is the app's group class, so that Typer's test runner passes through it too.
    """

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command line; report help or a version that cannot be printed."""
        try:
            return super().main(*arguments, **options)
        except (OSError, OutputError) as error:
            give_up(sys.stdout)
            problem = cannot_write(error) if isinstance(error, OSError) else error
            _print(f"[bold red]Error:[/bold red] {escape(problem.message)}")
            sys.exit(problem.exit_code)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command; say which one was probably meant where there is none of this name."""
        try:
            return super().resolve_command(ctx, args)
        except typer.TyperException as error:
            if "Did you mean" not in error.message and (meant := suggestions.command(args[0], self.list_commands(ctx))):
                error.message += f" Did you mean '{meant}'?"
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run a command; turn what it raises into a message on stderr and an exit code."""
        debug, helps = "--debug" in ctx.args, not {"-h", "--help"}.isdisjoint(ctx.args)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            stopped = error if isinstance(error, Stopped) else Stopped(signal.SIGINT)
            if stopped.failure:
                _report(stopped.failure, debug)
            kept = RESUME if _trains(self.get_command(ctx, ctx.invoked_subcommand or "")) else ""
            _print(f"[bold]{escape(stopped.where or 'Stopped')}.[/bold]", kept)
            raise typer.Exit(STOPPED + stopped.signum) from None
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")  # pydantic's, before a list of choices
            suggestions.improve(error)
            raise
        except (typer.Exit, typer.Abort):
            raise
        except typer.TyperException as error:
            suggestions.improve(error)
            raise
        except Exception as error:
            if helps and isinstance(error, BrokenPipeError):  # `kdistill reproduce --help | head`
                give_up(sys.stdout)
                raise typer.Exit from None
            if helps and isinstance(error, OSError):
                raise  # of stdout: see `main`
            _report(error, debug)
            raise typer.Exit(error.exit_code if isinstance(error, KdistillError) else BUG) from None


def _trains(command: Any) -> bool:
    return command is not None and any("--track" in parameter.opts for parameter in command.params)


def _report(error: Exception, debug: bool) -> None:
    if debug:
        _print(escape(traceback.format_exc().rstrip()))
    if isinstance(error, KdistillError):
        message, hint = error.message, error.hint or ""
    else:
        message, hint = bug_message(error), "Run it again with --debug and report what it prints."
    _print(f"[bold red]Error:[/bold red] {escape(message)}", hint)


def _print(markup: str, hint: str = "") -> None:
    screen = console(stderr=True)
    for text in filter(None, (markup, escape(hint))):
        print_text(screen, text)
