"""What a run is: which keys it depends on, and which it does not."""

import keras_files
import pytest

from kdistill import config as configs
from kdistill import runs
from kdistill.core.errors import ModelError
from kdistill.runs import differences, same_teachers, split_identity, teacher_identity


def test_what_a_run_depends_on_leaves_out_place_and_names():
    base = configs.load("quickstart")
    for override in ("name=other", "data.dir=/somewhere", "expected.teacher=0.9", "training.checkpoint_every=3"):
        changed = configs.load("quickstart", [override])
        assert runs.specification(base, "teacher", 0) == runs.specification(changed, "teacher", 0)


def test_what_the_optimizer_does_not_read_is_no_part_of_it():
    """So that a key which a later version adds for another optimizer leaves finished runs what they are."""
    training = runs.specification(configs.load("article"), "teacher", 0)["training"]
    assert training["optimizer"] == "adam"
    assert "amsgrad" in training
    assert not {"momentum", "weight_decay", "decay_steps", "decay_to", "decay_rate"} & set(training)


@pytest.mark.parametrize(
    ("override", "changes"),
    [
        ("distill.temperature=9", {"distilled"}),
        ("distill.soft_loss=kl", set()),
        ("distill.soft_loss=mse", {"distilled"}),
        ("distill.soft_loss=dkd", {"distilled"}),
        ("distill.standardize=false", set()),
        ("distill.standardize=true", {"distilled"}),
        ("student.hidden=[3]", {"baseline", "distilled"}),
        ("teacher.hidden=[3]", {"teacher"}),
        ("data.split_seed=7", {"teacher", "baseline", "distilled"}),
        ("training.optimizer=sgd", {"teacher", "baseline", "distilled"}),
        ("student.patience=77", {"baseline", "distilled"}),
        ("data.class_weights=null", set()),
        ("data.class_weights=balanced", {"teacher", "baseline", "distilled"}),
        ("student.monitor=val_macro_f1", {"baseline", "distilled"}),
        ("verdict.measure=macro_f1", set()),
    ],
)
def test_a_key_changes_the_identity_of_the_runs_that_read_it(override, changes):
    base, changed = configs.load("quickstart"), configs.load("quickstart", [override])
    different = {
        arm
        for arm in runs.ARMS
        if runs.identity(runs.specification(base, arm, 0, "w"))
        != runs.identity(runs.specification(changed, arm, 0, "w"))
    }
    assert different == changes


def specification(text):
    return runs.specification(configs.load("quickstart", [f"student={text}"]), "baseline", 0)


def test_the_identity_of_runs_made_before_there_were_blocks_has_not_changed():
    """The numbers are those of the first version: finished runs stay what they are."""
    for source, arm, expected in [
        ("quickstart", "teacher", "fbb0772f1a01d2945e53fe662d5f4ed508d928be1f7dfcb4dc2afb7c2729ea58"),
        ("article", "baseline", "08423a1333a58089c9ad672486337b565aab8b0420147ea7d3cea83fc04c26c2"),
        ("fashion-mnist", "distilled", "9a4c423ad61c885f466561614bc3fc01d79fc2a9b999c30caa1fe46acf8234b7"),
    ]:
        spec = runs.specification(configs.load(source), arm, 0, "w")
        assert runs.identity(spec) == expected, source


def test_a_model_from_a_file_is_known_by_what_is_in_it_wherever_it_is(tmp_path):
    first = keras_files.save(keras_files.mlp(), tmp_path / "a.keras")
    before, kept = specification(f"{{model: {first}}}"), specification(f"{{model: {first}, initial_weights: file}}")
    assert str(tmp_path) not in str(before)
    moved = first.rename(tmp_path / "b.keras")
    assert specification(f"{{model: {moved}}}") == before
    assert specification(f"{{model: {moved}, initial_weights: file}}") == kept
    assert kept != before

    def other_weights(file):
        weights = file["layers/dense/vars/0"]
        weights[...] = weights[...] + 1

    other = keras_files.with_weights(moved, tmp_path / "c.keras", other_weights)
    assert specification(f"{{model: {other}}}") == before
    changed = specification(f"{{model: {other}, initial_weights: file}}")
    assert runs.differences(kept, changed) == ["student.initial_weights: is another one"]
    keras_files.save(keras_files.residual(), other)  # in its place
    assert runs.differences(before, specification(f"{{model: {other}}}")) == ["student.model: is another one"]


@pytest.mark.parametrize(
    ("name", "message"), [("gone.keras", "no such model file"), ("m.h5", "expected a `.keras` file; received one")]
)
def test_a_file_that_is_not_there_or_not_accepted_is_a_model_error(tmp_path, name, message):
    (tmp_path / "m.h5").write_bytes(b"x")
    with pytest.raises(ModelError, match=f"{name}: {message}"):
        specification(f"{{model: {tmp_path / name}}}")


