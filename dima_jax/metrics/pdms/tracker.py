"""How the ego drives when it follows a plan: an LQR tracker on a kinematic bicycle, as NAVSIM has it.

A plan is six poses of the rear axle, 0.5 s apart, in the ego frame of its frame; it becomes T = 31 samples, 0.1 s apart,
between which it is straight. The tracker steers a vehicle that starts as the recorded one was (`ego_start.Start`), so a
plan that no vehicle could drive is not driven as it was drawn. Source: NAVSIM (`batch_lqr.py`,
`batch_kinematic_bicycle.py`), itself from nuplan-devkit. B plans at a time; meters, seconds, radians.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dima_jax.constants import STEP_SECONDS, WHEELBASE
from dima_jax.scoring.headings import wrapped

DT = 0.1
EVERY = round(STEP_SECONDS / DT)  # samples a step
STEPS = 6
SAMPLES = STEPS * EVERY + 1
HORIZON = 10  # samples that the tracker looks ahead
SPEED_WEIGHT, ACCELERATION_WEIGHT = 10.0, 1.0  # longitudinal q, r
LATERAL_WEIGHT, HEADING_WEIGHT, STEERING_RATE_WEIGHT = 1.0, 10.0, 1.0  # lateral q (the steering angle has 0), r
JERK_PENALTY, CURVATURE_RATE_PENALTY, CURVATURE_PENALTY = 1e-4, 1e-2, 1e-10
STOPPING_SPEED, STOPPING_GAIN = 0.2, 0.5
ACCELERATION_LAG, STEERING_LAG = 0.2, 0.05  # seconds
MAX_STEERING = np.pi / 3
State = list[np.ndarray]  # [B] each: x, y, heading, or speed, acceleration, steering


class States(NamedTuple):
    """The rear axle of B vehicles at T samples. speed: along the heading; acceleration: its derivative."""

    x: Float[np.ndarray, "B T"]
    y: Float[np.ndarray, "B T"]
    heading: Float[np.ndarray, "B T"]
    speed: Float[np.ndarray, "B T"]
    acceleration: Float[np.ndarray, "B T"]
    yaw_rate: Float[np.ndarray, "B T"]
    yaw_acceleration: Float[np.ndarray, "B T"]


def sampled(plans: Float[np.ndarray, "B 6 3"]) -> Float[np.ndarray, "B 31 3"]:
    """Poses every 0.1 s, straight between the origin and the waypoints; headings turn the short way."""
    poses = np.concatenate([np.zeros_like(plans[:, :1]), plans], axis=1).astype(np.float64)
    poses[..., 2] = np.unwrap(poses[..., 2], axis=1)
    part = (np.arange(SAMPLES - 1) % EVERY)[:, None] / EVERY
    first = np.repeat(np.arange(STEPS), EVERY)
    inner = poses[:, first] * (1 - part) + poses[:, first + 1] * part
    return np.concatenate([inner, poses[:, -1:]], axis=1)


def simulate(plans: Float[np.ndarray, "B 6 3"], speed: float, acceleration: float, steering: float) -> States:
    """Drives plans (x, y, heading in the ego frame) from the same start. steering: of the front wheels."""
    path = sampled(plans)
    speeds = _speeds(path)
    curvatures = _curvatures(path, speeds)
    batch = len(path)
    pose = [np.zeros(batch) for _ in range(3)]
    motion = [np.full(batch, value) for value in (speed, acceleration, steering)]
    yaw_rate = motion[0] * np.tan(motion[2]) / WHEELBASE
    history = [(*pose, motion[0], motion[1], yaw_rate, np.zeros(batch))]
    for sample in range(SAMPLES - 1):
        command = _commands(sample, path[:, sample], speeds, curvatures, pose, motion)
        pose, motion = _moved(pose, motion, *command)
        turning = motion[0] * np.tan(motion[2]) / WHEELBASE
        history.append((*pose, motion[0], motion[1], turning, (turning - yaw_rate) / DT))
        yaw_rate = turning
    return States(*np.moveaxis(np.array(history), 0, -1))


def _commands(
    sample: int,
    reference: Float[np.ndarray, "B 3"],
    speeds: Float[np.ndarray, "B n"],
    curvatures: Float[np.ndarray, "B n"],
    pose: State,
    motion: State,
) -> tuple[Float[np.ndarray, " B"], Float[np.ndarray, " B"]]:
    """(acceleration, steering rate) at a sample. speeds, curvatures: of the plan's moves."""
    last = speeds.shape[1] - 1
    ahead = min(sample + HORIZON, last)
    (x, y, heading), (speed, _, steering) = pose, motion
    target = speeds[:, ahead]
    stops = (target <= STOPPING_SPEED) & (speed <= STOPPING_SPEED)
    reach = HORIZON * DT
    gain = SPEED_WEIGHT * reach / (SPEED_WEIGHT * reach**2 + ACCELERATION_WEIGHT)
    acceleration = -np.where(stops, STOPPING_GAIN, gain) * (speed - target)

    # The rate u is held for the horizon, so the errors at its end are free + effect * u.
    curvature = curvatures[:, np.minimum(np.arange(sample, sample + HORIZON), ahead)]
    move = DT * (speed[:, None] + acceleration[:, None] * DT * np.arange(HORIZON))
    cos, sin = np.cos(reference[:, 2]), np.sin(reference[:, 2])
    aside = -(x - reference[:, 0]) * sin + (y - reference[:, 1]) * cos
    turned = wrapped(heading - reference[:, 2])
    free_turns = turned[:, None] + _before(move * (steering[:, None] / WHEELBASE - curvature))
    effect_turns = _before(move * DT * np.arange(HORIZON) / WHEELBASE)
    free = aside + (move * free_turns[:, :-1]).sum(axis=1), wrapped(free_turns[:, -1])
    effect = (move * effect_turns[:, :-1]).sum(axis=1), effect_turns[:, -1]
    weights = LATERAL_WEIGHT, HEADING_WEIGHT
    pull = sum(q * one * other for q, one, other in zip(weights, effect, free, strict=True))
    stiffness = STEERING_RATE_WEIGHT + sum(q * one**2 for q, one in zip(weights, effect, strict=True))
    return acceleration, np.where(stops, 0.0, -pull / stiffness)


