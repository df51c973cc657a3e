"""Hints through the real CLI: a run with its controls, what is refused before it is trained, the layers listed."""

import json
import signal

import killing
import pytest
from command_line import document, run
from interrupting import signal_at
from small_experiment import SET

from kdistill.config import Distill
from kdistill.config import load as load_config
from kdistill.config.formula import of_distillation
from kdistill.runs import Experiment
from kdistill.teachers import features

HINT = "[{teacher: hidden_1, student: hidden_1}]"
HINTED = [*SET, "--set", f"distill.hints={HINT}", "--set", "seeds=1"]


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "400")


def hints(*items):
    return ["--set", f"distill.hints=[{', '.join(items)}]"]


LAYERS = {
    "{teacher: hiden_1, student: hidden_1}": "distill.hints.0.teacher: the teacher has no layer 'hiden_1'",
    "{teacher: hidden_1, student: nowhere}": "distill.hints.0.student: the student has no layer 'nowhere'",
    "{teacher: hidden_1, student: scaling}": "cannot give a hint: nothing before it is trained, so that a",
    "{teacher: scaling, student: hidden_1}": "expected outputs with as many dimensions as the teacher's; re",
    "{teacher: hidden_1, student: logits, loss: attention}": "distill.hints.0.loss: attention is for maps",
    "{teacher: logits, student: hidden_1, projection: none}": "distill.hints.0.projection: without one, both la",
    "{teacher: logits, student: hidden_1, projection: conv1x1}": "distill.hints.0.projection: the projection of",
}


@pytest.mark.parametrize("hint", sorted(LAYERS))
def test_a_hint_that_cannot_be_is_refused_before_anything_is_trained(hint, tmp_path):
    for command in (["reproduce"], ["reproduce", "--dry-run"], ["train-teacher"]):
        refused = run(*command, "--output-dir", tmp_path, *SET, *hints(hint), code=3)
        assert LAYERS[hint] in refused.stderr
    assert LAYERS[hint] in run("config", "check", "quickstart", *SET, *hints(hint), code=3).stderr
    assert not list(tmp_path.rglob("manifest.json"))


KEYS = {
    "{teacher: a, student: b, weight: 0}": "distill.hints.0.weight: expected a number above 0; received 0",
    "{teacher: a, studet: b}": "unknown key 'studet'; did you mean 'student'?",
    "{teacher: a, student: b, loss: rkd, normalize: none}": "distill.hints.0.normalize: only loss mse reads it",
    "{teacher: a, student: b, loss: rkd, projection: dense}": "distill.hints.0.projection: rkd compares outputs of",
    "{teacher: a, student: b}, {teacher: a, student: b, weight: 1}": "hint 2 compares the same layers in the same way",
}


@pytest.mark.parametrize("items", sorted(KEYS))
def test_keys_of_hints_are_checked(items):
    assert KEYS[items] in run("config", "show", *hints(items), code=3).stderr


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("distill.teachers=[one.keras, two.keras]", "expected one teacher that is a model; received 2 teachers"),
        ("teacher.members=2", "expected one teacher that is a model; received 2 teachers"),
        ("distill.teachers=[one.npz]", "received a file of logits, which has no layers"),
        ("distill.hints=[{teacher: hidden_1, student: hidden_1, loss: rkd}]", "expected at least 2; received 1"),
    ],
)
def test_what_hints_need_is_told(override, text, tmp_path):
    arguments = ["--output-dir", tmp_path, *HINTED, "--set", "training.batch_size=1", "--set", override]
    assert text in run("reproduce", *arguments, code=3).stderr
    assert not list(tmp_path.rglob("manifest.json"))


