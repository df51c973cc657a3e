"""Users' own data through the real CLI: from files to a verdict, what a run remembers, and what is refused."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import keras
import numpy as np
import own_data
import pytest
import yaml
from command_line import document, run
from places import ROOT

from kdistill.training import fit

CONFIG = """\
data: {{dataset: {dataset}, path: {path}{more}}}
teacher: {{hidden: [8], epochs: 2}}
student: {{hidden: [4], epochs: 1}}
training: {{batch_size: 4}}
"""


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def written(tmp_path):
    """Write a config for a data set in some form, with its data beside it, named relatively."""

    def write(dataset, more="", **changed):
        if dataset == "npz":
            path = own_data.write_npz(tmp_path / "mine.npz", **changed)
        elif dataset == "image_folder":
            path = own_data.write_images(tmp_path / "mine")
        else:
            found = own_data.arrays(shape=(3,))
            path = own_data.write_csv(tmp_path / "mine.csv", found["x_train"], found["y_train"])
            more = f", label: kind, test: 0.25{more}"
        config = tmp_path / f"{dataset}.yaml"
        config.write_text(CONFIG.format(dataset=dataset, path=path.name, more=more))
        return config

    return write


def test_info_says_its_notes_once(written, tmp_path):
    config = written("npz")
    for picture in ([], ["--images", tmp_path / "a.png"]):
        shutil.rmtree(os.environ["KDISTILL_CACHE_DIR"], ignore_errors=True)
        result = run("data", "info", "-c", config, *picture)
        assert (result.stdout + result.stderr).count("Parts of the data: train is x_train") == 1


@pytest.mark.parametrize("dataset", ["npz", "image_folder", "csv"])
def test_every_form_is_shown_planned_trained_and_used(written, tmp_path, monkeypatch, dataset):
    config, output = written(dataset), ["--output-dir", tmp_path / "runs"]
    info = document("data", "info", "-c", config)[dataset]
    assert sum(info["per_class"]["train"]) == info["examples"]["train"] > 20
    plan = document("reproduce", "-c", config, *output, "--dry-run")
    assert plan["examples"] == info["examples"]
    assert not (tmp_path / "runs").exists()
    summary = document("reproduce", "-c", config, *output, "--workers", 1)
    assert set(summary["arms"]) == {"teacher", "baseline", "distilled"}
    folder = tmp_path / "runs" / dataset / "seed-0" / "distilled"
    names = json.loads((folder / "classes.json").read_text())
    assert names == info["classes"]
    model = keras.saving.load_model(folder / "model.keras", compile=False)
    assert model.input_shape == (None, *info["shape"])
    monkeypatch.setattr(fit, "Fit", None)  # everything is there
    assert document("reproduce", "-c", config, *output)["arms"] == summary["arms"]
    # The resolved config beside the runs finds the data too, from wherever it is called.
    monkeypatch.chdir("/")
    resolved = tmp_path / "runs" / dataset / "config.yaml"
    assert document("evaluate", "-c", resolved, *output)["arms"].keys() == summary["arms"].keys()


def test_changed_data_conflict_and_a_moved_file_does_not(written, tmp_path):
    config, output = written("npz"), ["--output-dir", tmp_path / "runs"]
    first = document("baseline", "-c", config, *output)
    moved = tmp_path / "elsewhere.npz"
    (tmp_path / "mine.npz").rename(moved)
    at_new_place = ["--set", f"data.path={moved}"]
    assert "reused" in run("baseline", "-c", config, *output, *at_new_place).stderr
    written("npz", x_train=255 - own_data.arrays()["x_train"])
    refused = run("baseline", "-c", config, *output, code=7).stderr
    assert "data: examples, labels or class names are others" in refused
    again = document("baseline", "-c", config, *output, "--overwrite")
    assert again["weights_sha256"] != first["weights_sha256"]
    plan = document("baseline", "-c", config, *output, *at_new_place, "--dry-run", "--overwrite")
    assert plan["runs"][0]["state"] == "to make again"


def test_what_was_skipped_is_said_and_recorded(written, tmp_path):
    config, output = written("image_folder"), ["--output-dir", tmp_path / "runs"]
    bad = sorted((tmp_path / "mine" / "train" / "dark").iterdir())[3]
    bad.write_bytes(b"no image")
    refused = run("baseline", "-c", config, *output, code=4).stderr
    assert bad.name in refused
    assert "data.on_error=skip" in refused
    plan = run("baseline", "-c", config, *output, "--set", "data.on_error=skip", "--dry-run")
    assert "1 image cannot be read" in plan.stderr
    assert not (tmp_path / "runs").exists()
    result = run("baseline", "-c", config, *output, "--set", "data.on_error=skip", "--json")
    assert "1 image cannot be read" in result.stderr
    assert any(bad.name in warning for warning in json.loads(result.stdout)["warnings"])
    manifest = json.loads((tmp_path / "runs/image_folder/seed-0/baseline/manifest.json").read_text())
    assert manifest["data"]["skipped"] == 1
    shown = run("data", "info", "-c", config, "--set", "data.on_error=skip").stdout
    assert "1 image cannot be read" in shown
    assert "dark: 17 + 2 + 10" in shown


@pytest.mark.slow
def test_a_sweep_over_how_data_is_read(written, tmp_path):
    config = written("image_folder")
    swept = document(
        "sweep",
        "-c",
        config,
        "--output-dir",
        tmp_path / "runs",
        "--grid",
        "data.image_size=[4,4],[6,5]",
        "--workers",
        1,
    )
    assert [cell["status"] for cell in swept["cells"]] == ["done", "done"]
    shapes = set()
    for path in (tmp_path / "runs").glob("image_folder/cells/*/seed-0/distilled/model.keras"):
        shapes.add(keras.saving.load_model(path, compile=False).input_shape)
    assert shapes == {(None, 4, 4), (None, 6, 5)}


@pytest.mark.parametrize(
    ("dataset", "change", "code", "problem"),
    [
        ("npz", "data.path=none.npz", 4, "none.npz: there is no such file or folder"),
        ("npz", "data.test=0.2", 3, "has a test part"),
        ("npz", "data.validation=given", 3, "has no validation part"),
        ("npz", "data.label=kind", 3, "data.label: only dataset csv reads it; dataset is npz"),
        ("csv", "data.test=null", 3, "has no test part"),
        ("csv", "data.label=knid", 4, "Did you mean 'kind'?"),
        ("csv", "data.label=null", 3, "data.label: dataset csv needs it"),
        ("csv", "data.path=null", 3, "data.path: dataset csv needs it"),
        ("image_folder", "data.image_size=[8]", 3, "data.image_size.1: expected [height, width]"),
        ("image_folder", "data.channels=2", 3, "data.channels: expected 1 or 3; received 2"),
        ("image_folder", "data.dataset=digits", 3, "data.path: only dataset npz or image_folder or csv reads it"),
        ("image_folder", "training.batch_size=400", 3, "expected at most the 36 examples"),
    ],
)
def test_what_does_not_fit_is_one_message_and_nothing_is_written(written, tmp_path, dataset, change, code, problem):
    config = written(dataset)
    for dry in ([], ["--dry-run"]):
        refused = run(
            "reproduce", "-c", config, "--output-dir", tmp_path / "runs", "--set", change, *dry, code=code
        ).stderr
        assert problem in refused
    assert not (tmp_path / "runs").exists()


def test_a_teacher_of_other_data_does_not_fit(written, tmp_path):
    other = document("train-teacher", "-c", written("csv"), "--output-dir", tmp_path / "runs")
    arguments = ["distill", "-c", written("npz"), "--output-dir", tmp_path / "runs", "--teacher"]
    refused = run(*arguments, other["run_info"]["model"], code=4).stderr
    assert "classes" in refused


def test_a_config_resolves_to_one_that_loads(written, tmp_path):
    config = written("csv")
    shown = yaml.safe_load(run("config", "show", config).stdout)
    assert shown["data"]["path"] == str(tmp_path / "mine.csv")
    assert shown["data"]["label"] == "kind"
    assert not {"dir", "image_size", "channels", "on_error"} & set(shown["data"])
    again = tmp_path / "again.yaml"
    again.write_text(run("config", "show", config).stdout)
    assert yaml.safe_load(run("config", "show", again).stdout) == shown
    run("config", "check", config)


def test_info_takes_a_config_or_names(written):
    config = written("npz")
    run("data", "info", "digits", "-c", config, code=2)
    assert "digits" in document("data", "info", "-c", "quickstart")
    assert "image_folder" not in document("data", "info")
    run("data", "info", "-c", config, "--set", "data.path=none", code=4)


def write_large(path, rows):
    """Write an archive of `rows` images of 64 x 64 x 3 bytes, of two classes, without having them in memory."""
    random = np.random.default_rng(0)
    block = random.integers(0, 256, (1000, 64, 64, 3), np.uint8)
    block[::2, :16] = 0
    with zipfile.ZipFile(path, "w") as archive:
        for part, count in (("train", rows), ("test", 1000)):
            with archive.open(f"x_{part}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array_header_1_0(
                    stream, {"descr": "|u1", "fortran_order": False, "shape": (count, 64, 64, 3)}
                )
                for _ in range(count // 1000):
                    stream.write(block.data)
            with archive.open(f"y_{part}.npy", "w") as stream:
                np.save(stream, np.arange(count) % 2)


MEASURE = """
import resource, subprocess, sys

