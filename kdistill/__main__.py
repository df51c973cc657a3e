"""The way in: `kdistill`, and `python -m kdistill`."""

import os
import sys


def main() -> None:
    """Run the command line."""
    try:
        _open_what_is_closed()
        # Importing it takes a tenth of a second, in which Ctrl-C shall not show a traceback either.
        from kdistill.cli import main as run

        run()
    except KeyboardInterrupt as error:
        sys.exit(128 + getattr(error, "signum", 2))


def _open_what_is_closed() -> None:
    """Lead stdout and stderr nowhere where they were closed, as by `2>&-`: Python has None for them then."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (for as long as the process lives)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (for as long as the process lives)


if __name__ == "__main__":
    main()
