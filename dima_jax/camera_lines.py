"""Lines of the scene in a camera's image, for pictures: cut where they pass behind the camera."""

import numpy as np
from jaxtyping import Float

NEAR = 0.3  # meters of depth at which lines are cut
# Corners that an edge of a box connects: the floor (0 to 3, around from the front), the roof above it, the uprights.
EDGES = np.array(
    [(i, (i + 1) % 4) for i in range(4)] + [(i + 4, (i + 1) % 4 + 4) for i in range(4)] + [(i, i + 4) for i in range(4)]
)


def to_camera(points: Float[np.ndarray, "*n 3"], lidar2img: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "*n 3"]:
    """LiDAR points in meters to (u * depth, v * depth, depth); u, v in pixels."""
    return points @ lidar2img[:3, :3].T + lidar2img[:3, 3]


def project(segments: Float[np.ndarray, "n 2 3"], lidar2img: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "m 2 2"]:
    """Segments in meters, LiDAR frame, to pixels; those behind the camera are left out."""
    camera = to_camera(segments, lidar2img)
    camera = camera[(camera[..., 2] > NEAR).any(axis=1)]
    depth = camera[..., 2]
    share = (NEAR - depth[:, 0]) / np.where(depth[:, 0] == depth[:, 1], 1.0, depth[:, 1] - depth[:, 0])
    cut = camera[:, 0] + share[:, None] * (camera[:, 1] - camera[:, 0])
    behind = depth <= NEAR
    camera = np.where(behind[..., None], cut[:, None], camera)
    return camera[..., :2] / camera[..., 2:3]
