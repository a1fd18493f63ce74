"""Coordinate frames, projections and box codes, as pure functions of arrays with any leading axes.

LiDAR frame: x right, y forward, z up, meters. `pc_range` = (x0, y0, z0, x1, y1, z1), meters (docs/vad.md#frames).
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dima_jax.types import AnyArray

MIN_DEPTH = 1e-5  # meters; a point nearer to the image plane is not in the image


def normalize_xy(xy: Float[AnyArray, "*n 2"], pc_range: Sequence[float]) -> Float[AnyArray, "*n 2"]:
    """Meters to [0, 1] inside pc_range. A numpy array stays one and is divided exactly; XLA may be an ulp off."""
    low, extent = _low_and_extent(pc_range)
    return (xy - low) / extent


def denormalize_xy(xy: Float[AnyArray, "*n 2"], pc_range: Sequence[float]) -> Float[AnyArray, "*n 2"]:
    """[0, 1] inside pc_range to meters."""
    low, extent = _low_and_extent(pc_range)
    return xy * extent + low


def _low_and_extent(pc_range: Sequence[float]) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    low, high = np.array(pc_range[:2]), np.array(pc_range[3:5])
    return low.astype(np.float32), (high - low).astype(np.float32)


def inverse_sigmoid(x: Float[AnyArray, "*n"], eps: float = 1e-5) -> Float[Array, "*n"]:
    """logit(x), with x clipped to [0, 1] and both x and 1 - x to at least eps (mmdet's)."""
    x = jnp.clip(x, 0.0, 1.0)
    return jnp.log(jnp.maximum(x, eps) / jnp.maximum(1.0 - x, eps))


def encode_boxes(boxes: Float[AnyArray, "*n 9"]) -> Float[Array, "*n 10"]:
    """Boxes (cx, cy, cz, w, l, h, yaw_box, vx, vy) to the regression code, whose order is that of the stack below.

    Center of gravity; meters, meters per second, radians (docs/vad.md#frames).
    """
    cx, cy, cz, w, l, h, yaw, vx, vy = jnp.moveaxis(boxes, -1, 0)
    parts = [cx, cy, jnp.log(w), jnp.log(l), cz, jnp.log(h), jnp.sin(yaw), jnp.cos(yaw), vx, vy]
    return jnp.stack(parts, axis=-1)


def decode_boxes(codes: Float[AnyArray, "*n 10"]) -> Float[Array, "*n 9"]:
    """The inverse of `encode_boxes`; yaw_box lies in [-pi, pi]."""
    cx, cy, log_w, log_l, cz, log_h, sin, cos, vx, vy = jnp.moveaxis(codes, -1, 0)
    yaw = jnp.arctan2(sin, cos)
    parts = [cx, cy, cz, jnp.exp(log_w), jnp.exp(log_l), jnp.exp(log_h), yaw, vx, vy]
    return jnp.stack(parts, axis=-1)


def cell_centers(bev_shape: tuple[int, int]) -> np.ndarray:
    """(x, y) of the cell centers in [0, 1]: [YX, 2]."""
    rows, columns = bev_shape
    y = np.linspace(0.5, rows - 0.5, rows, dtype=np.float32) / np.float32(rows)
    x = np.linspace(0.5, columns - 0.5, columns, dtype=np.float32) / np.float32(columns)
    return np.stack([np.tile(x, rows), np.repeat(y, columns)], axis=-1)


def box_corners(boxes: Float[AnyArray, "*n 9"]) -> Float[Array, "*n 8 3"]:
    """The corners of boxes (cx, cy, cz, w, l, h, yaw_box, vx, vy), center of gravity, in meters: lower four first."""
    signs = np.array([(x, y, z) for z in (-1, 1) for x, y in ((1, 1), (1, -1), (-1, -1), (-1, 1))], np.float32) / 2
    width, length, height, yaw = (boxes[..., i, None] for i in (3, 4, 5, 6))
    heading = -(yaw + np.pi / 2)
    along, across, up = length * signs[:, 0], width * signs[:, 1], height * signs[:, 2]
    cos, sin = jnp.cos(heading), jnp.sin(heading)
    corners = jnp.stack([along * cos - across * sin, along * sin + across * cos, up], axis=-1)
    return boxes[..., None, :3] + corners


def offsets_to_waypoints(offsets: Float[AnyArray, "*n F 2"]) -> Float[Array, "*n F 2"]:
    """Displacements of each step to positions relative to the start."""
    return jnp.cumsum(offsets, axis=-2)


def project(
    points: Float[AnyArray, "*#n P 3"], lidar2img: Float[AnyArray, "*#n 4 4"]
) -> tuple[Float[Array, "*#n P 2"], Float[Array, "*#n P"]]:
    """Pixels (u, v) of LiDAR points and their depth in meters. Leading axes broadcast.

    Depth is clamped to MIN_DEPTH in the division only, as VAD does; the caller masks what is not deeper.
    """
    homogeneous = jnp.concatenate([points, jnp.ones_like(points[..., :1])], axis=-1)
    image = jnp.einsum("...ij,...pj->...pi", lidar2img, homogeneous, precision="highest")
    depth = image[..., 2]
    return image[..., :2] / jnp.maximum(depth, MIN_DEPTH)[..., None], depth
