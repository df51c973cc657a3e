"""The way in and the error boundary: every failure is a message with an exit code, and never a traceback."""

import re
import signal

import pytest
from command_line import run
from typer.testing import CliRunner

from kdistill import __main__
from kdistill.cli import app
from kdistill.core.errors import OutputError
from kdistill.core.signals import Stopped


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize(
    "arguments",
    [["bogus"], ["distill", "--no-such-option"], ["baseline", "--threads", "0"], ["data", "fetch", "cifar"]],
)
def test_usage_errors(arguments):
    run(*arguments, code=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seed", "99999999999"], "expected a whole number from 0 to 2147483647; received '99999999999'"),
        (["--seed", "-1"], "received '-1'"),
        (["--threads", "many"], "expected a whole number from 1 to 1024; received 'many'"),
        (["--device", "tpu"], "'tpu' is not one of 'auto', 'cpu', 'gpu'"),
        (["--output-dir", ""], "expected a path; received ''"),
    ],
)
def test_bad_values_of_options_say_what_is_expected(options, message):
    shown = " ".join(run("baseline", "--dry-run", *options, code=2).stderr.replace("│", " ").split())
    assert message in shown


def test_config_problems_are_named_with_their_place(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("teacher: {hidden: [8]}\nstudent: {hiden: [4]}\ndistill: {T: -1}\n")
    result = run("reproduce", "-c", path, code=3)
    assert f"{path}:2:11: student.hiden: unknown key 'hiden'; did you mean 'hidden'?" in result.stderr
    assert f"{path}:3:11: distill.temperature: expected a number above 0; received -1" in result.stderr


def test_version_and_help():
    assert run("--version").stdout.startswith("kdistill ")
    assert "reproduce" in run("--help").stdout
    for command in ("reproduce", "train-teacher", "baseline", "distill", "evaluate", "doctor"):
        assert "--help" in run(command, "--help").stdout
    run(code=2)


def test_help_shows_no_types_of_python():
    for command in ([], ["reproduce"], ["evaluate"], ["export"], ["predict"], ["config", "check"], ["compare"]):
        shown = run(*command, "--help").stdout
        assert "<" not in shown, command
    assert re.search(r"MODEL +\.\.\. ", run("evaluate", "--help").stdout)


def test_options_that_may_be_given_again_say_so():
    for command, options in (("sweep", ["--set", "--grid"]), ("distill", ["--set", "--teacher"])):
        shown = run(command, "--help").stdout
        for option in options:
            _, _, after = shown.partition(f" {option} ")
            assert "repeatable" in after.split(" --")[0], option


def raising(error):
    def load(*arguments, **keywords):
        raise error

    return load


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (Stopped(signal.SIGTERM), 143)])
def test_interruption_has_an_exit_code_and_a_sentence(monkeypatch, error, code):
    monkeypatch.setattr("kdistill.config.load", raising(error))
    said = run("reproduce", code=code).stderr
    assert said.startswith("Stopped.\n")
    assert "to resume" in said
    assert "Error" not in said
    assert run("config", "show", code=code).stderr == "Stopped.\n"  # which keeps nothing to resume


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (OutputError("runs/a: no space left", hint="Make room."), "Error: runs/a: no space left\nMake room.\n"),
        (ValueError("odd"), "Error: this is a bug in kdistill: ValueError: odd\n"),
    ],
)
def test_what_failed_while_it_was_stopped_is_reported_too(monkeypatch, failure, told):
    monkeypatch.setattr("kdistill.config.load", raising(Stopped(signal.SIGINT, failure=failure)))
    said = run("config", "show", code=130).stderr
    assert said.startswith(told)
    assert "\nStopped.\n" in said


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (Stopped(signal.SIGTERM), 143)])
def test_interruption_before_the_command_line_is_there_is_quiet(monkeypatch, error, code):
    monkeypatch.setattr("kdistill.cli.main", raising(error))
    with pytest.raises(SystemExit) as end:
        __main__.main()
    assert end.value.code == code


def test_a_bug_is_one_line_and_debug_shows_more(monkeypatch):
    monkeypatch.setattr("kdistill.config.load", raising(ZeroDivisionError("oops\nmore")))
    result = run("config", "show", code=1)
    assert "this is a bug in kdistill: ZeroDivisionError: oops" in result.stderr
    assert "more" not in result.stderr
    debugged = CliRunner().invoke(app, ["config", "show", "--debug"])
    assert "Traceback" in debugged.stderr


def test_a_word_that_is_no_choice_is_answered_with_the_choices():
    result = CliRunner().invoke(app, ["reproduce", "--engine", "cloud"])
    assert result.exit_code == 2
    assert "'cloud' is not one of 'local', 'ray'." in result.stderr
    assert "Value error" not in result.stderr
