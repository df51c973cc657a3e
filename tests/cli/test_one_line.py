"""Data and a teacher on the command line, and nothing else: from a line to a verdict, for each form of data."""

import keras
import numpy as np
import own_data
import pytest
import yaml
from command_line import document, run

SHORT = ["--set", "training.epochs=1", "--workers", "1"]
FAST = SHORT[:2]


@pytest.fixture(autouse=True)
def _plain(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


def trained(result):
    """Return how many runs a command says that it has trained."""
    return result.stderr.count(" at epoch ")


def teacher(path, shape=(6, 5)):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(256), keras.layers.Dense(2)]
    keras.Sequential([keras.Input(shape), *layers]).save(path)
    return path


def data(form, folder):
    if form == "npz":
        return own_data.write_npz(folder / "mine.npz")
    if form == "image_folder":
        return own_data.write_images(folder / "mine")
    found = own_data.arrays(train=60, shape=(3,))
    path = folder / "mine.csv"
    rows = zip(found["x_train"].tolist(), found["y_train"], strict=True)
    path.write_text("".join(["a,b,c,kind\n", *(f"{','.join(map(str, x))},{own_data.CLASSES[y]}\n" for x, y in rows)]))
    return path


@pytest.mark.parametrize("form", ["npz", "image_folder", "csv"])
def test_a_line_goes_from_data_to_a_verdict_and_is_repeated_at_no_cost(form, tmp_path):
    path = data(form, tmp_path)
    first = run("reproduce", path, *SHORT, "--seeds", "1")
    assert trained(first) == 3
    assert f"Config for {path}:" in first.stderr
    assert "runs/mine/config.yaml" in first.stderr
    assert "student: " in first.stderr
    kept = yaml.safe_load((tmp_path / "runs/mine/config.yaml").read_text())
    assert kept["data"]["dataset"] == form
    assert kept["data"]["path"] == str(path)
    assert kept["student"]["hidden"]
    for again in ([path, *SHORT], ["-c", "runs/mine/config.yaml"]):
        assert trained(run("reproduce", *again, "--seeds", "1")) == 0
    plan = document("reproduce", path, *SHORT, "--dry-run")
    assert {planned["seed"] for planned in plan["runs"]} == {0, 1, 2}


def test_commands_of_one_run_make_the_same_config(tmp_path):
    path = data("npz", tmp_path)
    for command in ("train-teacher", "baseline", "distill"):
        run(command, path, *FAST)
    assert "complete, reused" in run("distill", path, *FAST).stderr
    assert [entry.name for entry in (tmp_path / "runs").iterdir()] == ["mine"]
    assert document("evaluate", "-c", "runs/mine/config.yaml")["arms"].keys() == {"teacher", "baseline", "distilled"}


def test_a_teacher_on_the_line_sizes_the_student_and_is_kept_in_the_config(tmp_path):
    path, big = data("image_folder", tmp_path), teacher(tmp_path / "big.keras")
    result = run("distill", path, "--teacher", "big.keras", *FAST)
    assert "at most 3.0 % is aimed at" in result.stderr
    assert "the teacher's 8,450" in result.stderr
    kept = yaml.safe_load((tmp_path / "runs/mine/config.yaml").read_text())
    assert kept["distill"]["teachers"] == [str(big)]
    assert kept["teacher"] == {}
    found = run("reproduce", path, "--teacher", "big.keras", *SHORT, "--seeds", "1")
    assert trained(found) == 1, "the baseline"
    plan = run("sweep", path, "--teacher", "big.keras", *FAST, "--set", "sweep={distill.alpha: [0.1, 1]}", "--dry-run")
    assert "alpha=0.1" in plan.stdout
    run("distill", path, "--teacher", "gone.keras", code=4)


