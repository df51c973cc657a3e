"""Weights of several teachers in their mean: in every loss, in scores and identities, and by the command line."""

import json

import numpy as np
import pytest
from command_line import document, run
from scipy.special import expit, log_softmax, softmax
from small_experiment import SET

from kdistill import config as configs
from kdistill.config.formula import of_distillation
from kdistill.core.task import MULTI, SINGLE
from kdistill.evaluation import metrics
from kdistill.runs import Experiment, differences, joint_identity, same_teachers, shares_of, split_identity
from kdistill.training import losses

TEACHERS = np.random.default_rng(0).normal(size=(7, 3, 5)).astype(np.float32) * 3
STUDENT = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32) * 3
LABELS = np.random.default_rng(2).integers(0, 5, 7)
SHARES = (0.5, 0.3, 0.2)


def objective(name, shares=(), task=SINGLE, temperature=3.0):
    return losses.distillation_objective(1.0, temperature, soft_loss=name, shares=shares, task=task)


@pytest.mark.parametrize("name", sorted(losses.SOFT_LOSSES))
def test_shares_of_tenths_are_so_many_teachers_of_equal_weight(name):
    repeated = np.repeat(TEACHERS, [5, 3, 2], axis=1)
    weighted = objective(name, SHARES)(LABELS, TEACHERS, STUDENT)["soft"]
    equal = objective(name)(LABELS, repeated, STUDENT)["soft"]
    assert float(weighted) == pytest.approx(float(equal), rel=2e-5)
    assert float(weighted) != pytest.approx(float(objective(name)(LABELS, TEACHERS, STUDENT)["soft"]), rel=1e-3)


def test_the_loss_is_kl_from_the_weighted_mean_in_float64():
    found = float(objective("kl", SHARES)(LABELS, TEACHERS, STUDENT)["soft"])
    p = np.einsum("t,btc->bc", SHARES, softmax(TEACHERS.astype(float) / 3, axis=-1))
    expected = 9 * (p * (np.log(p) - log_softmax(STUDENT.astype(float) / 3, axis=-1))).sum(-1).mean()
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_multi_label_data_has_the_weighted_mean_too():
    found = float(objective("kl", SHARES, MULTI)(np.eye(5, dtype=int)[LABELS], TEACHERS, STUDENT)["soft"])
    p, q = np.einsum("t,btc->bc", SHARES, expit(TEACHERS.astype(float) / 3)), expit(STUDENT.astype(float) / 3)
    expected = 9 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).sum(-1).mean()
    assert found == pytest.approx(expected, rel=1e-4)


def test_scores_are_those_of_the_weighted_mean():
    single = metrics.ensemble_logits(TEACHERS, SINGLE, SHARES)
    np.testing.assert_allclose(np.exp(single), np.einsum("t,btc->bc", SHARES, softmax(TEACHERS.astype(float), axis=-1)))
    multi = metrics.ensemble_logits(TEACHERS, MULTI, SHARES)
    np.testing.assert_allclose(expit(multi), np.einsum("t,btc->bc", SHARES, expit(TEACHERS.astype(float))))
    for task in (SINGLE, MULTI):
        third = metrics.ensemble_logits(TEACHERS, task, (1 / 3, 1 / 3, 1 / 3))
        np.testing.assert_allclose(third, metrics.ensemble_logits(TEACHERS, task), atol=1e-12)


def shares(*weights):
    teachers = [f"{number}.keras" for number in range(len(weights))]
    return configs.load("quickstart", [f"distill.teachers={teachers}", f"distill.teacher_weights={list(weights)}"])


def test_only_the_ratios_of_weights_count():
    assert shares(2, 6).distill.shares == shares(0.25, 0.75).distill.shares == (0.25, 0.75)
    assert shares(3, 3).distill.shares == ()
    assert configs.resolved(shares(1, 3))["distill"]["teacher_weights"] == [1.0, 3.0]
    assert "teacher_weights" not in configs.resolved(configs.load("quickstart"))["distill"]
    assert "mean (0.25, 0.75) of 2 softmax(teacher/4)" in of_distillation(shares(1, 3).distill, 2)


