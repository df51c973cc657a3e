"""What looks like a mistake in the data, and what does not."""

import numpy as np
import pytest

from kdistill.datasets import guards

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("examples", "told"), [(1, True), (49, True), (50, False), (5000, False)])
def test_a_small_validation_split_is_told(examples, told):
    found = guards.small_validation(examples)
    assert bool(found) == told
    assert all(f"has {examples} examples" in text for text in found)


IMAGES = RNG.integers(0, 256, (300, 6, 5)).astype(np.uint8)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda x: x, False),
        (lambda x: x / 255, True),
        (lambda x: x / 127.5 - 1, True),
        (lambda x: (x - x.mean()) / x.std(), True),
        (lambda x: x * 0.7 + 20, False),  # other light
        (lambda x: 255 - x, False),
        (lambda x: x * 256.0, True),
        (lambda x: np.zeros_like(x), False),  # a constant has no scale
        (lambda x: x + 5000.0, True),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_images_prepared_in_another_way_are_told_with_both_ranges(change, told, swapped):
    pair = [IMAGES[:200], change(IMAGES[200:].astype(np.float64))]
    found = guards.other_scale(*(reversed(pair) if swapped else pair), "test")
    assert bool(found) == told
    assert all("another scale than those of train" in text and "of test" in text for text in found)


def test_of_large_examples_few_values_are_looked_at():
    images = np.tile(IMAGES[:100].repeat(64, axis=1), (1, 1, 64))  # 100 of 384 x 320, 12 million values
    sample = guards._sample(images, 1)
    assert sample.size <= guards.SAMPLED_VALUES // 4
    assert abs(sample.mean() - images.mean()) < 5
    assert guards.other_scale(images, images.astype(np.float32) / 255, "test")
    assert guards.other_scale(images, images[::-1], "test") == []


def test_each_column_of_a_table_has_its_own_scale():
    table = RNG.normal(size=(300, 3)) * [1, 1000, 1e-3]
    other = table[200:].copy()
    assert guards.other_scale(table[:200], other, "test", "abc") == []
    other[:, 1] /= 1000
    (text,) = guards.other_scale(table[:200], other, "test", "abc")
    assert "columns (b) of test" in text
    assert "most values of b lie from" in text


@pytest.mark.parametrize("swapped", [False, True])
def test_columns_that_are_nearly_always_0_are_on_the_scale_of_their_few_values(swapped):
    """As the border pixels of images: the middle of the values may be 0 in one part and not in another."""
    few, more = np.zeros((300, 1)), np.zeros((300, 1))
    few[:3], more[:9] = 200, 180
    pair = [few, more]
    assert guards.other_scale(*(reversed(pair) if swapped else pair), "test", "a") == []
    scaled = [few[:, 0:1], few / 255]
    rng = np.random.default_rng(0)
    for part, size in zip(scaled, (200, 200 / 255), strict=True):
        part[:100] = rng.random((100, 1)) * size
    assert len(guards.other_scale(*(reversed(scaled) if swapped else scaled), "test", "a")) == 1


def test_a_handful_of_examples_has_no_scale():
    assert guards.other_scale(IMAGES[:200], IMAGES[:9] / 255, "test") == []


@pytest.mark.parametrize("values", [IMAGES, RNG.normal(size=(300, 4)).astype(np.float32)])
def test_equal_rows_have_equal_hashes_and_others_do_not(values):
    hashes = guards.row_hashes(values)
    assert len(set(hashes.tolist())) == len(values)
    np.testing.assert_array_equal(guards.row_hashes(values[::-1].copy()), hashes[::-1])
    other = values[:1].copy()
    other.reshape(-1)[-1] += 1
    assert guards.row_hashes(other)[0] not in hashes


def test_hashes_of_a_mapped_file_are_those_of_its_rows(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(guards.row_hashes(mapped), guards.row_hashes(IMAGES))


@pytest.mark.parametrize(("shared", "told"), [(0, False), (1, True), (100, True)])
def test_examples_of_train_in_test_are_counted(shared, told):
    train, test = guards.row_hashes(IMAGES[:200]), guards.row_hashes(np.concatenate([IMAGES[:shared], IMAGES[200:]]))
    assert guards.count_shared(train, test) == shared == np.isin(test, train).sum()
    found = guards.shared_examples(shared, len(test), "test")
    assert bool(found) == told
    verb = "is" if shared == 1 else "are"
    assert all(text.startswith(f"{shared} of the {shared + 100} examples of test {verb} identical") for text in found)


def test_one_in_ten_thousand_changes_no_score():
    assert guards.shared_examples(1, 20_001, "test") == []


def test_shared_and_repeated_hashes_are_counted():
    random = np.random.default_rng(0)
    train, part = random.integers(0, 50, 40, dtype=np.uint64), random.integers(0, 90, 60, dtype=np.uint64)
    assert guards.count_shared(train, part) == np.isin(part, train).sum()
    assert guards.count_shared(train[:0], part) == guards.count_shared(train, part[:0]) == 0
    assert guards.have_repeats(train)
    assert not guards.have_repeats(np.unique(train))
    assert not guards.have_repeats(train[:0])
