"""Distorted pixels against VAD's own steps with OpenCV."""

import cv2
import jax
import numpy as np
import pytest

from dima_jax.data import distortion
from dima_jax.student import photometric

# Gray levels. OpenCV and XLA order the products of a conversion differently: float32 rounding of values up to 500.
TOLERANCE = 1e-3


def vad(image, amounts):
    """PhotoMetricDistortionMultiViewImage with these draws, before it shuffles channels; image: float32 BGR."""
    brightness, contrast_first, saturation, hue, contrast_last = amounts
    image = image + brightness
    image *= contrast_first
    image = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    image[..., 1] *= saturation
    image[..., 0] += hue
    image[..., 0][image[..., 0] > 360] -= 360
    image[..., 0][image[..., 0] < 0] += 360
    return cv2.cvtColor(image, cv2.COLOR_HSV2BGR) * contrast_last


@pytest.fixture(scope="module")
def images():
    """[240, 12, 16, 3] uint8 BGR: noise of few levels, with equal channels, near black and near white."""
    rng = np.random.default_rng(0)
    dark, middle, bright = (rng.integers(low, high, (80, 12, 16, 3)) for low, high in ((0, 40), (0, 256), (220, 256)))
    pixels = np.concatenate([dark, middle, bright]).astype(np.uint8)
    pixels[:, :3, :, 1] = pixels[:, :3, :, 0]
    pixels[:, 3] = pixels[:, 3, :, :1]
    pixels[:, 4] = 0
    return pixels


@pytest.mark.parametrize("color_order", ["bgr", "rgb"])
def test_pixels_are_those_of_vad(images, color_order):
    drawn = distortion.draw(np.random.default_rng(1), len(images), len(images), 1, color_order)
    how = jax.tree.map(lambda x: x[:, 0], drawn)
    step = (
        -1 if color_order == "rgb" else 1
    )  # from BGR to its channels; the hue of BGR images turns the other way round
    amounts = how.amounts * np.float32([1, 1, 1, -step, 1])
    expected = [
        vad(image, values)[..., ::step][..., order]
        for image, values, order in zip(images.astype(np.float32), amounts, how.channels, strict=True)
    ]
    found = np.asarray(jax.jit(photometric.distort)(images[..., ::step].astype(np.float32), how))
    assert np.min(expected) < -20 and np.max(expected) > 380  # so nothing clips
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_an_image_that_is_not_distorted_keeps_its_pixels(images):
    drawn = distortion.draw(np.random.default_rng(1), 1, len(images), 1, "rgb")
    found = np.asarray(jax.jit(photometric.distort)(images.astype(np.float32), jax.tree.map(lambda x: x[:, 0], drawn)))
    np.testing.assert_array_equal(found[1:], images[1:])
    assert np.abs(found[0] - images[0]).max() > 1
