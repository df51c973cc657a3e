"""Arms where some examples have no label: what each is trained on, and that no hidden label has an influence."""

import dataclasses

import numpy as np
import pytest
from heard import Heard, on_epoch
from small_experiment import session

from kdistill.core.controls import CONTROLS
from kdistill.core.errors import ModelError
from kdistill.core.listener import RunStarted
from kdistill.datasets import catalog, labelling
from kdistill.recipes import arms, make, remarks
from kdistill.runs import differences
from kdistill.teachers.files import find

EVERY = "controls=[smoothed, pseudo, shuffled, self, continued]"
ARMS = ("teacher", "baseline", "distilled", *CONTROLS)
TAUGHT = ("distilled", "pseudo", "shuffled", "self")


def made(own, *arms):
    return {arm: make.make(own, arm, 0) for arm in arms}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    own = session(tmp_path_factory.mktemp("few"), EVERY, "data.labelled=60", listener=Heard())
    return own, made(own, *ARMS)


def test_what_learns_from_a_model_has_all_examples_and_the_others_the_labelled_ones(experiment):
    own, results = experiment
    unlabelled = len(own.splits.train) - 60
    for arm, result in results.items():
        assert result["trained_on"] == {"labelled": 60, "unlabelled": unlabelled if arm in TAUGHT else 0}, arm


def test_every_arm_has_as_many_updates_and_is_told_so(experiment):
    own, _ = experiment
    assert {started.examples for started in own.listener.of_kind(RunStarted)} == {len(own.splits.train)}
    notes = [note for note in own.listener.notes if "updates" in note]
    assert len(notes) == len(ARMS)
    assert "teacher: 60 labelled examples; an epoch has 15 updates in every arm, 16.8 passes over them" in notes
    assert "distilled: 60 labelled and 945 unlabelled examples; an epoch has 15 updates in every arm" in notes


def test_no_hidden_label_reaches_training(experiment, tmp_path, monkeypatch):
    """All labels but those of the 60, and of validation, are changed where the data are read."""
    own, results = experiment
    rows, divide = own.splits.labelled.rows, catalog.divide

    def poisoned(*arguments):
        splits = divide(*arguments)
        labels = splits.train.labels.copy()
        hidden = np.setdiff1d(splits.train.rows, rows)
        labels[hidden] = (labels[hidden] + 1 + hidden % 9) % 10
        return dataclasses.replace(splits, train=dataclasses.replace(splits.train, labels=labels))

    monkeypatch.setattr(catalog, "divide", poisoned)
    monkeypatch.setattr(labelling, "keep", lambda *arguments: rows)
    other = session(tmp_path, EVERY, "data.labelled=60", listener=Heard())
    assert (other.splits.known.all_labels != own.splits.known.all_labels).mean() > 0.9
    for arm, result in made(other, *ARMS).items():
        assert result["weights_sha256"] == results[arm]["weights_sha256"], arm
    for arm in ("teacher", "distilled"):
        histories = [each.experiment.run(arm, 0).history() for each in (own, other)]
        assert [{**record, "seconds": 0} for record in histories[0]] == [{**r, "seconds": 0} for r in histories[1]]


def test_a_teacher_may_learn_from_all_labels(experiment, tmp_path):
    own = session(tmp_path, "data.labelled=60", "teacher.examples=all", listener=Heard())
    result = made(own, "teacher")["teacher"]
    assert result["trained_on"] == {"labelled": len(own.splits.train), "unlabelled": 0}
    plain = session(tmp_path / "plain", listener=Heard())
    assert made(plain, "teacher")["teacher"]["weights_sha256"] == result["weights_sha256"]


@pytest.mark.parametrize(
    ("which", "expected"), [("labelled", (60, 0)), ("unlabelled", (0, 945))], ids=["labelled", "unlabelled"]
)
def test_a_student_may_be_distilled_on_a_part(which, expected, experiment, tmp_path):
    file = experiment[0].experiment.run("teacher", 0).model_file
    own = session(tmp_path, "data.labelled=60", f"distill.examples={which}", "controls=[pseudo]", teacher_files=[file])
    for result in made(own, "distilled", "pseudo").values():
        assert tuple(result["trained_on"].values()) == expected
        assert ("no hard term" in result["formula"]) == (which == "unlabelled")
    if which == "unlabelled":
        assert [record["hard"] for record in own.experiment.run("distilled", 0).history()] == [0]


def test_the_teacher_is_asked_about_augmented_unlabelled_images(experiment, tmp_path):
    file = experiment[0].experiment.run("teacher", 0).model_file
    own = session(tmp_path, "data.labelled=60", "augmentation.shift=1", teacher_files=[file], listener=Heard())
    result = made(own, "distilled")["distilled"]
    assert result["soft_targets"] == "computed for every augmented image"
    assert result["trained_on"]["unlabelled"] == 945


def test_a_teacher_that_another_cell_has_opened_is_asked_about_the_examples_of_this_one(experiment):
    own, _ = experiment
    found = find([own.experiment.run("teacher", 0).model_file])
    data = own.config.data.model_copy(update={"labelled": 100})
    other = own.sibling(own.config.model_copy(update={"data": data}), own.experiment)
    assert [len(each.teacher(found).on("labelled")) for each in (own, other, own)] == [60, 100, 60]


