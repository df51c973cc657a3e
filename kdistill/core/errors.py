"""The errors that a user can correct, each with its exit code. Any other exception is a bug (exit code 1)."""


class KdistillError(Exception):
    """An error that the user can correct: printed as a short message, never as a traceback.

    Args:
        message: what happened, what was expected, what was received.
        hint: what to do next.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def bug_message(error: Exception) -> str:
    """Return the one-line message for an exception that is a bug."""
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
    """The outputs of an export differ from those of its model; the export was not kept."""

    exit_code = 8


class DamagedError(Exception):
    """A file's content is invalid. The text does not name the file: the caller turns it into an error that does."""