def _moved(
    pose: State, motion: State, acceleration: Float[np.ndarray, " B"], steering_rate: Float[np.ndarray, " B"]
) -> tuple[State, State]:
    """(pose, motion) a sample later; the commands pass first-order lags."""
    (x, y, heading), (speed, lagged, steering) = pose, motion
    lagged = lagged + DT / (DT + ACCELERATION_LAG) * (acceleration - lagged)
    steered = np.clip(steering + DT / (DT + STEERING_LAG) * DT * steering_rate, -MAX_STEERING, MAX_STEERING)
    pose = [
        x + DT * speed * np.cos(heading),
        y + DT * speed * np.sin(heading),
        wrapped(heading + DT * speed * np.tan(steering) / WHEELBASE),
    ]
    return pose, [speed + DT * lagged, lagged, steered]


def _speeds(path: Float[np.ndarray, "B 31 3"]) -> Float[np.ndarray, "B 30"]:
    """The speeds that explain the moves along the headings, with a penalty on jerk."""
    moves = np.diff(path[..., :2], axis=1)
    along = moves[..., 0] * np.cos(path[:, :-1, 2]) + moves[..., 1] * np.sin(path[:, :-1, 2])
    return along @ _speed_fit(along.shape[1]).T


@cache
def _speed_fit(count: int) -> Float[np.ndarray, "count count"]:
    """From moves to speeds. Unknown are the first speed and the accelerations: least squares."""
    speeds = np.tri(count, k=0)
    speeds[:, 1:] *= DT
    moves = DT * speeds
    jerk = np.diff(np.eye(count), axis=0)[1:]
    return speeds @ np.linalg.solve(moves.T @ moves + JERK_PENALTY * jerk.T @ jerk, moves.T)


def _curvatures(path: Float[np.ndarray, "B 31 3"], speeds: Float[np.ndarray, "B 30"]) -> Float[np.ndarray, "B 30"]:
    """The curvatures that explain the turns at these speeds, with a penalty on their rate."""
    turns = wrapped(np.diff(path[..., 2], axis=1))
    count = turns.shape[1]
    profile = np.tri(count)
    profile[:, 1:] *= DT
    effect = DT * speeds[..., None] * profile
    penalty = np.diag([CURVATURE_PENALTY, *[CURVATURE_RATE_PENALTY] * (count - 1)])
    back = np.swapaxes(effect, 1, 2)
    return np.linalg.solve(back @ effect + penalty, back @ turns[..., None])[..., 0] @ profile.T


def _before(values: Float[np.ndarray, "B n"]) -> Float[np.ndarray, "B n+1"]:
    """The sum of what came before each, and of all."""
    return np.concatenate([np.zeros_like(values[:, :1]), np.cumsum(values, axis=1)], axis=1)
