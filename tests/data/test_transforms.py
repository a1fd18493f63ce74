"""Images: scale, pad, color order; and the projection that belongs to them."""

import cv2
import numpy as np
import pytest

from dima_jax.data import transforms
from dima_jax.errors import UserError


def test_resize_pads_right_and_below_in_the_color_order():
    image = np.zeros((20, 40, 3), np.uint8)
    image[..., 0] = 200  # blue, OpenCV's first channel
    bgr, rgb = np.zeros((2, 32, 32, 3), np.uint8)
    transforms.resize_into(bgr, image, 0.5, "bgr")
    transforms.resize_into(rgb, image, 0.5, "rgb")
    assert (bgr[:10, :20] == (200, 0, 0)).all() and (rgb[:10, :20] == (0, 0, 200)).all()
    assert not bgr[10:].any() and not bgr[:, 20:].any()


@pytest.mark.parametrize("sizes", [((90, 160), (72, 128)), ((90, 160), (36, 64)), ((224, 400), (90, 160))])
def test_scaling_stays_within_half_a_level_of_floats(sizes):
    image = np.random.default_rng(0).integers(0, 256, (*sizes[0], 3), np.uint8)
    floats = cv2.resize(image.astype(np.float32), sizes[1][::-1], interpolation=cv2.INTER_LINEAR)
    found = transforms.resize(image, sizes[1])
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found, floats, rtol=0, atol=0.5001)


def test_a_scale_that_does_not_fit_names_the_keys():
    with pytest.raises(
        UserError, match=r"image_scale=0\.5 makes 20 x 40 images 10 x 20: set config\.data\.valid_shape"
    ):
        transforms.fitting_scales([(20, 40), (20, 40)], 0.5, (12, 20), (32, 32))


def test_an_image_of_another_size_fits_and_is_seen_where_its_matrix_says():
    wide, tall, small = (np.zeros((*size, 3), np.uint8) for size in ((20, 40), (40, 40), (6, 10)))
    tall[30:34, 20:24] = small[3, 5] = 255
    sizes = [(20, 40), (40, 40), (6, 10)]
    images, scales = transforms.prepare(iter([wide, tall, small]), sizes, 0.5, (10, 20), (32, 32), "rgb")
    assert scales == [0.5, 0.25, 10 / 6] and images.shape == (3, 32, 32, 3)
    assert not images[1][:, 10:].any() and not images[2][10:].any() and not images[2][:, 17:].any()
    intrinsics = np.tile(np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]), (3, 1, 1))
    matrices = transforms.lidar2img(intrinsics, np.tile(np.eye(4), (3, 1, 1)), scales)
    for image, matrix, (x, y) in zip(images[1:], matrices[1:], ((22.0, 32.0), (5.5, 3.5)), strict=True):
        u, v = (matrix @ [x, y, 1.0, 1.0])[:2]
        assert image[int(v), int(u)].min() > 100


def test_lidar2img_scales_pixels_not_depth():
    intrinsics = np.array([[[100.0, 0, 50], [0, 100, 40], [0, 0, 1]]])
    sensor2lidar = np.array(
        [[[1, 0, 0, 0], [0, 0, 1, 2], [0, -1, 0, 0], [0, 0, 0, 1]]]
    )  # looks along +y from (0, 2, 0)
    point = np.array([1.0, 12.0, -1.0, 1.0])
    full, half = (transforms.lidar2img(intrinsics, sensor2lidar, [scale])[0] @ point for scale in (1.0, 0.5))
    np.testing.assert_allclose(full[:3], [60 * 10, 50 * 10, 10])
    np.testing.assert_allclose(half[:3], [30 * 10, 25 * 10, 10])


def test_broken_image_is_named():
    with pytest.raises(UserError, match=r"a\.jpg: image does not decode"):
        transforms.decode(b"\xff\xd8 no image", "a.jpg")
    image = cv2.imencode(".jpg", np.zeros((20, 40, 3), np.uint8))[1].tobytes()
    assert transforms.decode(image, "a.jpg", (20, 40)).shape == (20, 40, 3)
    with pytest.raises(UserError, match=r"a\.jpg: image is 20 x 40, the record says 20 x 41; build"):
        transforms.decode(image, "a.jpg", (20, 41))
