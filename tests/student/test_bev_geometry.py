"""Cells, pillars, ego motion and rotation, by numbers one can do in the head."""

import jax.numpy as jnp
import numpy as np

from dima_jax.student import bev_geometry

PC_RANGE = (-15.0, -30.0, -2.0, 15.0, 30.0, 2.0)


def test_cells_are_row_major_with_x_along_columns():
    centers = bev_geometry.cell_centers((2, 4))
    np.testing.assert_allclose(centers[0], [0.125, 0.25])
    np.testing.assert_allclose(centers[1], [0.375, 0.25])
    np.testing.assert_allclose(centers[-1], [0.875, 0.75])


def test_pillars_stand_half_a_meter_inside_the_range():
    heights = bev_geometry.pillars((1, 1), PC_RANGE, 4)[:, 0, 2] * 4.0 - 2.0
    np.testing.assert_allclose(heights, [-1.5, -0.5, 0.5, 1.5])


def test_a_camera_sees_only_the_pillars_before_it():
    forward = jnp.array(
        [[50.0, 50, 0, 0], [0, 50, -50, 0], [0, 1, 0, 0], [0, 0, 0, 1]], jnp.float32
    )  # focal 50, 100 x 100
    points = bev_geometry.pillars((2, 1), PC_RANGE, 1)  # one cell behind at y = -15, one before at y = 15
    uv, visible = bev_geometry.project_pillars(forward[None, None], points, PC_RANGE, (100, 100))
    assert visible[0, 0, :, 0].tolist() == [False, True]
    np.testing.assert_allclose(uv[0, 0, 1, 0], [0.5, 0.55], atol=1e-6)  # at height -1.5: 50 + 50 * 1.5 / 15
    assert np.isfinite(uv).all()


def test_driving_forward_shifts_along_y():
    can_bus = np.zeros((2, 18), np.float32)
    can_bus[0, :2], can_bus[0, 16] = (3.0, 0.0), 0.0  # 3 m east, heading east
    can_bus[1, :2], can_bus[1, 16] = (0.0, 3.0), 0.0  # 3 m north, heading east: to the left
    shift = bev_geometry.ego_shift(jnp.asarray(can_bus), PC_RANGE)
    np.testing.assert_allclose(shift, [[0.0, 3 / 60], [-3 / 30, 0.0]], atol=1e-7)


def test_rotation_is_counter_clockwise_as_displayed():
    image = jnp.arange(36.0).reshape(6, 6)
    cells = image.reshape(1, -1, 1).repeat(3, axis=0)
    out = bev_geometry.rotate_bev(cells, jnp.array([0.0, 90.0, 180.0]), (6, 6), (3, 3))
    for ours, turns in zip(np.asarray(out), range(3), strict=True):
        np.testing.assert_array_equal(ours.reshape(6, 6), np.rot90(image, turns))


def test_rotation_about_the_far_corner_moves_content_out():
    """Quirk Q1: VAD-Tiny rotates about its far corner."""
    cells = jnp.ones((1, 100 * 100, 1))
    kept = [
        float(bev_geometry.rotate_bev(cells, jnp.array([10.0]), (100, 100), c).mean()) for c in ((50, 50), (100, 100))
    ]
    assert kept[1] < kept[0] < 1.0
