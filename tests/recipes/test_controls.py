"""Control arms: what each is trained on, held against arms and losses whose result is known."""

import json

import numpy as np
import pytest
from heard import Heard
from scipy.special import log_softmax
from small_experiment import session

from kdistill.core.controls import CONTROLS, needed_by
from kdistill.core.errors import ModelError
from kdistill.core.task import MULTI, SINGLE
from kdistill.recipes import controls, make
from kdistill.runs import differences, judge
from kdistill.training import losses

ALL = "controls=[smoothed, pseudo, shuffled, self, continued]"


def made(own, *arms, seed=0):
    return [make.make(own, arm, seed) for arm in arms]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    own = session(tmp_path_factory.mktemp("controls"), ALL, listener=Heard())
    made(own, "teacher", "baseline", "distilled", *CONTROLS)
    return own


def test_every_control_is_a_whole_run_of_its_own(experiment):
    weights = {arm: experiment.experiment.run(arm, 0).weights for arm in ("baseline", "distilled", *CONTROLS)}
    assert len(set(weights.values())) == len(weights)
    for arm in CONTROLS:
        run = experiment.experiment.run(arm, 0)
        assert judge(run, experiment.specification(arm, 0, run.taught_by)).counts
        assert run.manifest["spec"]["control"] == {arm: CONTROLS[arm].option}
        source = {"teacher": "teacher_weights", "baseline": "baseline_weights"}.get(needed_by(arm))
        assert [key for key in run.manifest["spec"] if key.endswith("_weights")] == ([source] if source else [])
    assert set(controls.TRAINED) == set(CONTROLS)


def test_a_control_is_reused_and_depends_on_what_it_reads_alone(experiment):
    again = session(experiment.experiment.folder.parent, ALL, "distill.temperature=7", listener=Heard())
    for arm in CONTROLS:
        run = again.experiment.run(arm, 0)
        changed = differences(run.manifest["spec"], again.specification(arm, 0, run.taught_by))
        reads_temperature = CONTROLS[arm].reads == "all"
        assert changed == (["distill.temperature: was 4.0, is now 7.0"] if reads_temperature else [])
    other = session(experiment.experiment.folder.parent, "controls=[{smoothed: 0.2}]", listener=Heard())
    spec = other.experiment.run("smoothed", 0).manifest["spec"]
    assert differences(spec, other.specification("smoothed", 0)) == ["control.smoothed: was 0.1, is now 0.2"]


def test_self_is_distillation_from_the_baselines_file(experiment, tmp_path):
    baseline = experiment.experiment.run("baseline", 0)
    own = session(tmp_path, listener=Heard(), teacher_files=[baseline.model_file])
    (result,) = made(own, "distilled")
    assert result["weights_sha256"] == experiment.experiment.run("self", 0).weights


def test_continued_begins_with_the_weights_of_the_baseline(experiment, tmp_path):
    own = session(tmp_path, ALL, listener=Heard())
    made(own, "baseline")
    still = session(tmp_path, ALL, "student.learning_rate=1e-30", "student.optimizer=sgd", listener=Heard())
    run = still.experiment.run("continued", 0)
    source = still.teacher(make.find_teachers(own, run))
    result = controls.continued(still, run, source)
    assert result["weights_sha256"] == own.experiment.run("baseline", 0).weights


def constant(own, path, rows):
    """Write logits that are the same for all examples of a label, or one row for each label."""
    splits = own.splits
    train = np.sort(np.concatenate([splits.train.rows, splits.validation.rows]))
    arrays = {"train": rows[splits.train.labels[train]], "test": rows[splits.test.labels[splits.test.rows]]}
    arrays = {name: logits.astype(np.float32) for name, logits in arrays.items()}
    np.savez(path, fingerprint=splits.fingerprint, **arrays)
    return path


