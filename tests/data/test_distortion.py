"""What is drawn for the distortion of a window's images."""

import numpy as np

from dima_jax.data import distortion

FIRST, LAST = 1, 4  # the two places of the contrast among the amounts


def draw(seed=0, distorted=50, frames=52, cameras=6, color_order="rgb"):
    return distortion.draw(np.random.default_rng(seed), distorted, frames, cameras, color_order)


def test_frames_after_the_distorted_ones_are_left_alone():
    drawn = draw(distorted=2, frames=3)
    assert drawn.mask[:2].all() and not drawn.mask[2:].any()
    assert (drawn.amounts.shape, drawn.channels.shape) == ((3, 6, 5), (3, 6, 3))
    assert (drawn.amounts.dtype, drawn.channels.dtype) == (np.float32, np.int32)


def test_every_step_is_taken_by_half_of_the_images_within_its_range():
    drawn = draw()
    amounts = drawn.amounts[:50].reshape(-1, 5)
    contrast = amounts[:, FIRST] * amounts[:, LAST]
    for values, none, low, high in (
        (amounts[:, 0], 0, -32, 32),
        (contrast, 1, 0.5, 1.5),
        (amounts[:, 2], 1, 0.5, 1.5),
        (amounts[:, 3], 0, -18, 18),
    ):
        taken = values[values != none]
        assert 0.4 < len(taken) / len(values) < 0.6
        assert low <= taken.min() < low + 0.05 * (high - low) and high - 0.05 * (high - low) < taken.max() <= high
    assert not ((amounts[:, FIRST] != 1) & (amounts[:, LAST] != 1)).any()
    assert (amounts[:, FIRST] != 1).any() and (amounts[:, LAST] != 1).any()
    channels = drawn.channels[:50].reshape(-1, 3)
    assert (np.sort(channels) == (0, 1, 2)).all() and len(np.unique(channels, axis=0)) == 6
    assert 0.5 < (channels == (0, 1, 2)).all(axis=1).mean() < 0.67  # 1/2, and one in six of the others


def test_hue_turns_against_the_channels_of_bgr():
    rgb, bgr = draw(), draw(color_order="bgr")
    np.testing.assert_array_equal(rgb.amounts * np.float32([1, 1, 1, -1, 1]), bgr.amounts)
    np.testing.assert_array_equal(rgb.channels, bgr.channels)