def test_config_check_lists_the_layers_of_both_models():
    of_teacher = ["scaling", "flatten", "hidden_1", "hidden_2", "dropout_1", "dropout_2", "logits"]
    (entry,) = document("config", "check", "quickstart", "--layers")["configs"]
    layers = {role: {each["layer"]: each for each in entry["layers"][role]} for role in ("teacher", "student")}
    assert sorted(layers["teacher"]) == sorted(of_teacher)
    assert layers["teacher"]["hidden_2"]["shape"] == [256]
    assert layers["student"]["hidden_1"] == {"layer": "hidden_1", "kind": "Dense", "shape": [16], "problem": None}
    assert "no effect" in layers["student"]["flatten"]["problem"]
    assert "layers" not in document("config", "check", "quickstart")["configs"][0]
    shown = run("config", "check", "quickstart", *hints("{teacher: hidden_2, student: hidden_1}")).stdout
    assert "layers of the teacher" in shown


def test_a_config_without_hints_keeps_its_identity_and_one_with_them_is_dumped_as_it_is_read():
    assert "hints" not in Distill().specification()
    loaded = load_config("quickstart", ["distill.hints=[{teacher: a, student: b, loss: rkd}]"])
    assert loaded.distill.specification()["hints"] == [{"teacher": "a", "student": "b", "loss": "rkd", "weight": 0.1}]
    assert "0.1 * (25 * huber(distances(s[b]), distances(t[a]))" in of_distillation(loaded.distill)
    plain = of_distillation(load_config("quickstart", [f"distill.hints={HINT}"]).distill)
    assert "+ 0.1 * MSE(P(s[hidden_1]), t[hidden_1]) / mean(t[hidden_1]^2)" in plain


@pytest.mark.slow
def test_a_run_with_its_controls_and_the_same_where_features_are_not_kept(tmp_path, monkeypatch):
    controls = ["--set", "controls=[shuffled, self, pseudo]"]
    run("reproduce", "--output-dir", tmp_path / "kept", *HINTED, *controls)
    monkeypatch.setattr(features, "MOST_CACHED", 0)
    run("reproduce", "--output-dir", tmp_path / "asked", *HINTED, *controls)
    for arm, has in (("distilled", True), ("shuffled", True), ("self", True), ("pseudo", False), ("baseline", False)):
        kept, asked = (Experiment(tmp_path / each / "quickstart").run(arm, 0) for each in ("kept", "asked"))
        assert all(("hints" in record) == has for record in kept.history())
        assert kept.result["parameters"] == asked.result["parameters"]
        losses = [[record["loss"] for record in each.history()] for each in (kept, asked)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
        if has:
            assert asked.result["soft_targets"] == "computed in every epoch"
    assert list((tmp_path / "kept").rglob("features-*.npz"))


@pytest.mark.slow
def test_a_run_with_hints_that_is_stopped_goes_on_to_the_same_end(tmp_path, monkeypatch):
    arguments = [*HINTED, "--set", "student.epochs=5", "--set", "student.patience=null"]
    for folder in ("whole", "cut"):
        run("train-teacher", "--output-dir", tmp_path / folder, *arguments)
    run("distill", "--output-dir", tmp_path / "whole", *arguments)
    with monkeypatch.context() as patch:
        signal_at(patch, 3, signal.SIGINT)
        run("distill", "--output-dir", tmp_path / "cut", *arguments, code=130)
    assert "resuming at epoch 4" in run("distill", "--output-dir", tmp_path / "cut", *arguments).stderr
    whole, cut = (Experiment(tmp_path / each / "quickstart").run("distilled", 0) for each in ("whole", "cut"))
    assert killing.outcome(cut) == killing.outcome(whole)
    assert all("hints" in json.loads(line) for line in (cut.folder / "history.jsonl").read_text().splitlines())


@pytest.mark.slow
def test_processes_beside_each_other_give_what_one_gives(tmp_path):
    for workers in ("1", "2"):
        run("reproduce", "--output-dir", tmp_path / workers, "--workers", workers, *HINTED, "--set", "seeds=2")
    for seed in (0, 1):
        one, two = (Experiment(tmp_path / each / "quickstart").run("distilled", seed) for each in ("1", "2"))
        assert killing.outcome(one) == killing.outcome(two)
