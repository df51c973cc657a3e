"""Augmentation against NumPy and TensorFlow's own resizing, and its draws."""

import numpy as np
import pytest
import tensorflow as tf

from kdistill.training.augmentation import DRAWS, Augmentation

STILL = dict.fromkeys(DRAWS, 0)


def images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def apply(augmentation, batch, **draws):
    """Apply the same draws to every image, under XLA as in a step."""
    one = np.array([list((STILL | draws).values())] * len(batch), np.int32)
    compiled = tf.function(augmentation.apply, jit_compile=True)
    return compiled(tf.constant(batch), tf.constant(one)).numpy()


@pytest.mark.parametrize("shape", [(3, 6, 9), (3, 6, 9, 1), (3, 6, 9, 3)])
def test_nothing_drawn_is_nothing_changed(shape):
    batch = images(*shape)
    np.testing.assert_array_equal(apply(Augmentation(shift=2, flip=True), batch), batch)


@pytest.mark.parametrize("shape", [(2, 6, 9), (2, 6, 9, 3)])
def test_a_shift_moves_whole_pixels_and_leaves_zeros(shape):
    batch = images(*shape)
    expected = np.zeros(shape)
    expected[:, 2:, :-1] = batch[:, :-2, 1:]
    np.testing.assert_array_equal(apply(Augmentation(shift=2), batch, down=2, right=-1), expected)


def test_a_flip_mirrors_left_and_right_before_the_shift():
    batch = images(2, 6, 9, 3)
    np.testing.assert_array_equal(apply(Augmentation(flip=True), batch, mirrored=1), batch[:, :, ::-1])
    expected = np.zeros(batch.shape)
    expected[:, :, 3:] = batch[:, :, ::-1][:, :, :-3]
    np.testing.assert_array_equal(apply(Augmentation(3, True), batch, mirrored=1, right=3), expected)


@pytest.mark.parametrize("corner", [(0, 0), (4, 0), (1, 3), (4, 4)])
def test_a_crop_is_what_tensorflow_makes_of_the_window(corner):
    batch, (top, left) = images(2, 12, 10, 3), corner
    window = batch[:, top : top + 8, left : left + 6].astype(np.float32)
    expected = tf.image.resize(window, (12, 10)).numpy()
    np.testing.assert_allclose(apply(Augmentation(crop=4), batch, top=top, left=left), expected, atol=1e-2)


def test_each_image_has_its_own_draws():
    batch = images(2, 5, 5)
    draws = np.array([[1, 0, 0, 0, 0], [0, 0, 1, 0, 0]], np.int32)
    first, second = Augmentation(1, True).apply(tf.constant(batch), draws).numpy()
    np.testing.assert_array_equal(first[1:], batch[0, :-1])
    np.testing.assert_array_equal(second, batch[1, :, ::-1])


def test_draws_cover_their_range_evenly():
    draws = dict(zip(DRAWS, Augmentation(2, True, 3).draw(0, 1, 20_000).T, strict=True))
    for name, values in {"down": 5, "right": 5, "mirrored": 2, "top": 4, "left": 4}.items():
        least = -2 if name in ("down", "right") else 0
        found, counts = np.unique(draws[name], return_counts=True)
        assert found.tolist() == list(range(least, least + values))
        np.testing.assert_allclose(counts, 20_000 / values, rtol=0.06)
    assert abs(np.corrcoef(np.stack(list(draws.values())).astype(float)) - np.eye(5)).max() < 0.03


def test_what_is_not_asked_for_is_not_drawn():
    assert Augmentation(shift=1).draw(0, 1, 500)[:, 2:].max() == 0
    assert not Augmentation(flip=True).draw(0, 1, 500)[:, [0, 1, 3, 4]].any()


def test_draws_are_of_seed_and_epoch_alone():
    augmentation = Augmentation(3, True, 2)
    first = augmentation.draw(4, 7, 100)
    np.testing.assert_array_equal(augmentation.draw(4, 7, 100), first)
    assert not np.array_equal(augmentation.draw(4, 8, 100), first)
    assert not np.array_equal(augmentation.draw(5, 7, 100), first)
