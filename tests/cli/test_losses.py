"""The soft losses through the real CLI: a run of each, a sweep over them, what is refused, a run taken up again."""

import json
import shutil
import signal

import killing
import numpy as np
import pytest
from command_line import document, run
from interrupting import signal_at
from small_experiment import SET

from kdistill.config import Distill
from kdistill.config.formula import of_distillation
from kdistill.core.soft_losses import DECLARED
from kdistill.runs import Experiment

NEW = [name for name in DECLARED if name not in ("kl", "mse")]
SHORT = [*SET, "--set", "distill={}"]


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A folder with a teacher."""
    folder = tmp_path_factory.mktemp("taught")
    run("train-teacher", "--output-dir", folder, *SHORT)
    return folder


@pytest.fixture
def folder(taught, tmp_path):
    shutil.copytree(taught, tmp_path / "runs")
    return tmp_path / "runs"


def keys_of(name):
    return Distill(standardize=True) if name == "standardize" else Distill(soft_loss=name)


def options(name):
    return ["--set", "distill.standardize=true" if name == "standardize" else f"distill.soft_loss={name}"]


FIRST, *OTHERS = [*NEW, "standardize"]


@pytest.mark.parametrize("name", [FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_a_run_of_each_loss(name, folder):
    result = document("distill", "--output-dir", folder, *SHORT, *options(name))
    keys = keys_of(name)
    assert result["formula"] == of_distillation(keys)
    distilled = Experiment(folder / "quickstart").run("distilled", 0)
    assert distilled.manifest["spec"]["distill"] == keys.specification()
    (epoch,) = distilled.history()
    assert epoch["loss"] == pytest.approx(keys.alpha * epoch["soft"] + (1 - keys.alpha) * epoch["hard"], rel=1e-4)
    assert any("bad by construction" in warning for warning in result["warnings"]) == (name == "standardize")
    assert "complete" in run("distill", "--output-dir", folder, *SHORT, *options(name), "--dry-run").stdout


def test_a_sweep_over_all_losses_is_planned_with_the_defaults_of_each(tmp_path):
    grid = f"distill.soft_loss={','.join(DECLARED)}"
    plan = document("sweep", "--output-dir", tmp_path, *SHORT, "--grid", grid, "--seeds", "1", "--dry-run")
    assert [cell["set"] for cell in plan["cells"]] == [{"distill.soft_loss": name} for name in DECLARED]
    assert plan["formula"] is None


def test_dry_run_and_show_print_the_loss_with_its_factor(tmp_path):
    plan = document("reproduce", "--output-dir", tmp_path, *SHORT, *options("dist"), "--dry-run")
    assert plan["formula"].endswith("the authors' loss, 1 * hard + 2 * soft, is 3 times this")
    shown = run("config", "show", "--set", "distill={}", *options("dist")).stdout
    assert "# What the distilled student minimises:\n# loss = 0.666667 * 4^2 * (1 * (1 - r_rows)" in shown


@pytest.fixture
def two_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.normal(size=(120, 4)), "y_train": np.arange(120) % 2}
    np.savez("two.npz", **arrays, x_test=arrays["x_train"][:40], y_test=arrays["y_train"][:40])
    (tmp_path / "two.yaml").write_text(
        "data: {dataset: npz, path: two.npz}\nteacher: {hidden: [4]}\nstudent: {hidden: [2]}\n"
    )
    return tmp_path


@pytest.mark.parametrize("command", [["reproduce"], ["reproduce", "--dry-run"], ["sweep", "--grid", "distill.alpha=1"]])
@pytest.mark.parametrize("name", ["dkd", "nkd", "dist", "standardize"])
def test_two_classes_are_refused_before_anything_is_trained(command, name, two_classes):
    refused = run(*command, "-c", "two.yaml", *options(name), code=3)
    key = "standardize" if name == "standardize" else "soft_loss"
    assert f"distill.{key}: expected at least 3 classes; received 2: " in refused.stderr
    assert not list(two_classes.rglob("manifest.json"))


def test_two_classes_have_the_other_losses_and_the_teacher_and_baseline_any(two_classes):
    for name in ("wttm", "wsld"):
        run("reproduce", "-c", "two.yaml", *options(name), "--dry-run")
    run("baseline", "-c", "two.yaml", *options("dkd"), "--dry-run")
    run("reproduce", "-c", "two.yaml", "--set", "distill={soft_loss: dist, dist_rows: 0}", "--dry-run")


def test_mistakes_in_the_keys_of_a_loss_are_listed_with_their_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(
        "teacher: {hidden: [8]}\nstudent: {hidden: [4]}\ndistill:\n  soft_loss: dkd\n  dkd_other: -1\n  nkd_gama: 2\n"
    )
    listed = run("config", "check", "mine.yaml", code=3).stderr
    assert "mine.yaml:5:3: distill.dkd_other: expected a number of at least 0; received -1" in listed
    assert "mine.yaml:6:3: distill.nkd_gama: unknown key 'nkd_gama'; did you mean 'nkd_gamma'?" in listed


@pytest.mark.slow
def test_a_run_stopped_within_the_warm_up_goes_on_and_ends_as_if_it_had_not_been(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "whole")
    arguments = [*SHORT, *options("dkd"), "--set", "student.epochs=6", "--set", "student.patience=null"]
    run("distill", "--output-dir", tmp_path / "whole", *arguments)
    with monkeypatch.context() as patch:
        signal_at(patch, 3, signal.SIGINT)
        stopped = run("distill", "--output-dir", folder, *arguments, code=130)
    assert "stopped after epoch 3, with a checkpoint" in stopped.stderr
    assert "resuming at epoch 4" in run("distill", "--output-dir", folder, *arguments).stderr
    whole, resumed = (Experiment(each / "quickstart").run("distilled", 0) for each in (tmp_path / "whole", folder))
    assert killing.outcome(resumed) == killing.outcome(whole)
    soft = [json.loads(line)["soft"] for line in (whole.folder / "history.jsonl").read_text().splitlines()]
    assert soft[0] < soft[1]  # the warm-up is longer than the run


@pytest.mark.slow
def test_the_page_says_what_the_loss_is(folder):
    run("baseline", "--output-dir", folder, *SHORT)
    run("distill", "--output-dir", folder, *SHORT, *options("wttm"))
    page = document("report", folder / "quickstart")
    html = (folder / "quickstart" / "report.html").read_text()
    assert page["html"].endswith("report.html")
    assert "P = softmax(teacher), u = sum of P^0.1 over the classes" in html
    assert "Weights: the authors&#39; loss, 1 * hard + 45 * soft, is 46 times this." in html
    assert "arXiv:2402.11148" in html
    assert "Kullback" not in html
