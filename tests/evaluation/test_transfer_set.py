"""The table of classes that were left out, and of biases that were moved, by hand."""

from kdistill.evaluation import transfer_set


def scores(accuracy, per_class, **more):
    return {"accuracy": accuracy, "nll": 1.0, "class_accuracy": per_class, "class_examples": [10, 30, 0], **more}


def test_accuracy_on_the_classes_left_out_and_on_the_others():
    found = transfer_set.scored({"baseline": [scores(0.5, [0.9, 0.4, None])], "pseudo": []}, "abc", ["a", "c"])
    (row,) = found["rows"]
    assert (row["left_out"]["mean"], row["kept"]["mean"]) == (0.9, 0.4)
    assert transfer_set.figures(row) == {
        "accuracy": "0.5000",
        "NLL": "1.0000",
        "left out": "0.9000",
        "others": "0.4000",
    }
    assert transfer_set.name_of(row, found["rows"]) == "baseline"
    assert transfer_set.title(found) == "Left out of the transfer set: classes a, c"


def test_scores_before_and_after_stand_below_each_other():
    of = [scores(0.8, [], before_adjustment=scores(0.6, [])), scores(0.9, [], before_adjustment=scores(0.7, []))]
    found = transfer_set.scored({"baseline": [scores(0.5, [])], "distilled": of}, "abc", [])
    names = [transfer_set.name_of(row, found["rows"]) for row in found["rows"]]
    assert names == ["distilled, biases as trained", "distilled, biases moved"]
    assert [transfer_set.figures(row)["accuracy"] for row in found["rows"]] == ["0.6500", "0.8500"]
    assert transfer_set.sentences(found)[1] == "distilled, biases as trained: test accuracy 0.6500, NLL 1.0000."


def test_a_class_without_test_examples_has_no_accuracy():
    found = transfer_set.scored({"baseline": [scores(0.5, [0.9, 0.4, None])]}, "abc", ["c"])
    assert found["rows"][0]["left_out"] is None


def test_there_is_nothing_to_tell_otherwise():
    assert transfer_set.scored({"baseline": [scores(0.5, [])], "distilled": [scores(0.6, [])]}, "abc", []) is None
