"""A teacher's features on the training split: cached by all that they depend on."""

import numpy as np
import pytest
from small_experiment import session

from kdistill.models.features import Feature
from kdistill.recipes.make import make
from kdistill.teachers import features, files


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A session with a teacher that is trained."""
    opened = session(tmp_path_factory.mktemp("taught"), "teacher.hidden=[12]")
    make(opened, "teacher", 0)
    return opened.teacher(files.of_runs([opened.experiment.run("teacher", 0)]))


def test_they_are_computed_once_and_then_read(taught, monkeypatch):
    wanted = [Feature("hidden_1", (12,)), Feature("logits", (10,))]
    hidden, logits = features.on(taught, wanted, "all")
    assert hidden.shape == (len(taught.splits.train), 12)
    np.testing.assert_allclose(logits, taught.train, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(features, "guide", None)  # a second computation fails
    for kept, computed in zip(features.on(taught, wanted, "all"), (hidden, logits), strict=True):
        np.testing.assert_array_equal(kept, computed)


def test_another_layer_or_size_is_another_file(taught):
    before = len(list(taught.cache.folder.glob("features-*.npz")))
    features.on(taught, [Feature("flatten", (64,))], "all")
    features.on(taught, [Feature("scaling", (4, 8))], "all")
    assert len(list(taught.cache.folder.glob("features-*.npz"))) == before + 2


def test_those_of_a_part_are_the_rows_of_its_examples(tmp_path):
    opened = session(tmp_path, "teacher.hidden=[12]", "data.labelled=60")
    make(opened, "teacher", 0)
    teacher, wanted = opened.teacher(files.of_runs([opened.experiment.run("teacher", 0)])), [Feature("logits", (10,))]
    for which in ("labelled", "unlabelled"):
        (found,) = features.on(teacher, wanted, which)
        np.testing.assert_allclose(found, teacher.on(which), rtol=1e-4, atol=1e-4)
        assert len(found) == len(opened.splits.examples(which))


def test_sizes_are_those_of_float32():
    assert features.size_of([Feature("a", (4, 4, 3)), Feature("b", (2,))], 10) == 10 * 50 * 4
