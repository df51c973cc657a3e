"""What looks like a mistake in one's own data is told when it is read, before anything is trained."""

import numpy as np
import pytest
from own_data import data, write_npz

from kdistill import datasets
from kdistill.datasets import guards

RNG = np.random.default_rng(0)


def images(count):
    return RNG.integers(0, 256, (count, 6, 5)).astype(np.uint8)


def told(path, **keys):
    return list(datasets.load(data("npz", path, **keys)).warnings)


def labels(count):
    return np.arange(count) % 3


@pytest.fixture
def parts():
    return {
        "x_train": images(60),
        "y_train": labels(60),
        "x_test": images(40),
        "y_test": labels(40),
        "x_val": images(50),
        "y_val": labels(50),
    }


def test_parts_of_the_same_kind_without_a_common_example_are_as_they_should_be(parts, tmp_path):
    np.savez(tmp_path / "d.npz", **parts)
    assert told(tmp_path / "d.npz", validation="given") == []


@pytest.mark.parametrize(("part", "key"), [("test", "x_test"), ("validation", "x_val")])
def test_a_part_on_another_scale_is_told_if_it_is_used(parts, tmp_path, part, key):
    parts = {name: array.astype(np.float32) if name[0] == "x" else array for name, array in parts.items()}
    np.savez(tmp_path / "d.npz", **{**parts, key: parts[key] / 255})
    (text,) = told(tmp_path / "d.npz", validation="given")
    assert f"The values of {part} are on another scale than those of train" in text
    if part == "validation":
        assert not any("another scale" in text for text in told(tmp_path / "d.npz"))


@pytest.mark.parametrize(("part", "key"), [("test", "x_test"), ("validation", "x_val")])
def test_examples_of_train_in_another_part_are_counted(parts, tmp_path, part, key):
    parts[key][:7] = parts["x_train"][10:17]
    np.savez(tmp_path / "d.npz", **parts)
    (text,) = told(tmp_path / "d.npz", validation="given")
    assert f"7 of the {len(parts[key])} examples of {part} are identical to examples of train" in text


def test_what_was_counted_at_conversion_is_not_counted_again(parts, tmp_path, monkeypatch):
    parts["x_test"][:7] = parts["x_train"][10:17]
    np.savez(tmp_path / "d.npz", **parts)
    first = told(tmp_path / "d.npz", validation="given")
    monkeypatch.setattr(guards, "count_shared", None)
    assert told(tmp_path / "d.npz", validation="given") == first
    assert "7 of the 40" in first[0]
    del parts["x_test"], parts["y_test"]
    np.savez(tmp_path / "e.npz", x_train=parts["x_train"], y_train=parts["y_train"])
    assert told(tmp_path / "e.npz", test=0.5) == []  # no two rows are equal


def test_a_test_part_held_out_of_rows_that_repeat_shares_some_with_train(tmp_path):
    x = images(60)
    np.savez(tmp_path / "once.npz", x_train=x, y_train=labels(60))
    np.savez(tmp_path / "twice.npz", x_train=np.concatenate([x, x]), y_train=np.concatenate([labels(60)] * 2))
    assert not any("identical" in text for text in told(tmp_path / "once.npz", test=0.3))
    own = datasets.load(data("npz", tmp_path / "twice.npz", test=0.3))
    in_train = {row.tobytes() for row in own.train.take(np.arange(len(own.train)))[0]}
    test, _ = own.test.take(np.arange(len(own.test)))
    # Validation is held out after the warning: what is in train or validation.
    in_train |= {row.tobytes() for row in own.validation.take(np.arange(len(own.validation)))[0]}
    shared = sum(row.tobytes() in in_train for row in test)
    assert shared > 0
    assert any(text.startswith(f"{shared} of the {len(test)} examples of test") for text in own.warnings)


def test_write_npz_of_the_tests_is_no_mistake(tmp_path):
    write_npz(tmp_path / "d.npz")
    assert not any("scale" in text or "identical" in text for text in told(tmp_path / "d.npz"))
