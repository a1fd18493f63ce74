"""How the recorded ego moved at a frame and before it: where every plan of the frame starts.

From the poses of the key frames around it, joined by a cubic spline, so that it needs no CAN bus (some scenes of nuScenes
have none) and is the same for every planner. Ego frame of the frame; meters, seconds, radians.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.interpolate import CubicSpline

from dima_jax.constants import STEP_SECONDS, WHEELBASE
from dima_jax.metrics.pdms.tracker import DT, MAX_STEERING, STEPS, States
from dima_jax.scoring.recorded import Truth

PAST_STEPS = 3  # key frames before; NAVSIM has the same 1.5 s
SLOWEST = 0.5  # m/s: below, a turn says nothing of the front wheels


class Start(NamedTuple):
    """past: the recorded states every 0.1 s up to 0.1 s before the frame, one row; no sample at a scene's first frame."""

    speed: float
    acceleration: float
    steering: float
    past: States


def around(truth: Truth, index: int, before: int, after: int) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """(rows, steps from the frame) of a scene's key frames from `before` steps ago to `after` steps ahead."""
    rows = np.arange(max(index - before, 0), min(index + after + 1, len(truth.tokens)))
    steps = truth.frame_index[rows].astype(np.int64) - truth.frame_index[index]
    kept = (truth.scene[rows] == truth.scene[index]) & (steps >= -before) & (steps <= after)
    return rows[kept], steps[kept]


def start(truth: Truth, index: int) -> Start:
    """Of a frame that has a key frame before or after it."""
    rows, steps = around(truth, index, PAST_STEPS, STEPS)
    poses = np.linalg.inv(truth.ego2global[index]) @ truth.ego2global[rows]
    yaw = np.unwrap(np.arctan2(poses[:, 1, 0], poses[:, 0, 0]))
    spline = CubicSpline(steps * STEP_SECONDS, np.column_stack([poses[:, :2, 3], yaw]))
    now = _states(spline, np.zeros(1))
    speed, rate = float(now.speed[0, 0]), float(now.yaw_rate[0, 0])
    steering = np.arctan(WHEELBASE * rate / speed) if speed > SLOWEST else 0.0
    count = round(-steps[0] * STEP_SECONDS / DT)
    past = _states(spline, DT * np.arange(-count, 0))
    return Start(speed, float(now.acceleration[0, 0]), float(np.clip(steering, -MAX_STEERING, MAX_STEERING)), past)


def _states(spline: CubicSpline, times: Float[np.ndarray, " T"]) -> States:
    (x, y, yaw), (vx, vy, rate), (ax, ay, turn) = (spline(times, order).T for order in range(3))
    cos, sin = np.cos(yaw), np.sin(yaw)
    return States(*(one[None] for one in (x, y, yaw, vx * cos + vy * sin, ax * cos + ay * sin, rate, turn)))
