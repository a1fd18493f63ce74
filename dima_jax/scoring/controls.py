"""Planners that need no camera, for others to be compared with; whoever is not ahead of them has not learned to look.

Velocity and turn rate are those of the LiDAR's move since the previous key frame; in the first frame of a scene, the CAN
bus speed straight ahead.
"""

import numpy as np
from jaxtyping import Bool, Float

from dima_jax.constants import STEP_SECONDS
from dima_jax.scoring import headings
from dima_jax.scoring.predictions import STEPS, Predictions
from dima_jax.scoring.recorded import Truth

AHEAD = headings.AHEAD["lidar"]
NAMES = ("recorded path", "constant velocity", "constant turn rate", "go straight", "stand still")


def plans(truth: Truth) -> list[Predictions]:
    """Every control that the truth has the numbers for, in the LiDAR frame (the recorded path alone: or in the ego frame).

    A control that lacks a number of a frame, e.g. the speed in the first frame of a scene, has no plan for it.
    "constant turn rate" repeats the last move, turn included: a circle stays a circle. The others do not turn.
    """
    count, times = len(truth.tokens), np.arange(1.0, STEPS + 1)
    frame, path, yaw = ("lidar", truth.path, truth.path_yaw)
    if path is None:
        frame, path, yaw = ("ego", truth.ego_path, truth.ego_path_yaw)
    recorded = headings.estimate(path, headings.AHEAD[frame]) if yaw is None else yaw
    found = {"recorded path": np.concatenate([path, recorded[..., None]], axis=-1)}
    if frame == "lidar":
        step, move = _last_moves(truth)
        ahead = np.stack([np.zeros(count), np.linalg.norm(step, axis=-1)], axis=-1)
        found |= {
            "constant velocity": _straight(times[:, None] * step[:, None]),
            "constant turn rate": _repeated(move),
            "go straight": _straight(times[:, None] * ahead[:, None]),
            "stand still": _straight(np.zeros((count, STEPS, 2))),
        }
    tokens = truth.tokens.tolist()
    result = []
    for name, plan in found.items():
        known = np.flatnonzero(np.isfinite(plan).all(axis=(1, 2)))
        if len(known):
            result.append(Predictions(name, "", frame, [tokens[i] for i in known], plan[known], None, {}))
    return result


def follows(truth: Truth) -> Bool[np.ndarray, " N"]:
    """Whether the row before is the key frame before, of the same scene; False where the truth does not say."""
    result = np.zeros(len(truth.tokens), bool)
    if truth.frame_index is not None:
        result[1:] = (np.diff(truth.scene) == 0) & (np.diff(truth.frame_index) == 1)
    return result


def _last_moves(truth: Truth) -> tuple[Float[np.ndarray, "N 2"], Float[np.ndarray, "N 4 4"]]:
    """(the last step as this frame sees it, this frame's LiDAR in the frame before); NaN where there is neither."""
    count = len(truth.tokens)
    step = np.full((count, 2), np.nan)
    if truth.speed is not None:
        step = np.stack([np.zeros(count), truth.speed.astype(np.float64) * STEP_SECONDS], axis=-1)
        if truth.frame_index is not None:
            step[(truth.frame_index > 0) & ~follows(truth)] = np.nan
    move = np.tile(np.eye(4), (count, 1, 1))
    move[:, :2, 3] = step
    if truth.ego2global is not None:
        pose = truth.ego2global @ truth.lidar2ego
        after = np.flatnonzero(follows(truth))
        back = np.linalg.inv(pose[after]) @ pose[after - 1]
        step[after], move[after] = -back[:, :2, 3], np.linalg.inv(back)
    return step, move


def _straight(xy: Float[np.ndarray, "N 6 2"]) -> Float[np.ndarray, "N 6 3"]:
    return np.concatenate([xy, np.full((*xy.shape[:-1], 1), AHEAD)], axis=-1)


def _repeated(move: Float[np.ndarray, "N 4 4"]) -> Float[np.ndarray, "N 6 3"]:
    """The places after one to six times the same move."""
    places = [move]
    for _ in range(STEPS - 1):
        places.append(places[-1] @ move)
    poses = np.stack(places, axis=1)
    return np.concatenate(
        [poses[..., :2, 3], AHEAD + np.arctan2(poses[..., 1, 0], poses[..., 0, 0])[..., None]], axis=-1
    )
