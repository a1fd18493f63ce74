"""Headings by numbers one can do in the head, and the two frames of a vehicle that turns."""

import numpy as np
import pytest

from dima_jax.scoring import headings
from tests.scoring.fake import LIDAR2EGO, fake_plans, fake_truth


def test_a_straight_drive_looks_straight_ahead():
    xy = np.stack([np.zeros(6), np.arange(1.0, 7.0)], -1)
    np.testing.assert_allclose(headings.estimate(xy, 0.3), np.pi / 2)
    np.testing.assert_allclose(headings.estimate(xy[:, ::-1], 0.3), 0.0, atol=1e-12)


def test_central_differences_are_those_of_a_circle():
    """In the middle of an arc the chord over two steps is parallel to the tangent; at the end it lags half a step."""
    angle, radius = 0.1 * np.arange(1, 7), 20.0
    xy = radius * np.stack([np.sin(angle), 1 - np.cos(angle)], -1)
    expected = angle - np.array([0, 0, 0, 0, 0, 0.05])
    np.testing.assert_allclose(headings.estimate(xy, 0.0), expected)


def test_short_steps_keep_the_heading_before():
    still = np.zeros((6, 2))
    np.testing.assert_array_equal(headings.estimate(still, np.pi / 2), np.pi / 2)
    stops = np.array([[1.0, 1.0], [2, 2], [2, 2], [2, 2], [2, 2.01], [2, 2.02]])
    np.testing.assert_allclose(headings.estimate(stops, 0.0), np.pi / 4)
    starts = np.array([[0, 0.01], [0, 0.02], [0, 0.02], [0, 3.0], [0, 6.0], [0, 9]])
    np.testing.assert_allclose(headings.estimate(starts, 0.2), [0.2, 0.2, *[np.pi / 2] * 4])


def test_what_is_not_there_has_no_heading():
    xy = np.full((2, 6, 2), np.nan)
    xy[1] = np.arange(6)[:, None]
    found = headings.estimate(xy, 0.0)
    assert np.isnan(found[0]).all() and np.isfinite(found[1]).all()


@pytest.mark.parametrize("one", [0, 1])
def test_both_frames_tell_of_the_same_drive(one):
    """The made-up plans are written in both frames by another formula."""
    truth = fake_truth(scenes=3, frames=8, agents=1)
    plans = fake_plans(truth)
    np.testing.assert_allclose(headings.to_lidar(plans.ego[one], truth.lidar2ego), plans.lidar[one], atol=1e-9)
    np.testing.assert_allclose(headings.to_ego(plans.lidar[one], truth.lidar2ego), plans.ego[one], atol=1e-9)


def test_the_recorded_paths_agree():
    truth = fake_truth(scenes=3, frames=12, agents=1)
    lidar = np.concatenate([truth.path, truth.path_yaw[..., None]], -1)
    expected = np.concatenate([truth.ego_path, truth.ego_path_yaw[..., None]], -1)
    np.testing.assert_allclose(headings.to_ego(lidar, truth.lidar2ego), expected, atol=1e-4)


def test_a_quarter_turn_on_the_spot():
    """The ego turns left around its rear axle: the LiDAR, ahead of it, goes ahead by nothing and left by its lever arm."""
    plan = np.array([[0.0, 0.0, np.pi / 2]])
    found = headings.to_lidar(plan, LIDAR2EGO)
    lever = LIDAR2EGO[0, 3]
    np.testing.assert_allclose(found, [[-lever, -lever, -np.pi]], atol=1e-9)
