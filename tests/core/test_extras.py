"""Extras: one that is missing is said with the command that installs it, before anything else happens."""

import tomllib

import numpy
import pytest
from packaging.requirements import Requirement
from places import ROOT
from typer.testing import CliRunner

from kdistill.cli import app
from kdistill.core import extras
from kdistill.core.errors import ConfigError


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"NO_COLOR": "1", "COLUMNS": "200"})


def test_a_missing_extra_is_said_with_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setitem(extras.MODULES, "ray", "no_module_of_this_name")
    assert not extras.installed("ray")
    with pytest.raises(ConfigError, match="--engine ray: needs the extra `ray`, which is not installed"):
        extras.check_installed("ray", "--engine ray")
    for command in ("reproduce", "sweep"):
        result = run(command, "--engine", "ray", "--output-dir", tmp_path / "runs")
        assert result.exit_code == 3
        assert "pip install 'kdistill[ray]'" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_installed_one_is_not_refused(monkeypatch):
    monkeypatch.setitem(extras.MODULES, "ray", "json")
    extras.check_installed("ray", "--engine ray")


def test_an_address_without_its_engine_is_wrong_usage(tmp_path):
    result = run("reproduce", "--ray-address", "auto", "--output-dir", tmp_path)
    assert result.exit_code == 2
    assert "expected --engine ray with it" in result.output


def test_the_extras_are_those_of_the_package():
    from importlib.metadata import metadata

    assert set(extras.MODULES) <= set(metadata("kdistill").get_all("Provides-Extra"))


def test_the_gpu_extra_is_the_same_tensorflow_and_for_linux_alone():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (own,) = [Requirement(text) for text in project["dependencies"] if text.startswith("tensorflow")]
    (with_cuda,) = map(Requirement, project["optional-dependencies"]["gpu"])
    assert with_cuda.name == own.name
    assert with_cuda.extras == {"and-cuda"}
    assert with_cuda.specifier == own.specifier
    assert [with_cuda.marker.evaluate({"sys_platform": name}) for name in ("linux", "darwin", "win32")] == [1, 0, 0]


def test_versions_are_those_that_are_installed():
    assert extras.version_of("numpy") == numpy.__version__
    assert extras.version_of("no-package-of-this-name") is None