def test_outputs_shuffled_within_a_class_of_equal_outputs_are_those_of_the_teacher(tmp_path):
    own = session(tmp_path, ALL)
    file = constant(own, tmp_path / "logits.npz", np.random.default_rng(0).normal(size=(10, 10)) + 9 * np.eye(10))
    own = session(tmp_path, ALL, listener=Heard(), teacher_files=[file])
    distilled, shuffled = made(own, "distilled", "shuffled")
    assert shuffled["weights_sha256"] == distilled["weights_sha256"]
    among_all = session(tmp_path / "all", "controls=[{shuffled: all}]", listener=Heard(), teacher_files=[file])
    assert made(among_all, "shuffled")[0]["weights_sha256"] != distilled["weights_sha256"]


def test_pseudo_labels_of_a_certain_teacher_are_its_softened_outputs_at_t_1(tmp_path):
    own = session(tmp_path, ALL, "distill.temperature=1")
    file = constant(own, tmp_path / "logits.npz", 1e4 * np.eye(10))
    own = session(tmp_path, ALL, "distill.temperature=1", listener=Heard(), teacher_files=[file])
    distilled, pseudo = made(own, "distilled", "pseudo")
    assert pseudo["weights_sha256"] == distilled["weights_sha256"]
    assert "CE(the teacher's answer, softmax(student))" in pseudo["formula"]


def test_the_loss_of_smoothing_is_the_cross_entropy_of_smoothed_labels():
    logits, labels = np.random.default_rng(1).normal(size=(6, 4)), np.array([0, 3, 2, 2, 1, 0])
    objective = losses.distillation_objective(0.1, 1.0)
    found = float(objective(labels, np.zeros((6, 4), np.float32), logits.astype(np.float32))["loss"])
    smoothed = 0.9 * np.eye(4)[labels] + 0.1 / 4
    expected = -(smoothed * log_softmax(logits, axis=-1)).sum(-1).mean()
    assert found == pytest.approx(expected - 0.1 * np.log(4), rel=1e-5)


def test_certain_logits_give_the_cross_entropy_of_decisions():
    teacher, student = np.random.default_rng(2).normal(size=(2, 6, 4)).astype(np.float32)
    single = losses.distillation_objective(1.0, 1.0)(np.zeros(6, int), SINGLE.certain(teacher), student)
    expected = -log_softmax(student.astype(float), axis=-1)[np.arange(6), teacher.argmax(-1)].mean()
    assert float(single["soft"]) == pytest.approx(expected, rel=1e-5)
    multi = losses.distillation_objective(1.0, 1.0, task=MULTI)
    found = multi(np.zeros((6, 4), int), MULTI.certain(teacher), student)
    hard = losses.bernoulli_hard_loss(MULTI.decided(teacher), student)
    assert float(found["soft"]) == pytest.approx(float(hard), rel=1e-5)


@pytest.mark.parametrize("answers", [np.arange(300) % 7, np.zeros(300), np.arange(300) % 6 // np.array([[1], [2]])])
def test_outputs_are_exchanged_among_equal_answers(answers):
    answers = answers.T if answers.ndim == 2 else answers
    order = controls.exchanged(answers, np.random.default_rng(3))
    assert sorted(order) == list(range(300))
    assert (answers[order] == answers).all()
    assert (order != np.arange(300)).mean() > 0.8
    np.testing.assert_array_equal(order, controls.exchanged(answers, np.random.default_rng(3)))


def test_a_control_without_what_it_needs_names_it(tmp_path):
    own = session(tmp_path, ALL, listener=Heard())
    with pytest.raises(ModelError, match=r"baseline.model\.keras"):
        made(own, "self")
    with pytest.raises(ModelError, match="needs a finished teacher"):
        made(own, "pseudo")


def test_pseudo_labels_of_augmented_images_are_asked_of_the_teacher(tmp_path):
    own = session(tmp_path, "controls=[pseudo]", "augmentation.shift=1", listener=Heard())
    _, result = made(own, "teacher", "pseudo")
    assert result["soft_targets"] == "computed for every augmented image"
    assert json.loads((own.experiment.run("pseudo", 0).folder / "result.json").read_text())["arm"] == "pseudo"