def test_another_path_of_the_same_name_gets_another_folder_and_is_told(tmp_path):
    (tmp_path / "other").mkdir()
    run("baseline", data("npz", tmp_path), *FAST)
    result = run("baseline", data("npz", tmp_path / "other"), *FAST)
    assert "the name is mine-2, since runs/mine is of other data" in result.stderr
    assert sorted(entry.name for entry in (tmp_path / "runs").iterdir()) == ["mine", "mine-2"]


def test_logits_and_teachers_also_go_with_a_config(tmp_path):
    run("data", "export", "digits.npz")
    with np.load("digits.npz") as arrays:
        train, test = (5 * np.eye(10)[arrays[f"y_{part}"]] for part in ("train", "test"))
        np.savez("logits.npz", train=train, test=test, labels=arrays["y_train"])
    assert trained(run("reproduce", "--teacher-logits", "logits.npz", *SHORT, "--seeds", "1")) == 2
    by_key = ["--set", f"distill.teachers=[{tmp_path / 'logits.npz'}]"]
    assert trained(run("reproduce", *by_key, *SHORT, "--seeds", "1")) == 0
    script = run("sweep", "--teacher-logits", "logits.npz", "--grid", "distill.alpha=0.1,1", "--emit", "slurm").stdout
    assert f'distill.teachers=["{tmp_path / "logits.npz"}"]' in script


def test_a_batch_script_repeats_data_and_name(tmp_path):
    path = data("npz", tmp_path)
    script = run("reproduce", "mine.npz", "--emit", "slurm", "--set", "student.hidden=[3]").stdout
    assert f" {path} --set name=mine " in script


def test_data_and_a_config_together_are_refused(tmp_path):
    path = data("npz", tmp_path)
    assert "expected DATA or -c" in run("reproduce", path, "-c", "quickstart", code=2).stderr
    for arguments in (["--teacher", "a.keras"], ["--data", path, "--from", "quickstart"], ["--set", "seed=3"]):
        run("config", "init", *arguments, code=2)
    assert "-c fashion-mnist" in run("reproduce", "fashion-mnist", code=3).stderr
    assert "-c fashion-mnist" in run("distill", "fashion-mist", code=3).stderr


def test_config_init_writes_the_config_that_the_line_makes(tmp_path):
    path = data("csv", tmp_path)
    teacher(tmp_path / "big.keras", (3,))
    result = run("config", "init", "--data", path, "--teacher", "big.keras", "--set", "distill.alpha=0.3")
    assert "Wrote mine.yaml" in result.stderr
    run("config", "check", "mine.yaml")
    assert document("config", "show", "mine.yaml")["distill"]["alpha"] == 0.3
    run("baseline", path, "--teacher", "big.keras", code=2)
    run("distill", path, "--teacher", "big.keras", "--set", "distill.alpha=0.3", *FAST)
    assert "complete, reused" in run("distill", "-c", "mine.yaml", *FAST).stderr
    run("config", "init", "--data", path, code=7)


def test_a_table_whose_label_is_unclear_is_used_once_it_is_named(tmp_path):
    rows = [f"{1.5 + n},{n % 2},{n % 3}" for n in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c", *rows]) + "\n")
    refused = run("reproduce", "t.csv", code=4)
    assert "the columns are a, b, c" in refused.stderr
    assert "--set data.label=" in refused.stderr
    run("baseline", "t.csv", "--set", "data.label=c", *FAST)


def test_a_teacher_that_embeds_makes_the_data_tokens():
    random = np.random.default_rng(0)
    labels = np.arange(60) % 2
    tokens = random.integers(0, 10, (60, 6)) + 10 * labels[:, None]
    np.savez("text.npz", x_train=tokens, y_train=labels)
    keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            keras.layers.Embedding(20, 64),
            keras.layers.LSTM(8),
            keras.layers.Dense(2),
        ]
    ).save("big.keras")
    kept = yaml.safe_load(run("config", "init", "--data", "text.npz", "--teacher", "big.keras", "-").stdout)
    assert kept["data"]["kind"] == "tokens"
    assert kept["student"]["embedding"]
    assert kept["student"]["recurrent"]
