"""Headings of a plan whose file gives none, and the same plan in the LiDAR frame and in the ego frame.

A plan in the LiDAR frame says where the LiDAR's origin will be, one in the ego frame where the ego's (rear axle). They
are different points of the vehicle, so a turn moves them differently: up to a meter apart. Both frames stand still at
the moment of the frame. Headings are in radians counterclockwise from the frame's +x; straight ahead is `AHEAD`.
"""

import numpy as np
from jaxtyping import Bool, Float

AHEAD = {"lidar": np.pi / 2, "ego": 0.0}
SHORTEST = 0.05  # meters that a step must have to tell a heading


def estimate(xy: Float[np.ndarray, "... F 2"], ahead: float) -> Float[np.ndarray, "... F"]:
    """Headings by central differences over the origin and the plan; the last by the last step.

    Where the mean of the steps is shorter than 0.05 m, the heading stays what it was, at first `ahead`.
    """
    steps = central_steps(xy)
    angles = np.arctan2(steps[..., 1], steps[..., 0])
    is_told = np.linalg.norm(steps, axis=-1) >= SHORTEST
    return _kept(np.where(np.isnan(steps).any(-1), np.nan, angles), is_told, ahead)


def central_steps(xy: Float[np.ndarray, "... F 2"]) -> Float[np.ndarray, "... F 2"]:
    """The mean of the steps to and from each waypoint, starting at the origin; at the last the step to it."""
    points = np.concatenate([np.zeros_like(xy[..., :1, :]), xy], axis=-2).astype(np.float64)
    moves = points[..., 2:, :] - points[..., :-2, :]
    return np.concatenate([moves / 2, points[..., -1:, :] - points[..., -2:-1, :]], axis=-2)


def _kept(
    angles: Float[np.ndarray, "... F"], is_told: Bool[np.ndarray, "... F"], ahead: float
) -> Float[np.ndarray, "... F"]:
    """Where nothing is told, the angle before; NaN stays NaN."""
    result, last = np.empty_like(angles), np.full(angles.shape[:-1], ahead)
    for step in range(angles.shape[-1]):
        last = np.where(is_told[..., step], angles[..., step], last)
        result[..., step] = np.where(np.isnan(angles[..., step]), np.nan, last)
    return result


def to_ego(plan: Float[np.ndarray, "... F 3"], lidar2ego: Float[np.ndarray, "... 4 4"]) -> Float[np.ndarray, "... F 3"]:
    """x, y, heading of the ego's origin in the ego frame, of a plan in the LiDAR frame."""
    turn, lever = _planar(lidar2ego)
    heading = wrapped(plan[..., 2] + turn)
    return _with(_rotated(plan[..., :2], turn) + lever - _rotated(lever, heading), heading)


def to_lidar(
    plan: Float[np.ndarray, "... F 3"], lidar2ego: Float[np.ndarray, "... 4 4"]
) -> Float[np.ndarray, "... F 3"]:
    """x, y, heading of the LiDAR's origin in the LiDAR frame, of a plan in the ego frame."""
    turn, lever = _planar(lidar2ego)
    xy = plan[..., :2] + _rotated(lever, plan[..., 2]) - lever
    return _with(_rotated(xy, -turn), wrapped(plan[..., 2] - turn))


def _planar(
    lidar2ego: Float[np.ndarray, "... 4 4"],
) -> tuple[Float[np.ndarray, "... 1"], Float[np.ndarray, "... 1 2"]]:
    """(yaw, place in the ego frame) of the LiDAR, with an axis for steps."""
    return np.arctan2(lidar2ego[..., 1, 0], lidar2ego[..., 0, 0])[..., None], lidar2ego[..., None, :2, 3]


def _rotated(xy: Float[np.ndarray, "... #F 2"], angle: Float[np.ndarray, "... #F"]) -> Float[np.ndarray, "... _ 2"]:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * xy[..., 0] - sin * xy[..., 1], sin * xy[..., 0] + cos * xy[..., 1]], axis=-1)


def wrapped(angle: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Within [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _with(xy: Float[np.ndarray, "... F 2"], heading: Float[np.ndarray, "... #F"]) -> Float[np.ndarray, "... F 3"]:
    return np.concatenate([xy, np.broadcast_to(heading, xy.shape[:-1])[..., None]], axis=-1)
