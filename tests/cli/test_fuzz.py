"""Files that were changed at random, through the command line: refused, or still what they were; never believed."""

import json
import shutil
import signal

import killing
import numpy as np
import pytest
import tiny_mnist
from interrupting import signal_at
from small_experiment import SET
from typer.testing import CliRunner

from kdistill import config as configs
from kdistill.cli import app
from kdistill.datasets import catalog
from kdistill.runs import Experiment

SHORT = [*SET, "--set", "training.epochs=3"]
FEW, MANY = 6, 120


def mutated(content, random):
    """Return bytes that differ from `content`: bits, runs of bytes, length or order changed."""
    changed = bytearray(content)
    start = int(random.integers(len(changed)))
    length = int(min(2 ** random.integers(12), len(changed) - start))
    match random.integers(6):
        case 0:
            changed[start] ^= 1 << int(random.integers(8))
        case 1:
            del changed[start:]
        case 2:
            del changed[start : start + length]
        case 3:
            changed[start : start + length] = bytes(length)
        case 4:
            changed[start : start + length] = random.bytes(length)
        case _:
            changed[start:start] = changed[start : start + length]
    return bytes(changed) if changed != content else mutated(content, random)


def invoke(*arguments, codes):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code in codes, (result.exit_code, result.output)
    assert "Traceback" not in result.output
    if result.exit_code in {3, 4}:
        assert result.stderr.startswith("Error: ") or "\nError: " in result.stderr
    return result


# A few by default, many in the campaigns.
amount = pytest.mark.parametrize(
    "amount", [pytest.param(FEW, id="few"), pytest.param(MANY, id="many", marks=pytest.mark.campaign)]
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    output = tmp_path_factory.mktemp("finished")
    invoke("reproduce", "--output-dir", output, "--seeds", 1, *SHORT, codes={0})
    return output


@pytest.fixture
def output(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "runs")
    return tmp_path / "runs"


@amount
def test_configs(tmp_path, amount):
    random = np.random.default_rng(0)
    names = configs.builtin_names()
    for number in range(amount):
        path = tmp_path / f"{number}.yaml"
        path.write_bytes(mutated(configs.builtin_text(names[number % len(names)]).encode(), random))
        invoke("config", "check", path, codes={0, 3})


@amount
@pytest.mark.parametrize("kind", ["gz", "plain", "archive"])
def test_data(tmp_path, monkeypatch, kind, amount):
    tiny = tiny_mnist.make()
    monkeypatch.setitem(catalog.CATALOG, "mnist", catalog.published_dataset(tiny.facts))
    folder = tmp_path / "data"
    if kind == "archive":
        paths = [tiny.write_archive(folder)]
    else:
        tiny.write(folder, compress=kind == "gz")
        paths = sorted(folder.iterdir())
    random = np.random.default_rng(1)
    arguments = ["baseline", "--dry-run", "--set", "data.dataset=mnist", "--set", f"data.dir={folder}", "--json"]
    arguments += ["--set", "training.batch_size=8", "--output-dir", tmp_path / "runs"]
    sound = json.loads(invoke(*arguments, codes={0}).stdout)
    for number in range(amount):
        path = paths[number % len(paths)]
        content = path.read_bytes()
        path.write_bytes(mutated(content, random))
        result = invoke(*arguments, codes={0, 4})
        if result.exit_code == 0:  # something that no reader looks at, such as a date in a gzip header
            assert json.loads(result.stdout) == sound
        path.write_bytes(content)


@amount
def test_model_files(output, amount):
    path = output / "quickstart/seed-0/baseline/model.keras"
    content = path.read_bytes()
    arguments = ["evaluate", path, "--json", *SHORT, "--output-dir", output]
    sound = json.loads(invoke(*arguments, codes={0}).stdout)["models"][0]
    random = np.random.default_rng(2)
    for _ in range(amount):
        path.write_bytes(mutated(content, random))
        result = invoke(*arguments, codes={0, 4})
        if result.exit_code == 0:
            assert {**json.loads(result.stdout)["models"][0], "file_bytes": 0} == {**sound, "file_bytes": 0}


@amount
@pytest.mark.parametrize("name", ["manifest.json", "history.jsonl", "result.json", "classes.json"])
def test_finished_runs(output, name, amount):
    path = output / "quickstart/seed-0/baseline" / name
    content = path.read_bytes()
    arguments = ["evaluate", "--json", *SHORT, "--output-dir", output]
    sound = json.loads(invoke(*arguments, codes={0}).stdout)
    random = np.random.default_rng(3)
    for _ in range(amount // 3):
        path.write_bytes(mutated(content, random))
        result = invoke(*arguments, codes={0, 4})
        if result.exit_code == 0:  # a blank in a JSON document, say
            assert json.loads(result.stdout) == sound
        else:
            assert name in result.stderr
    invoke("baseline", *SHORT, "--output-dir", output, codes={0})
    assert (
        json.loads(invoke(*arguments, codes={0}).stdout)["arms"]["baseline"]["accuracy"]
        == (sound["arms"]["baseline"]["accuracy"])
    )


@amount
@pytest.mark.parametrize("name", ["state.npz", "checkpoint.json", "history.jsonl", "manifest.json"])
def test_interrupted_runs(finished, tmp_path, monkeypatch, name, amount):
    """Whatever is damaged, the run goes on from what is sound, and comes to the same end."""
    expected = killing.outcome(Experiment(finished / "quickstart").run("baseline", 0))
    arguments = ["baseline", *SHORT, "--set", "training.checkpoint_every=1", "--output-dir"]
    with monkeypatch.context() as patch:
        signal_at(patch, 2, signal.SIGINT)
        invoke(*arguments, tmp_path / "cut", codes={130})
    random = np.random.default_rng(4)
    for number in range(amount // 6):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "cut", folder)
        run = Experiment(folder / "quickstart").run("baseline", 0)
        for path in run.folder.rglob(name):
            path.write_bytes(mutated(path.read_bytes(), random))
        invoke(*arguments, folder, codes={0})
        assert killing.outcome(run) == expected
        shutil.rmtree(folder)


@amount
def test_the_cache_of_logits(finished, tmp_path, amount):
    """It is computed again where it is not what was written."""
    expected = killing.outcome(Experiment(finished / "quickstart").run("distilled", 0))
    random = np.random.default_rng(5)
    shutil.copytree(finished, tmp_path / "runs")
    run = Experiment(tmp_path / "runs/quickstart").run("distilled", 0)
    caches = {path: path.read_bytes() for path in (tmp_path / "runs/quickstart/cache").glob("*.npz")}
    for _ in range(amount // 3):
        for path, content in caches.items():
            path.write_bytes(mutated(content, random))
        shutil.rmtree(run.folder)
        invoke("distill", *SHORT, "--output-dir", tmp_path / "runs", codes={0})
        assert killing.outcome(run) == expected
