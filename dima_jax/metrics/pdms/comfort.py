"""Whether a drive is comfortable, and whether two plans of consecutive frames agree on how it feels.

The limits are nuPlan's, the filters NAVSIM's. NAVSIM's simulated states have no lateral acceleration, so that its limit
and its part of the magnitude never act there; here the lateral acceleration is that of the kinematics.
"""

from functools import cache

import numpy as np
from jaxtyping import Bool, Float
from scipy.signal import savgol_filter

from dima_jax.metrics.pdms.tracker import DT, EVERY, States

LATERAL, LONGITUDINAL = (-4.89, 4.89), (-4.05, 2.40)  # m/s^2, of the box's center
JERK, LONGITUDINAL_JERK = (-8.37, 8.37), (-4.13, 4.13)  # m/s^3
YAW_RATE, YAW_ACCELERATION = (-0.95, 0.95), (-1.93, 1.93)  # rad/s, rad/s^2
# (window in samples, order of the polynomial, derivative) of Savitzky-Golay filters
ACCELERATION_FILTER, JERK_FILTER = (8, 2, 0), (15, 2, 1)
YAW_RATE_FILTER, YAW_ACCELERATION_FILTER, PAIR_YAW_ACCELERATION_FILTER = (5, 2, 1), (5, 3, 2), (5, 2, 2)
# root mean square of the difference of two plans: acceleration, jerk, yaw rate, yaw acceleration
PAIR_LIMITS = (0.7, 0.5, 0.1, 0.1)


def comfortable(states: States, center_ahead: float) -> Bool[np.ndarray, " B"]:
    """Whether all of a drive is within the limits. center_ahead: meters from the rear axle to the box's center."""
    along = states.acceleration - center_ahead * states.yaw_rate**2
    aside = states.speed * states.yaw_rate + center_ahead * states.yaw_acceleration
    heading = np.unwrap(states.heading, axis=-1)
    signals = (
        (LONGITUDINAL, _filtered(along, ACCELERATION_FILTER)),
        (LATERAL, _filtered(aside, ACCELERATION_FILTER)),
        (JERK, _filtered(_filtered(magnitude(states), ACCELERATION_FILTER), JERK_FILTER)),
        (LONGITUDINAL_JERK, _filtered(_filtered(along, ACCELERATION_FILTER), JERK_FILTER)),
        (YAW_RATE, _filtered(heading, YAW_RATE_FILTER)),
        (YAW_ACCELERATION, _filtered(heading, YAW_ACCELERATION_FILTER)),
    )
    return np.all([((low < one) & (one < high)).all(axis=-1) for (low, high), one in signals], axis=0)


def magnitude(states: States) -> Float[np.ndarray, "B T"]:
    """Of the rear axle's acceleration, m/s^2."""
    return np.hypot(states.acceleration, states.speed * states.yaw_rate)


def joined(past: States, states: States) -> States:
    """Each of B drives after the same past [1, t]."""
    count = states.x.shape[0]
    return States(
        *(np.concatenate([np.repeat(a, count, axis=0), b], axis=1) for a, b in zip(past, states, strict=True))
    )


def agree(
    before: tuple[Float[np.ndarray, "... T"], Float[np.ndarray, "... T"]],
    after: tuple[Float[np.ndarray, "... T"], Float[np.ndarray, "... T"]],
) -> Bool[np.ndarray, "..."]:
    """Whether two drives feel alike where they overlap: `after` was planned 0.5 s later. Each: (magnitude, heading)."""
    one = _felt(*(part[..., EVERY:] for part in before))
    other = _felt(*(part[..., :-EVERY] for part in after))
    differences = [np.sqrt(((a - b) ** 2).mean(axis=-1)) for a, b in zip(one, other, strict=True)]
    return np.all([value <= limit for value, limit in zip(differences, PAIR_LIMITS, strict=True)], axis=0)


def _felt(acceleration: Float[np.ndarray, "... t"], heading: Float[np.ndarray, "... t"]) -> list[np.ndarray]:
    smooth = _filtered(acceleration, ACCELERATION_FILTER)
    turned = np.unwrap(heading, axis=-1)
    turning = [_filtered(turned, one) for one in (YAW_RATE_FILTER, PAIR_YAW_ACCELERATION_FILTER)]
    return [smooth, _filtered(smooth, JERK_FILTER), *turning]


def _filtered(signal: Float[np.ndarray, "... t"], how: tuple[int, int, int]) -> Float[np.ndarray, "... t"]:
    return signal @ _matrix(signal.shape[-1], *how).T


@cache
def _matrix(count: int, window: int, order: int, derivative: int) -> Float[np.ndarray, "count count"]:
    """A Savitzky-Golay filter over `count` samples: it is linear."""
    return savgol_filter(np.eye(count), min(window, count), order, deriv=derivative, delta=DT, axis=0)