@pytest.mark.parametrize("examples", ["all", "labelled"])
def test_class_weights_are_counted_over_the_examples_whose_labels_are_learnt(examples, tmp_path):
    few = "data.labelled={'0': 40, '1': 1, '2': 1, '3': 1, '4': 1, '5': 1, '6': 1, '7': 1, '8': 1, '9': 1}"
    own = session(tmp_path, few, f"teacher.examples={examples}", "data.class_weights=balanced")
    for arm in ("baseline", "distilled"):
        assert own.class_weights_of(arm)["0"] == pytest.approx(49 / (10 * 40))
        assert own.class_weights_of(arm)["9"] == pytest.approx(4.9)
    of_teacher = own.splits.known if examples == "all" else own.splits.labelled
    counts = np.bincount(of_teacher.all_labels, minlength=10)
    expected = len(of_teacher) / (10 * counts)
    assert list(own.class_weights_of("teacher").values()) == pytest.approx(expected.tolist())


def test_weights_of_classes_are_told_where_there_is_a_hard_term(tmp_path):
    own = session(tmp_path, "data.labelled=60", "data.class_weights=balanced", "distill.examples=unlabelled")
    for arm, told in (("baseline", 1), ("distilled", 0)):
        own.listener = Heard()
        remarks.note(own, own.experiment.run(arm, 0), arms.data_of(own, arm))
        assert sum("Class weights in the hard term" in note for note in own.listener.notes) == told


def test_a_file_of_logits_is_in_the_order_of_all_examples(experiment, tmp_path):
    own, _ = experiment
    part, rng = own.splits.training_part(), np.random.default_rng(0)
    np.savez(tmp_path / "big.npz", train=rng.normal(size=(len(part), 10)).astype("f4"), labels=part.all_labels)
    taught = session(tmp_path, "data.labelled=60", teacher_files=[tmp_path / "big.npz"], listener=Heard())
    assert made(taught, "distilled")["distilled"]["trained_on"]["unlabelled"] == 945


@pytest.fixture(scope="module")
def more(tmp_path_factory):
    """A file of digits without labels: those of train, a little changed."""
    images = session(tmp_path_factory.mktemp("none")).splits.train.images[:201].astype(int)
    changed = np.clip(images + np.random.default_rng(0).integers(-1, 2, images.shape), 0, 16)
    path = tmp_path_factory.mktemp("more") / "more.npz"
    np.savez(path, x=changed.astype(np.uint8))
    return path


def test_examples_of_a_file_are_learnt_from_by_what_a_teacher_says_of_them(experiment, more, tmp_path):
    file = experiment[0].experiment.run("teacher", 0).model_file
    own = session(
        tmp_path, "data.labelled=60", f"data.unlabelled={more}", EVERY, teacher_files=[file], listener=Heard()
    )
    arms = ("baseline", "distilled", "pseudo", "shuffled")
    for arm, result in made(own, *arms).items():
        assert result["trained_on"] == {"labelled": 60, "unlabelled": 945 + 201 if arm in TAUGHT else 0}, arm
    assert {started.examples for started in own.listener.of_kind(RunStarted)} == {1005 + 201}
    teacher = own.teacher(make.find_teachers(own, own.experiment.run("distilled", 0)))
    expected = teacher.model(own.splits.added.images, training=False)
    np.testing.assert_allclose(teacher.on("all")[1005:], expected, rtol=1e-3, atol=1e-4)
    assert len(teacher.on("unlabelled")) == 945 + 201
    again = session(tmp_path, "data.labelled=60", f"data.unlabelled={more}", EVERY, teacher_files=[file])
    assert make.finished(again, again.experiment.run("distilled", 0))


def test_other_unlabelled_examples_are_another_run(more, tmp_path):
    other = tmp_path / "other.npz"
    np.savez(other, x=np.load(more)["x"][::-1])
    specs = [session(tmp_path, f"data.unlabelled={path}").specification("baseline", 0) for path in (more, other)]
    assert differences(*specs) == ["data.unlabelled: are other examples"]
    plain = session(tmp_path).specification("baseline", 0)
    assert not {"unlabelled", "labelled"} & set(plain["data"])


def test_a_file_of_logits_has_those_of_the_unlabelled_examples_too(more, tmp_path):
    own = session(tmp_path, f"data.unlabelled={more}")
    part, rng = own.splits.training_part(), np.random.default_rng(0)
    logits = {"train": rng.normal(size=(len(part), 10)).astype("f4"), "labels": part.all_labels}
    np.savez(tmp_path / "without.npz", **logits)
    own = session(tmp_path, f"data.unlabelled={more}", teacher_files=[tmp_path / "without.npz"], listener=Heard())
    with pytest.raises(ModelError, match="expected an array `unlabelled`") as refused:
        made(own, "distilled")
    assert "with data.unlabelled `unlabelled` too" in refused.value.hint
    logits["unlabelled"] = rng.normal(size=(201, 10)).astype("f4")
    np.savez(tmp_path / "with.npz", **logits)
    own = session(tmp_path, f"data.unlabelled={more}", teacher_files=[tmp_path / "with.npz"], listener=Heard())
    assert made(own, "distilled")["distilled"]["trained_on"] == {"labelled": 1005, "unlabelled": 201}


def test_an_interrupted_run_goes_on_to_the_same_weights(experiment, more, tmp_path):
    """Resumed by another process, which reads the data and draws the labels again."""
    file = experiment[0].experiment.run("teacher", 0).model_file
    keys = ["data.labelled=60", f"data.unlabelled={more}", "training.epochs=3", "training.checkpoint_every=1"]
    whole = made(session(tmp_path / "whole", *keys, teacher_files=[file]), "distilled", "baseline")
    for arm, result in whole.items():

        def stop(record):
            if record["epoch"] == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            made(session(tmp_path / "parts", *keys, teacher_files=[file], listener=on_epoch(stop)), arm)
        heard = Heard()
        again = made(session(tmp_path / "parts", *keys, teacher_files=[file], listener=heard), arm)[arm]
        assert any("resuming at epoch 2" in note for note in heard.notes)
        assert again["weights_sha256"] == result["weights_sha256"], arm
