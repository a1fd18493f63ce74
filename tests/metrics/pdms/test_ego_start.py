"""How the recorded ego moves at a frame, by drives whose motion is known."""

import numpy as np
import pytest

from dima_jax.constants import WHEELBASE
from dima_jax.metrics.pdms import ego_start
from tests.metrics.pdms.changed import changed
from tests.scoring.fake import CURVATURES, SPEED, fake_truth, pose

TRUTH = fake_truth(scenes=3, frames=10, agents=2)


def test_a_steady_turn():
    for scene, curvature in enumerate(CURVATURES):
        begin = ego_start.start(TRUTH, 10 * scene + 4)
        assert begin.speed == pytest.approx(SPEED, rel=1e-3) and begin.acceleration == pytest.approx(0, abs=0.01)
        assert begin.steering == pytest.approx(np.arctan(WHEELBASE * curvature), abs=1e-3)
        assert begin.past.x.shape == (1, 15)
        np.testing.assert_allclose(begin.past.speed, SPEED, rtol=1e-2)
        np.testing.assert_allclose(begin.past.yaw_rate, curvature * SPEED, atol=1e-2)
        assert begin.past.x[0, -1] == pytest.approx(-0.1 * SPEED, abs=0.01)


def driven(place):
    """A straight drive: meters along it at each key frame."""
    poses = np.array([pose(place(0.5 * k), 0.0, 0.0) for k in range(10)])
    return changed(TRUTH, ego2global=np.concatenate([poses, TRUTH.ego2global[10:]]))


def test_an_acceleration():
    begin = ego_start.start(driven(lambda t: 2 * t + 0.75 * t**2), 2)
    assert (begin.speed, begin.acceleration) == pytest.approx((3.5, 1.5), abs=1e-6)


def test_a_vehicle_that_hardly_moves_does_not_steer():
    truth = driven(lambda t: 0.1 * t)
    truth.ego2global[:10, :2, :2] = [pose(0, 0, 0.01 * k)[:2, :2] for k in range(10)]
    begin = ego_start.start(truth, 3)
    assert begin.steering == 0.0 and begin.speed == pytest.approx(0.1, abs=0.01)


def test_the_past_ends_where_the_scene_begins():
    assert [ego_start.start(TRUTH, 10 + k).past.x.shape[1] for k in range(5)] == [0, 5, 10, 15, 15]


def test_key_frames_around_are_those_of_the_scene():
    rows, steps = ego_start.around(TRUTH, 11, 3, 6)
    assert rows.tolist() == list(range(10, 18)) and steps.tolist() == list(range(-1, 7))
    kept = TRUTH.select(np.array([10, 11, 13, 14, 20]))
    rows, steps = ego_start.around(kept, 1, 3, 6)
    assert rows.tolist() == [0, 1, 2, 3] and steps.tolist() == [-1, 0, 2, 3]
