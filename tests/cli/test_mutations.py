"""Every file of an experiment and of the cache of own data, damaged in every way, through every command that reads it.

A command refuses with a documented exit code and names the file, or goes on: then its result is that of the sound file,
or it says which file is damaged.
"""

import json
import os
import re
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass

import keras_files
import mutations
import numpy as np
import own_data
import pytest
from small_experiment import SET
from typer.testing import CliRunner

from kdistill import config as configs
from kdistill.cli import app
from kdistill.core import files
from kdistill.core.errors import ConfigError
from kdistill.report.plots import figure
from kdistill.runs import Experiment, benchmark

DOCUMENTED = {0, 3, 4, 5, 6, 7, 8}
LONGER = [*SET, "--set", "training.epochs=3"]
GRID = ["--grid", "distill.temperature=2,4", "--grid", "distill.alpha=0.5,0.9", "--seeds", "0,", "--workers", "1"]
RUN = "quickstart/seed-0/distilled"
CELL = "swept/cells/*/seed-0/distilled"
# How many mutations of a group the campaign tries with each file and command that reads it.
EACH = int(os.environ.get("KDISTILL_MUTATIONS", "1"))
REFUSED, SAME, SAID, OTHER, WRONG = "refused by name", "with the sound result", "said", "another state", "wrong"


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def printed(result, home):
    return result.stdout


def document(result, home):
    """What `--json` prints, without sizes of folders, times and places."""
    told = re.sub(r'"(bytes|changed|seconds|file_bytes|folder|output_dir)": [^,\n]*', "", result.stdout)
    return re.sub(r'"run_info": \{[^}]*\}', "", told)


def page(result, home):
    """The report, without sizes and times."""
    name = "swept" if "/swept" in result.stdout else "quickstart"
    return re.sub(r"[\d.]+ [kM]?B|\d+:\d\d|[\d.]+ s\b", "", (home / name / "report.md").read_text())


def weights(result, home):
    return json.loads((home / RUN / "result.json").read_text())["weights_sha256"]


@dataclass(frozen=True)
class Command:
    """A command line, in which {home} is the output folder, and what of its result depends on the files."""

    line: str
    outcome: object = printed
    more: tuple = ()
    changes: bool = False  # whether it writes more than a report

    def run(self, home):
        return invoke(*self.line.format(home=home, images=home / "images.npz").split(), *self.more)