def test_of_own_data_it_is_the_content_that_counts_and_not_the_place():
    """What label column, image size and so on make of the files is in the fingerprint."""

    def specification(fingerprint, path="/a.csv", **keys):
        given = {"dataset": "csv", "path": path, "label": "kind", "test": 0.2, **keys}
        config = configs.load("quickstart").model_copy(update={"data": configs.Data(**given)})
        return runs.specification(config, "baseline", 0, fingerprint=fingerprint)

    one = specification("f")
    assert one["data"] == {
        "dataset": "csv", "validation": 0.1, "split_seed": 0, "fingerprint": "f", "test": 0.2
    }  # fmt: skip
    assert specification("f", "/b.csv") == one
    assert runs.identity(specification("g")) != runs.identity(one) != runs.identity(specification("f", test=0.3))


def test_named_data_is_what_it_was_before_there_were_other_kinds():
    data = runs.specification(configs.load("fashion-mnist"), "teacher", 0, fingerprint="f")["data"]
    assert data == {"dataset": "fashion_mnist", "validation": 0.1, "split_seed": 0}
    # Computed before the change: finished runs have to stay what they are.
    assert runs.identity(runs.specification(configs.load("quickstart"), "teacher", 0)) == (
        "fbb0772f1a01d2945e53fe662d5f4ed508d928be1f7dfcb4dc2afb7c2729ea58"
    )


def test_a_distilled_run_depends_on_its_teachers_weights():
    config = configs.load("quickstart")
    one, two = (runs.specification(config, "distilled", 0, weights) for weights in ("a", "b"))
    assert runs.identity(one) != runs.identity(two)


# Of `quickstart`, with a teacher of the weights "w": runs that were finished before a key came stay finished.
KNOWN = {"teacher": "fbb0772f1a01d294", "baseline": "b81a29b3d7eeb620", "distilled": "6cc6bbf99e70d7e7"}


@pytest.mark.parametrize("arm", runs.ARMS)
def test_keys_that_came_later_leave_runs_what_they_are(arm):
    config = configs.load("quickstart", ["distill.teachers=[]", "augmentation.flip=false", "augmentation.crop=null"])
    assert runs.identity(runs.specification(config, arm, 0, "w")).startswith(KNOWN[arm])


def test_augmentation_is_part_of_every_run_and_teachers_paths_of_none():
    base = configs.load("quickstart")
    for arm in runs.ARMS:
        changed = configs.load("quickstart", ["augmentation.shift=1"])
        spec = runs.specification(changed, arm, 0, "w")
        assert spec["augmentation"] == {"shift": 1, "flip": False, "crop": None}
        for override in ("distill.teachers=[a.keras]", "teacher.preprocessing=unit"):
            changed = configs.load("quickstart", [override])
            assert runs.specification(changed, arm, 0, "w") == runs.specification(base, arm, 0, "w")


@pytest.mark.parametrize(
    ("before", "now", "line"),
    [
        ("a", "b", "teacher: is another one"),
        ("a", "a unit", "teacher.preprocessing: was none, is now unit"),
        ("a unit", "a signed", "teacher.preprocessing: was unit, is now signed"),
        (runs.joint_identity(["a", "b"]), runs.joint_identity(["c", "b"]), "teachers: are others"),
        (runs.joint_identity(["a", "b"]), "a", "teachers: were 2, are now 1"),
        (runs.joint_identity(["a", "b"]), runs.joint_identity(["b signed", "a"]), "teacher.preprocessing: was none,"),
    ],
)
def test_how_teachers_differ_is_said_without_fingerprints(before, now, line):
    (said,) = runs.differences({"teacher_weights": before}, {"teacher_weights": now})
    assert said.startswith(line)
    assert runs.joint_identity(["b", "a"]) == runs.joint_identity(["a", "b"])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a/1", "a/1", True),
        ("a/1", "a/2", False),
        ("a", "a/2", True),  # from before layers were known
        ("a/1 signed", "a/1", False),
        ("a signed", "a/1 signed", True),
        ("a + b/1", "b/1 + a/3", True),
        ("a + b/1", "b/2 + a", False),
        ("a + b", "a", False),
        ("a + a", "a", False),
    ],
)
def test_teachers_are_the_same_by_weights_layers_and_preprocessing(one, other, same):
    assert same_teachers(one, other) is same_teachers(other, one) is same
    assert (differences({"teacher_weights": one}, {"teacher_weights": other}) == []) is same


def test_an_identity_says_what_is_known():
    assert teacher_identity("a") == "a"
    layered = teacher_identity("a", "0123456789abcdef0123", "signed")
    assert layered == "a/0123456789abcdef signed"
    assert split_identity(f"{layered} + a") == [("a", "", ""), ("a", "0123456789abcdef", "signed")]
    (line,) = differences({"teacher_weights": "a/1"}, {"teacher_weights": "a/2"})
    assert line == "teacher: its weights are the same, and its layers are others"
