"""The errors a user can cause, each with the exit code of the command line.

A message says what happened, what was expected and what was received; `hint` says what to do next.
Anything that is not a KdistillError is a bug (exit code 1).
"""


class KdistillError(Exception):
    """A failure that is the user's to mend: printed as one short message, never as a traceback."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def bug(error: Exception) -> str:
    """Return what is said of an error that is not a user's to mend."""
    return f"this is a bug in kdistill: {type(error).__name__}: {error}".splitlines()[0]


class ConfigError(KdistillError):
    """A config file, a `--set` or an environment variable is missing or invalid."""

    exit_code = 3


class DataError(KdistillError):
    """A data file is missing, damaged or not what its name says."""

    exit_code = 4


class ModelError(KdistillError):
    """A model file is missing, damaged or does not fit the data or the task."""

    exit_code = 4


class DivergedError(KdistillError):
    """Training produced a NaN or an infinite value."""

    exit_code = 5


class OutputError(KdistillError):
    """The output folder cannot be used: another config's, read-only, or full."""

    exit_code = 7


class ParityError(KdistillError):
    """An export does not do what its model does; it was not kept."""

    exit_code = 8


class DamagedError(Exception):
    """A file does not hold what it should. The text says how, and leaves the file to be named by who knows it best."""