ON = "-c {home}/quickstart/config.yaml --output-dir {home}"
COMMANDS = {
    "report": Command("report {home}/quickstart", page),
    "report swept": Command("report {home}/swept", page),
    "compare": Command("compare {home}/quickstart {home}/other --json", document),
    "runs ls": Command("runs ls --output-dir {home} --json", document),
    "runs ls --verify": Command("runs ls {home}/quickstart --verify --json", document),
    "runs ls swept": Command("runs ls {home}/swept --json", document),
    "evaluate": Command(f"evaluate {ON} --json", document, changes=True),
    "evaluate FILE": Command(f"evaluate {{home}}/{RUN}/model.keras --json", document),
    "predict": Command(f"predict {{home}}/{RUN} {{images}}"),
    "predict FILE": Command(f"predict {{home}}/{RUN}/model.keras {{images}}"),
    "predict EXPORT": Command(f"predict {{home}}/{RUN}/saved-model {{images}}"),
    "export": Command(f"export {{home}}/{RUN} --format saved-model --json", document),
    "benchmark": Command(f"benchmark {ON} --json", lambda *_: ""),
    "reproduce --dry-run": Command(f"reproduce {ON} --seeds 1 --dry-run --json", document),
    "reproduce": Command(f"reproduce {ON} --workers 1 --seeds 1", weights, changes=True),
    "distill": Command(f"distill {ON}", weights, changes=True),
    "sweep": Command("sweep -c {home}/swept/config.yaml --output-dir {home} --json", document, tuple(GRID), True),
    "config check": Command("config check {home}/quickstart/config.yaml"),
    "config show": Command("config show {home}/quickstart/config.yaml"),
}
OF_RUN = ["report", "compare", "runs ls", "runs ls --verify", "evaluate", "predict", "export", "benchmark"]
OF_RUN += ["reproduce --dry-run", "reproduce", "distill"]
OF_CELL = ["report swept", "runs ls swept", "sweep"]
# By file, the commands that read it.
READ_BY = {
    f"{RUN}/manifest.json": OF_RUN,
    f"{RUN}/result.json": OF_RUN,
    f"{RUN}/history.jsonl": OF_RUN,
    f"{RUN}/test.json": OF_RUN,
    f"{RUN}/outputs.npz": ["report", "evaluate", "reproduce"],
    f"{RUN}/classes.json": OF_RUN,
    f"{RUN}/model.keras": [*OF_RUN, "predict FILE", "evaluate FILE"],
    f"{RUN}/saved-model.json": ["predict EXPORT", "export", "benchmark"],
    "quickstart/seed-0/teacher/manifest.json": ["report", "evaluate", "reproduce", "distill"],
    "quickstart/seed-0/teacher/model.keras": ["report", "evaluate", "reproduce", "distill"],
    "quickstart/seed-0/teacher/outputs.npz": ["report", "evaluate", "distill"],
    "quickstart/seed-0/baseline/result.json": ["report", "compare", "reproduce"],
    "quickstart/seed-9/distilled/manifest.json": ["report", "compare", "runs ls"],
    "quickstart/seed-9/distilled/history.jsonl": ["report", "runs ls"],
    "quickstart/seed-9/distilled/failure.json": ["report", "runs ls"],
    "quickstart/cache/*.npz": ["report", "distill", "reproduce"],
    "quickstart/config.yaml": ["config check", "config show", "report", "compare", "runs ls", "predict", "distill"],
    "quickstart/summary.json": ["report", "compare", "runs ls", "reproduce"],
    "quickstart/benchmark.json": ["report", "runs ls"],
    "swept/sweep.json": OF_CELL,
    "swept/winner.yaml": OF_CELL,
    f"{CELL}/manifest.json": OF_CELL,
    f"{CELL}/result.json": OF_CELL,
    f"{CELL}/history.jsonl": OF_CELL,
    f"{CELL}/model.keras": OF_CELL,
    "swept/cells/*/config.yaml": OF_CELL,
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A finished experiment with an unfinished seed, another to compare it with, and a sweep."""
    home = tmp_path_factory.mktemp("sound") / "runs"
    for more in ([], ["--set", "name=other", "--set", "student.hidden=[8]"]):
        assert invoke("reproduce", "--output-dir", home, "--seeds", 1, *LONGER, *more).exit_code == 0
    assert invoke("sweep", "--output-dir", home, "--set", "name=swept", *LONGER, *GRID).exit_code == 0
    np.savez(home / "images.npz", x=np.random.default_rng(0).integers(0, 16, (3, 8, 8)).astype(np.float32))
    begun = home / "quickstart/seed-9/distilled"
    shutil.copytree(home / RUN, begun)
    for name in ("result.json", "model.keras", "test.json", "outputs.npz", "classes.json"):
        (begun / name).unlink()
    files.write_sealed(begun / "failure.json", {"message": "diverged", "epoch": 3, "at": "2026-01-01T00:00:00+00:00"})
    timed = {"calls": 200, "p50_ms": 2.0, "p90_ms": 2.0, "p99_ms": 2.0, "per_second": 500.0}
    row = {"name": "distilled", "path": str(home / RUN / "model.keras"), "format": "keras", "parameters": 7}
    row |= {"file_bytes": 8, "accuracy": 0.5, "latency": {"1": timed, "32": timed}, "peak_memory_bytes": 9}
    info = {"machine": "a machine", "cores": 2, "threads": 1, "how": "so"}
    benchmark.keep(Experiment(home / "quickstart"), {"rows": [row], "run_info": info})
    return home


@pytest.fixture(scope="module")
def sound_with_export(sound):
    assert invoke("export", sound / RUN, "--format", "saved-model").exit_code == 0
    return sound


def _is_config(path):
    try:
        configs.load(str(path))
    except ConfigError:
        return False
    return True


def drawn(cases, number, random):
    """Return cases (kind, content, command), at most `number` for each group of kinds and command."""
    groups = defaultdict(list)
    for case in cases:
        groups[mutations.group_of(case[0]), case[2]].append(case)
    return [group[each] for group in groups.values() for each in sorted(random.permutation(len(group))[:number])]


class Matrix:
    """Tries mutations of files with commands, counts the outcomes, and collects what goes wrong."""

    def __init__(self, sound, home):
        self.sound, self.home, self.outcomes, self.wrong = sound, home, Counter(), []
        self._expected = {}
        self.renew()

    def renew(self):
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self.sound, self.home)

    def expected(self, name):
        if name not in self._expected:
            result = COMMANDS[name].run(self.home)
            assert result.exit_code == 0, result.output
            self._expected[name] = COMMANDS[name].outcome(result, self.home)
            self.renew()
        return self._expected[name]

    def cases(self, place, names, random, some):
        """Return the path of a file, and each of its mutations with each of the commands."""
        path = sorted(self.home.glob(place))[0]
        others = [path.parent.parent / "baseline" / path.name, path.parent / "result.json", path.parent / "test.json"]
        others += [self.home / "other" / path.relative_to(self.home / "quickstart")] if "quickstart" in place else []
        swap = [other for other in others if other.is_file() and other != path]
        kinds = list(mutations.of_file(path, random, some, swap))
        return path, [(*each, name) for each in kinds for name in names]

    def try_all(self, path, cases):
        sound = path.read_bytes()
        for kind, content, name in cases:
            expected = self.expected(name)
            path.write_bytes(content)
            result = COMMANDS[name].run(self.home)
            outcome, problem = self._outcome(path, kind, result, expected, COMMANDS[name])
            self.outcomes[outcome] += 1
            if problem:
                case = f"{path.relative_to(self.home)}: {kind}: {name}"
                self.wrong.append(f"{case}: {problem}: {result.stderr.strip()[-300:]}")
            self.renew() if COMMANDS[name].changes else path.write_bytes(sound)

    @staticmethod
    def _is_another_state(path, kind, command):
        """Whether what a person wrote is a config too, a history is of an earlier epoch, or a model is another one."""
        if path.name == "model.keras" and "model.keras" in command.line:  # a file alone, wherever it is
            return kind.startswith("is ")
        if path.name == "config.yaml":
            return kind.startswith("without ") or " is " in f" {kind}" or _is_config(path)
        is_earlier = kind in {"empty", "without line 3"} or kind.startswith("line 1: without ")
        return path.name == "history.jsonl" and "seed-9" in path.parts and is_earlier

    def _outcome(self, path, kind, result, expected, command):
        """Return the name of an outcome, and what is wrong with it."""
        if "Traceback" in result.output or result.exit_code not in DOCUMENTED:
            return WRONG, f"exit code {result.exit_code}"
        named = path.name in result.output or path.parent.name in result.stderr
        other = self._is_another_state(path, kind, command)
        if result.exit_code:
            return (REFUSED, None) if named or other else (WRONG, f"exit code {result.exit_code}, file not named")
        found = command.outcome(result, self.home)
        if found == expected:
            return SAME, None
        said = named or (command.outcome is page and path.name in found)
        # Of a manifest and the files that it has the hashes of, it cannot be known which was put into its place.
        said = said or (path.name == "manifest.json" and "is not the file that was written" in str(found))
        if other and not said:
            return OTHER, None
        return (SAID, None) if said else (WRONG, "another result without a word")


def test_a_sample_of_files_and_commands(sound, tmp_path):
    matrix, random = Matrix(sound, tmp_path / "runs"), np.random.default_rng(0)
    slow = {"report", "report swept", "benchmark", "export", "sweep", "reproduce"}
    for number, (place, names) in enumerate(READ_BY.items()):
        quick = [name for name in names if name not in slow]
        if quick and "saved-model" not in place:
            path, cases = matrix.cases(place, quick, random, some=1)
            few = cases[number % 7 * len(quick) :: 7 * len(quick) + 1]
            matrix.try_all(path, few)
    assert not matrix.wrong, "\n".join(matrix.wrong)
    assert matrix.outcomes.total() > 40


@pytest.mark.parametrize(
    ("place", "name", "change", "words"),
    [
        (
            "swept/sweep.json",
            "report swept",
            lambda text: text.replace('"cells": [', '"cells": [], "x": ['),
            "sweep.json",
        ),
        (f"{RUN}/history.jsonl", "report", lambda text: text[text.index("\n") + 1 :], "history.jsonl"),
        ("quickstart/summary.json", "report", lambda text: text[:-50], "summary.json is damaged"),
    ],
)
def test_a_report_tells_which_file_is_damaged(sound, tmp_path, place, name, change, words):
    home = tmp_path / "runs"
    shutil.copytree(sound, home)
    (home / place).write_text(change((home / place).read_text()))
    result = COMMANDS[name].run(home)
    assert result.exit_code == 0, result.output
    assert words in page(result, home)


def _listed(outcomes):
    return ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))


@pytest.fixture(scope="module")
def counts():
    outcomes = Counter()
    yield outcomes
    print(f"\nIn all {outcomes.total()}: {_listed(outcomes)}")


@pytest.mark.campaign
@pytest.mark.parametrize("place", READ_BY)
def test_all_files_and_commands(sound_with_export, tmp_path, monkeypatch, place, record_property, counts):
    from kdistill.deploy import benchmark as benchmarks

    measured = {"parameters": 1, "latency": {"1": {"per_second": 1.0}, "32": {"per_second": 1.0}}}
    measured |= {"peak_memory_bytes": 1}
    monkeypatch.setattr(
        benchmarks._Bench, "_measure", lambda *_: (measured, np.zeros((540, 10), np.float32))
    )  # what is read before is tried here; a process for each model takes seconds
    # Everything is drawn; writing the files of the plots takes nine tenths of a report's time.
    empty = b'<svg xmlns="http://www.w3.org/2000/svg" width="1pt" height="1pt"/>'
    monkeypatch.setattr(figure.Figure, "savefig", lambda _, file, **options: file.write(empty))
    monkeypatch.setattr(figure, "lay_out", lambda _: None)
    matrix, random = Matrix(sound_with_export, tmp_path / "runs"), np.random.default_rng(1)
    path, cases = matrix.cases(place, READ_BY[place], random, some=5)
    matrix.try_all(path, drawn(cases, EACH, random))
    counts.update(matrix.outcomes)
    record_property("outcomes", dict(matrix.outcomes))
    print(f"{place}: {matrix.outcomes.total()} of {len(cases)}: {_listed(matrix.outcomes)}")
    assert not matrix.wrong, "\n".join([f"{len(matrix.wrong)} of {matrix.outcomes.total()}:", *matrix.wrong])


few_or_all = pytest.mark.parametrize(
    "every", [pytest.param(9, id="few"), pytest.param(1, id="all", marks=pytest.mark.campaign)]
)


@few_or_all
def test_the_cache_of_own_data(tmp_path, monkeypatch, every):
    """Weights are those of the data; a cache that is not what was written is made again, and a note says so."""
    monkeypatch.setenv("KDISTILL_CACHE_DIR", str(tmp_path / "cache"))
    own_data.write_npz(tmp_path / "mine.npz", **own_data.arrays(validation=10))
    config = tmp_path / "mine.yaml"
    config.write_text(
        "data: {dataset: npz, path: mine.npz, validation: given}\nteacher: {hidden: [8]}\n"
        "student: {hidden: [4], epochs: 2}\ntraining: {batch_size: 4}\n"
    )
    command = ["baseline", "-c", config, "--output-dir", tmp_path / "runs", "--overwrite", "--json"]
    expected = json.loads(invoke(*command).stdout)["weights_sha256"]
    (folder,) = (tmp_path / "cache/datasets/own").iterdir()
    random, kinds = np.random.default_rng(0), []
    for path in sorted(folder.iterdir()):
        swap = [other for other in sorted(folder.iterdir()) if other != path]
        kinds += [(path, *each) for each in mutations.of_file(path, random, some=10, swap=swap)]
    silent = []
    for path, kind, content in kinds[::every]:
        path.write_bytes(content)
        result = invoke(*command)
        assert result.exit_code == 0, (path.name, kind, result.output)
        assert json.loads(result.stdout)["weights_sha256"] == expected, (path.name, kind)
        told = f"the cache of converted data is damaged: {path.name}" in " ".join(result.stderr.split())
        # The seal is of the document, not of its blanks.
        if not told and not (path.suffix == ".json" and json.loads(content) == json.loads(path.read_bytes())):
            silent.append((path.name, kind))
    print(f"{len(kinds[::every])} mutations of the cache tried")
    assert silent == []


def test_a_damaged_cache_of_data_that_is_gone_names_the_data(tmp_path, monkeypatch):
    monkeypatch.setenv("KDISTILL_CACHE_DIR", str(tmp_path / "cache"))
    data = own_data.write_npz(tmp_path / "mine.npz")
    config = tmp_path / "mine.yaml"
    config.write_text("data: {dataset: npz, path: mine.npz}\nteacher: {hidden: [8]}\nstudent: {hidden: [4]}\n")
    assert invoke("data", "info", "-c", config).exit_code == 0
    (folder,) = (tmp_path / "cache/datasets/own").iterdir()
    (folder / "train-x.npy").write_bytes(b"")
    whole = data.read_bytes()
    data.write_bytes(whole[:-100])
    for problem in (f"{data}: ", f"{data}: there is no such file"):
        result = invoke("data", "info", "-c", config)
        assert result.exit_code == 4
        assert problem in " ".join(result.stderr.split())
        data.unlink(missing_ok=True)


def test_what_reads_no_arrays_does_not_read_the_cache(sound, tmp_path, monkeypatch):
    from kdistill.datasets.user import conversion_cache

    monkeypatch.setattr(conversion_cache, "find", None)
    config = tmp_path / "mine.yaml"
    (tmp_path / "mine.npz").touch()
    config.write_text("data: {dataset: npz, path: mine.npz}\nteacher: {hidden: [8]}\nstudent: {hidden: [4]}\n")
    for command in (["config", "check", config], ["config", "show", config], ["runs", "ls", "--output-dir", sound]):
        assert (found := invoke(*command)).exit_code == 0, found.output


@pytest.mark.parametrize("amount", [4, pytest.param(300, marks=pytest.mark.campaign)])
@pytest.mark.parametrize("make", [keras_files.mlp, keras_files.residual])
def test_models_whose_config_was_changed(tmp_path, make, amount):
    """The archive is sound, with correct checksums: what is wrong shows when the model is built or computed."""
    path = tmp_path / "a.keras"
    keras_files.save(make(), path)
    shape = make().input_shape[1:]
    np.savez(tmp_path / "x.npz", x=np.zeros((2, *shape), np.float32))
    kinds = list(mutations.models(path.read_bytes(), np.random.default_rng(2), amount))
    for kind, content in kinds:
        path.write_bytes(content)
        result = invoke("predict", path, tmp_path / "x.npz")
        assert result.exit_code in {0, 4}, (kind, result.output)
        assert result.exit_code == 0 or "a.keras" in result.stderr


@pytest.mark.parametrize("amount", [1, pytest.param(40, marks=pytest.mark.campaign)])
def test_configs_with_other_keys_and_values(tmp_path, amount):
    random = np.random.default_rng(3)
    for name in configs.builtin_names():
        path = tmp_path / f"{name}.yaml"
        path.write_text(configs.builtin_text(name))
        for kind, content in list(mutations.of_file(path, random, amount))[:: 40 // amount]:
            path.write_bytes(content)
            result = invoke("config", "check", path)
            assert result.exit_code in {0, 3}, (name, kind, result.output)
