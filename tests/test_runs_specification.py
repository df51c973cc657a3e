"""What a run is: which keys it depends on, and which it does not."""

import pytest

from kdistill import config as configs
from kdistill import runs


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
        ("student.hidden=[3]", {"baseline", "distilled"}),
        ("teacher.hidden=[3]", {"teacher"}),
        ("data.split_seed=7", {"teacher", "baseline", "distilled"}),
        ("training.optimizer=sgd", {"teacher", "baseline", "distilled"}),
        ("student.patience=77", {"baseline", "distilled"}),
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