subprocess.run(sys.argv[1:], check=True, stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.campaign
def test_data_larger_than_the_memory_that_is_used(tmp_path):
    """1.2 GB of images are converted, trained on and scored with less than 1.5 GB resident, TensorFlow included."""
    write_large(tmp_path / "large.npz", 100_000)
    config = tmp_path / "large.yaml"
    config.write_text(CONFIG.format(dataset="npz", path="large.npz", more=""))
    settings = ["--set", "training.batch_size=2048", "--output-dir", str(tmp_path / "runs"), "--device", "cpu"]
    environment = {**os.environ, "KDISTILL_CACHE_DIR": str(tmp_path / "cache")}
    peaks = []
    for command in ("baseline", "evaluate"):
        arguments = [sys.executable, "-m", "kdistill", command, "-c", str(config), *settings]
        # A process begins with the peak of the one that forked it. This one may be large, and so another one measures.
        measured = subprocess.run(
            [sys.executable, "-c", MEASURE, *arguments],
            env=environment,
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        peaks.append(int(measured.stdout.splitlines()[-1]))
    (converted,) = (tmp_path / "cache" / "datasets" / "own").iterdir()
    assert (converted / "train-x.npy").stat().st_size > 1.2e9
    shutil.rmtree(converted)
    (tmp_path / "large.npz").unlink()
    assert max(peaks) < 1.5 * 2**20  # kB
