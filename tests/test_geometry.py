"""Coordinates and box codes by hand, on the host and on the device."""

import jax
import jax.numpy as jnp
import numpy as np

from dima_jax import geometry

PC_RANGE = (-15.0, -30.0, -2.0, 15.0, 30.0, 2.0)


def test_normalize_by_hand_and_back():
    meters = np.float32([[-15, -30], [0, 0], [15, 30], [7.5, -15]])
    unit = geometry.normalize_xy(meters, PC_RANGE)
    np.testing.assert_array_equal(unit, np.float32([[0, 0], [0.5, 0.5], [1, 1], [0.75, 0.25]]))
    np.testing.assert_array_equal(geometry.denormalize_xy(unit, PC_RANGE), meters)


def test_a_host_array_stays_on_the_host():
    points = np.zeros((3, 2), np.float32)
    assert type(geometry.normalize_xy(points, PC_RANGE)) is np.ndarray
    assert geometry.normalize_xy(points, PC_RANGE).dtype == np.float32
    assert isinstance(geometry.normalize_xy(jnp.asarray(points), PC_RANGE), jax.Array)


def test_boxes_and_codes_are_inverse():
    boxes = np.float32([[1, 2, -1, 2, 4.5, 1.6, 3.0, -2, 5], [-8, 20, 0, 0.6, 0.7, 1.8, -3.1, 0, 0]])
    codes = geometry.encode_boxes(boxes)
    np.testing.assert_allclose(codes[0, [2, 3, 4]], [np.log(2), np.log(4.5), -1], rtol=1e-6)
    np.testing.assert_allclose(geometry.decode_boxes(codes), boxes, rtol=1e-5, atol=1e-6)


def test_waypoints_add_up_the_offsets():
    offsets = jnp.array([[1.0, 0.0], [1.0, 2.0], [0.0, -1.0]])
    np.testing.assert_array_equal(geometry.offsets_to_waypoints(offsets), [[1, 0], [2, 2], [2, 1]])


def test_inverse_sigmoid_is_bounded():
    x = jnp.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    edge = np.log(1e-5)
    np.testing.assert_allclose(geometry.inverse_sigmoid(x), [edge, edge, 0, -edge, -edge], atol=1e-5)


def test_projection_by_hand():
    """A camera that looks along y with focal length 100 and its center at (50, 40)."""
    matrix = jnp.array([[100.0, 50, 0, 0], [0, 40, -100, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    points = jnp.array([[1.0, 4.0, 0.0], [0.0, 2.0, 1.0], [0.0, -3.0, 0.0]])
    pixels, depth = geometry.project(points, matrix)
    np.testing.assert_allclose(pixels[:2], [[75, 40], [50, -10]], rtol=1e-6)
    np.testing.assert_allclose(depth, [4, 2, -3])
