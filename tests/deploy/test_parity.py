"""How far an export is from its model, by hand-made outputs, and what of it is accepted."""

import numpy as np
import pytest

from kdistill.core.errors import ParityError
from kdistill.datasets.split import Split
from kdistill.deploy import parity
from kdistill.deploy.formats import FORMATS, Form
from kdistill.deploy.tolerance import NEAR_TIE, TOLERANCES, Tolerance, accepts, check_parity

REFERENCE = np.array([[1.0, 2.0, -4.0], [3.0, 0.0, 1.0], [0.0, 1.0, 2.0], [5.0, 4.9, 0.0]], np.float32)
LABELS = np.array([1, 0, 2, 1])
INT8 = TOLERANCES["int8"]


def check(compared, quantize):
    check_parity(compared, TOLERANCES[quantize], Form("litert" if quantize == "dynamic" else "onnx", quantize), "m")


def test_a_comparison_by_hand():
    found = REFERENCE.copy()
    found[0, 2] -= 0.25
    found[3, 1] += 0.2
    assert parity.compare(REFERENCE, found, LABELS, INT8) == {
        "examples": 4,
        "largest_difference": pytest.approx(0.25),
        "largest_share": pytest.approx(0.25 / (4 - 1 / 3)),  # the largest example counts for all
        "largest_output": 5.0,
        "agreement": 0.75,
        "agreement_but_for_near_ties": 1.0,  # 5 and 4.9, of outputs of the size 3.7
        "accuracy": 1.0,
        "model_accuracy": 0.75,
    }


def test_outputs_that_are_not_finite_have_no_difference():
    found = REFERENCE.copy()
    found[1, 1] = np.nan
    compared = parity.compare(REFERENCE, found, LABELS, INT8)
    assert compared["largest_difference"] is None
    with pytest.raises(ParityError, match="outputs that are not finite") as caught:
        check(compared, "int8")
    assert "--tolerance" not in caught.value.hint  # none accepts them
    assert not accepts(Tolerance(1e9, 0), compared)


@pytest.mark.parametrize("quantize", FORMATS["litert"].quantizations)
def test_an_export_is_accepted_up_to_its_tolerance_and_no_further(quantize):
    allowed = TOLERANCES[quantize]
    exact = parity.compare(REFERENCE, REFERENCE, LABELS, allowed)
    assert exact["largest_share"] == 0
    form = Form("litert", quantize)
    least = {"largest_share": allowed.difference, "agreement": allowed.agreement}
    check_parity({**exact, **least}, allowed, form, "m")
    fewer = {"agreement": allowed.agreement - 1e-3, "agreement_but_for_near_ties": allowed.agreement - 1e-3}
    for wrong in ({"largest_share": 1.001 * allowed.difference}, fewer):
        with pytest.raises(ParityError) as caught:
            check_parity({**exact, **wrong}, allowed, form, "model.keras")
        assert caught.value.exit_code == 8
        assert "model.keras: the LiteRT" in caught.value.message
        assert "not kept" in caught.value.hint


def test_other_classes_in_near_ties_are_accepted_as_long_as_the_accuracy_holds():
    """As of a model of many classes that it hardly tells apart: int8 moves no output far, and many labels."""
    rng = np.random.default_rng(0)
    reference, labels = rng.normal(0, 1, (2000, 100)).astype(np.float32), rng.integers(100, size=2000)
    found = reference + rng.normal(0, 0.03, reference.shape).astype(np.float32)
    compared = parity.compare(reference, found, labels, INT8)
    assert compared["agreement"] < INT8.agreement < compared["agreement_but_for_near_ties"]
    check(compared, "int8")
    assert not accepts(INT8, {**compared, "accuracy": compared["model_accuracy"] - 0.031})
    assert not accepts(INT8, {key: compared[key] for key in compared if key != "agreement_but_for_near_ties"})


@pytest.mark.parametrize(("tolerance", "near_tie"), [(Tolerance(0.2, 0.9), NEAR_TIE), (Tolerance(0.02, 0.9), 0.04)])
def test_a_class_that_changed_by_more_than_a_near_tie_counts(tolerance, near_tie):
    for margin, agreement in ((0.9 * near_tie, 1.0), (1.1 * near_tie, 0.0)):
        reference = np.tile(np.array([[(1 + margin) / 2, (1 - margin) / 2, -1.0]]), (100, 1))  # of the size 1
        found = reference[:, [1, 0, 2]]
        compared = parity.compare(reference, found, np.zeros(100, int), tolerance)
        assert compared["agreement"] == 0
        assert compared["agreement_but_for_near_ties"] == agreement


def large(examples=500):
    return np.random.default_rng(0).normal(0, 3, (examples, 4)).astype(np.float32)


def test_a_single_large_example_does_not_excuse_the_others():
    reference = large()
    reference[7] *= 1e5
    found = 0.01 * reference
    found[7] = reference[7]
    compared = parity.compare(reference, found, np.zeros(500, int), INT8)
    assert compared["agreement"] == 1
    with pytest.raises(ParityError, match="does not agree"):
        check(compared, "int8")
    found = reference.copy()
    found[7] *= 1 + 1e-6  # as far off as its own size explains
    check(parity.compare(reference, found, np.zeros(500, int), INT8), "none")


def test_what_a_softmax_ignores_excuses_nothing():
    reference = large() + 500
    found = 500 + 0.5 * (reference - 500)
    with pytest.raises(ParityError, match="does not agree"):
        check(parity.compare(reference, found, np.zeros(500, int), INT8), "int8")


def test_outputs_that_are_all_equal_have_no_size():
    flat = np.ones((3, 4), np.float32)
    assert parity.compare(flat, flat, np.zeros(3, int), INT8)["largest_share"] == 0
    assert parity.compare(flat, flat + 1e-3, np.zeros(3, int), INT8)["largest_share"] == np.inf


def test_the_coarser_the_numbers_the_wider_the_tolerance():
    order = [TOLERANCES[name] for name in ("none", "float16", "dynamic", "int8")]
    assert [t.difference for t in order] == sorted(t.difference for t in order)
    assert [t.agreement for t in order] == sorted((t.agreement for t in order), reverse=True)


class Doubling:
    """A runtime that can be looked into."""

    shape, classes = (2,), 2

    def __init__(self):
        self.batches = []

    def outputs(self, images):
        self.batches.append(len(images))
        return images.astype(np.float32) * 2


def a_split(rows):
    images = np.arange(2 * 600, dtype=np.uint8).reshape(600, 2)
    return Split(images, np.zeros(600, np.int32), np.asarray(rows))


def test_every_example_is_asked_about_once_and_in_order():
    rows = np.arange(599, -1, -1)
    runtime = Doubling()
    outputs = parity.outputs_on(a_split(rows), runtime)
    np.testing.assert_array_equal(outputs, a_split(rows).images[rows].astype(np.float32) * 2)
    assert runtime.batches == [256, 256, 88]


def test_another_process_is_handed_the_rows_of_the_split_alone():
    rows = np.array([5, 3, 599])
    with parity.images_file(a_split(rows)) as path:
        images = np.load(path)
    np.testing.assert_array_equal(images, a_split(rows).images[rows])
    assert images.dtype == np.uint8
    assert not path.parent.exists()
