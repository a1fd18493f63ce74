"""Planners that need no camera, for a student to be compared with; whoever is not ahead of them has not learned to look.

The one that is fitted, on the student's own ego inputs, is in `blind_planner.py`.
"""

from itertools import groupby

import numpy as np

from dima_jax.constants import STEP_SECONDS
from dima_jax.data.records import Records
from dima_jax.data.sequences import DriveFrame
from dima_jax.errors import UserError


def control_plans(frame: DriveFrame, previous: DriveFrame | None, recorded_path: np.ndarray) -> dict[str, np.ndarray]:
    """{name: waypoints [F, 2] in meters}. previous: the key frame before, whatever its scene.

    Velocity and turn rate are those of the move since the previous key frame; in the first frame of a scene, the CAN
    bus speed straight ahead. "constant turn rate" repeats that move, turn included: a circle stays a circle.
    """
    step = np.array([0.0, frame.speed * STEP_SECONDS])
    move = np.eye(4)  # this frame's LiDAR in the frame of the one before
    move[:2, 3] = step
    if not frame.is_first:
        here = np.linalg.inv(frame.lidar2global) @ previous.lidar2global[:, 3]
        step = -here[:2]
        move = np.linalg.inv(previous.lidar2global) @ frame.lidar2global
    times = np.arange(1, len(recorded_path) + 1)[:, None]
    return {
        "recorded path": recorded_path,
        "constant velocity": times * step,
        "constant turn rate": np.stack([np.linalg.matrix_power(move, int(k))[:2, 3] for k in times[:, 0]]),
        "go straight": times * np.array([0.0, np.linalg.norm(step)]),
        "stand still": np.zeros_like(recorded_path),
    }


def other_scene_records(records: Records) -> list[int]:
    """For each record the one with the same place in the next scene, in the last scene's turn of the first scene.

    A scene that is shorter gives its last frame. UserError if the split has a single scene.
    """
    scenes = [list(group) for _, group in groupby(range(len(records)), key=lambda i: records.scenes[i])]
    if len(scenes) < 2:
        raise UserError(
            f"split {records.split!r} of {records.folder} has {len(scenes)} scene; --other_images needs at least 2"
        )
    following = scenes[1:] + scenes[:1]
    return [
        other[min(i, len(other) - 1)] for scene, other in zip(scenes, following, strict=True) for i in range(len(scene))
    ]