def test_an_identity_has_the_shares_in_any_order_of_the_teachers():
    one, other = joint_identity(["b", "a"], (0.25, 0.75)), joint_identity(["a", "b"], (0.75, 0.25))
    assert one == other == "a x 0.75 + b x 0.25"
    assert shares_of(one) == (0.75, 0.25)
    assert shares_of("a + b") == ()
    assert split_identity("a/l unit x 0.75 + b x 0.25") == [("a", "l", "unit"), ("b", "", "")]
    assert joint_identity(["b", "a"]) == "a + b"
    assert not same_teachers(one, "a + b")
    assert not same_teachers(one, joint_identity(["a", "b"], (0.25, 0.75)))
    (line,) = differences({"teacher_weights": "a + b"}, {"teacher_weights": one})
    assert line.startswith("distill.teacher_weights: were equal, are now [0.75, 0.25]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("weights")
    run("train-teacher", *SET, "--set", "teacher.members=2", "--output-dir", place)
    return place


def named(folder, names=("teacher", "teacher-2"), weights=(3, 1), name="weighted"):
    files = [str(Experiment(folder / "quickstart").run(of, 0).model_file) for of in names]
    given = [f"name={name}", f"distill.teachers={json.dumps(files)}", f"distill.teacher_weights={list(weights)}"]
    more = [part for text in given for part in ("--set", text)]
    return [*SET, *more, "--workers", 1, "--seeds", 1, "--output-dir", folder]


def test_weighted_teachers_are_scored_and_taught_as_their_weighted_mean(folder):
    found = document("reproduce", *named(folder))
    members = [Experiment(folder / "quickstart").run(name, 0) for name in ("teacher", "teacher-2")]
    run("evaluate", *SET, "--set", "teacher.members=2", "--output-dir", folder)
    each = [softmax(np.load(of.folder / "outputs.npz")["logits"].astype(float), axis=-1) for of in members]
    from kdistill import datasets

    labels = datasets.load(configs.load("quickstart").data).test.all_labels
    mean = 0.75 * each[0] + 0.25 * each[1]
    expected = -np.log(mean[np.arange(len(labels)), labels]).mean()
    assert found["arms"]["teacher"]["nll"]["values"] == [pytest.approx(expected, rel=1e-5)]
    assert "mean (0.75, 0.25) of 2" in found["formula"]
    taught = Experiment(folder / "weighted").run("distilled", 0)
    assert sorted(shares_of(taught.taught_by)) == [0.25, 0.75]
    swapped = document("reproduce", *named(folder, ("teacher-2", "teacher"), (2, 6)))  # nothing is trained again
    assert swapped["arms"] == found["arms"]
    report = run("report", folder / "weighted").stdout
    assert "page" in report
    text = (folder / "weighted" / "report.md").read_text()
    assert f"{expected:.4f}" in text
    assert "other config" not in run("evaluate", *named(folder)[:-6], "--output-dir", folder).stderr
    other = run("reproduce", *named(folder, weights=(1, 3)), code=7)
    assert "distill.teacher_weights: were" in other.stderr


def test_equal_weights_are_the_identity_of_none(folder):
    run("reproduce", *named(folder, weights=(5, 5), name="equal"))
    taught = Experiment(folder / "equal").run("distilled", 0).taught_by
    assert taught == joint_identity(
        Experiment(folder / "quickstart").run(of, 0).weights for of in ("teacher", "teacher-2")
    )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("[1]", "expected a weight for each file in distill.teachers, which are 2; received 1"),
        ("[1, 2, 3]", "which are 2; received 3"),
        ("[1, 0]", "distill.teacher_weights.1: expected a number above 0; received 0"),
        ("[1, -1]", "distill.teacher_weights.1: expected a number above 0; received -1"),
        ("[1, true]", "distill.teacher_weights.1: expected a number; received true"),
        ("2", "distill.teacher_weights: expected a list of numbers above 0, such as [2, 1]; received 2"),
    ],
)
def test_weights_that_cannot_be_are_refused(tmp_path, weights, message):
    given = ["--set", "distill.teachers=[a.keras, b.keras]", "--set", f"distill.teacher_weights={weights}"]
    found = run("reproduce", *given, "--output-dir", tmp_path, code=3)
    assert message in " ".join(found.stderr.split())


def test_weights_without_files_and_other_files_are_refused(folder, tmp_path):
    found = run("reproduce", "--set", "distill.teacher_weights=[1, 2]", "--output-dir", tmp_path, code=3)
    assert "which are 0; received 2" in found.stderr
    file = Experiment(folder / "quickstart").run("teacher", 0).model_file
    given = named(folder)[:-6]
    found = run("distill", *given, "--teacher", file, "--output-dir", tmp_path, code=3)
    assert "the command line names others" in " ".join(found.stderr.split())
