"""The tracker against its twin in plain loops, and by hand."""

import numpy as np

from dima_jax.metrics.pdms import tracker
from tests.oracles import pdms as twin


def straight(speed) -> np.ndarray:
    return np.column_stack([speed * 0.5 * np.arange(1, 7), np.zeros((6, 2))])


def random_plans(rng, count) -> np.ndarray:
    """Smooth and rough ones, some that stand, some that turn past 180 degrees."""
    heading = np.cumsum(rng.normal(0, 0.4, (count, 6)) * rng.integers(0, 3, (count, 1)), axis=1)
    step = rng.uniform(0, 7, (count, 6)) * rng.integers(0, 2, (count, 1)) + rng.uniform(0, 1, (count, 1))
    step[:: count // 4] = 0.0
    xy = np.cumsum(step[..., None] * np.stack([np.cos(heading), np.sin(heading)], -1), axis=1)
    return np.concatenate([xy, heading[..., None]], axis=-1)


def test_equals_its_twin():
    rng = np.random.default_rng(0)
    for _ in range(6):
        start = rng.uniform(0, 12), rng.normal(0, 1), rng.normal(0, 0.2)
        plans = random_plans(rng, 8)
        states = tracker.simulate(plans, *start)
        for i, plan in enumerate(plans):
            expected = twin.drive(plan, *start)
            found = np.stack([getattr(states, name)[i] for name in ("x", "y", "heading", "speed", "acceleration")], -1)
            found[:, 2] = expected[:, 2] + twin._wrap(found[:, 2] - expected[:, 2])
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_steady_drive_stays_steady():
    states = tracker.simulate(straight(8.0)[None], 8.0, 0.0, 0.0)
    np.testing.assert_allclose(states.x[0], 0.8 * np.arange(31), atol=1e-6)
    for name in ("y", "heading", "acceleration", "yaw_rate", "yaw_acceleration"):
        np.testing.assert_allclose(getattr(states, name), 0, atol=1e-6)


def test_what_no_vehicle_can_do_is_not_done():
    """A plan that jumps to the side, and one that stops at once."""
    jump = straight(8.0)
    jump[:, 1] = 3.0
    states = tracker.simulate(np.stack([jump, np.zeros((6, 3))]), 8.0, 0.0, 0.0)
    assert 0 < states.y[0, 5] < 1.0
    assert states.x[1, 10] > 3.0 and abs(states.speed[1, -1]) < 1.0


def test_samples_lie_between_the_waypoints_and_turn_the_short_way():
    plan = straight(2.0)
    plan[:, 2] = [3.0, -3.0, -3.0, 3.0, 3.0, 3.0]
    path = tracker.sampled(plan[None])[0]
    assert path.shape == (31, 3) and path[7, 0] == 1.4
    np.testing.assert_allclose(np.diff(path[5:11, 2]), (2 * np.pi - 6) / 5)


def test_a_vehicle_that_stands_stays():
    states = tracker.simulate(np.zeros((1, 6, 3)), 0.0, 0.0, 0.3)
    np.testing.assert_allclose([states.x, states.y, states.heading], 0)
