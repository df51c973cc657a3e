"""kdistill's command line, run inside the tests' own process, with its exit code checked."""

import json

from typer.testing import CliRunner

from kdistill.cli import app


def run(*arguments, code=0, **options):
    """Return what a command printed; `options` are those of the runner, such as `env` and `input`."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], **options)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def document(*arguments, code=0, **options):
    """Return the JSON document that a command printed."""
    return json.loads(run(*arguments, "--json", code=code, **options).stdout)
