"""Each limit of comfort alone, and whether two plans agree."""

import numpy as np
import pytest

from dima_jax.metrics.pdms import comfort
from dima_jax.metrics.pdms.tracker import States

TIME = 0.1 * np.arange(31)


def states(acceleration=0.0, yaw_rate=0.0, speed=8.0) -> States:
    """One drive whose acceleration and yaw rate are given at each sample."""
    acceleration, rate = (np.broadcast_to(one, 31).astype(float) for one in (acceleration, yaw_rate))
    heading = np.concatenate([[0.0], np.cumsum(0.1 * rate[:-1])])
    turn = np.gradient(rate, 0.1)
    told = [0 * TIME, 0 * TIME, (heading + np.pi) % (2 * np.pi) - np.pi, np.full(31, speed), acceleration, rate, turn]
    return States(*(one[None] for one in told))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, True),
        ({"acceleration": 2.39}, True),
        ({"acceleration": 2.41}, False),
        ({"acceleration": -4.04}, True),
        ({"acceleration": -4.06}, False),
        ({"yaw_rate": 4.88 / 8}, True),
        ({"yaw_rate": 4.90 / 8}, False),
        ({"yaw_rate": 0.94, "speed": 1.0}, True),
        ({"yaw_rate": 0.96, "speed": 1.0}, False),
        ({"yaw_rate": -0.96, "speed": 1.0}, False),
        ({"acceleration": -3.0 + 3.0 * TIME.clip(0, 1.5)}, True),
        ({"acceleration": -3.0 + 4.5 * TIME.clip(0, 1.1)}, False),
        ({"yaw_rate": -0.7 + 1.5 * TIME.clip(0, 0.9), "speed": 0.5}, True),
        ({"yaw_rate": -0.9 + 2.1 * TIME.clip(0, 0.8), "speed": 0.5}, False),
    ],
)
def test_limits(told, expected):
    assert comfort.comfortable(states(**told), 0.0).tolist() == [expected]


def test_a_jerk_across_the_drive_counts_by_its_magnitude(monkeypatch):
    """Filtered over 1.5 s a jerk is nearly never beyond nuPlan's limit, so the limit is lowered."""
    monkeypatch.setattr(comfort, "YAW_ACCELERATION", (-np.inf, np.inf))
    rises = states(yaw_rate=np.where(TIME < 1.5, 0.0, 0.5))._replace(yaw_acceleration=np.zeros((1, 31)))
    assert comfort.comfortable(rises, 0.0).tolist() == [True]
    monkeypatch.setattr(comfort, "JERK", (-3.0, 3.0))  # 4 m/s^2 in one sample: 4 m/s^3
    assert comfort.comfortable(rises, 0.0).tolist() == [False]


def test_the_center_swings_more_than_the_rear_axle():
    turning = states(yaw_rate=0.9, speed=5.0)
    turning = turning._replace(yaw_acceleration=np.full((1, 31), 0.5))
    assert comfort.comfortable(turning, 0.0).tolist() == [True]
    assert comfort.comfortable(turning, 1.486).tolist() == [False]


def test_the_past_counts_where_it_is_joined():
    past = States(*(one[:, :15] for one in states(acceleration=-4.5)))
    now = States(*(np.concatenate([one, one]) for one in states()))
    both = comfort.joined(past, now)
    assert both.x.shape == (2, 46) and comfort.comfortable(now, 0.0).all()
    assert not comfort.comfortable(both, 0.0).any()


def test_a_turn_past_half_a_circle_is_no_jump():
    heading = states(yaw_rate=0.9, speed=1.0).heading + 3.0
    wrapped = (heading + np.pi) % (2 * np.pi) - np.pi
    assert comfort.comfortable(states(yaw_rate=0.9, speed=1.0)._replace(heading=wrapped), 0.0).tolist() == [True]


def pair(acceleration=0.0, yaw_rate=0.0):
    one = states(acceleration=acceleration, yaw_rate=yaw_rate)
    return comfort.magnitude(one), one.heading


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, True),
        ({"acceleration": 0.69}, True),
        ({"acceleration": 0.71}, False),
        ({"acceleration": 0.48 * TIME - 0.6}, True),
        ({"acceleration": 0.53 * TIME}, False),
    ],
)
def test_plans_agree_by_the_root_mean_square(told, expected):
    assert comfort.agree(pair(), pair(**told)).tolist() == [expected]


def test_plans_agree_on_turns():
    still = np.zeros((1, 31))
    for rate, expected in ((0.099, True), (0.101, False)):
        assert comfort.agree((still, still), (still, rate * TIME[None])).tolist() == [expected]
    for turn, expected in ((0.099, True), (0.101, False)):
        heading = turn / 2 * (TIME[None] - 1.25) ** 2
        assert comfort.agree((still, still), (still, heading)).tolist() == [expected]


def test_plans_are_compared_at_the_same_moments():
    """The later plan begins 0.5 s after the first: it is the same drive."""
    rise = np.arange(36) * 0.3
    assert comfort.agree((rise[None, :31], rise[None, :31] ** 2), (rise[None, 5:], rise[None, 5:] ** 2)).tolist() == [
        True
    ]
    assert comfort.agree((rise[None, :31], 0 * TIME[None]), (rise[None, :31], 0 * TIME[None])).tolist() == [False]
