"""Where BEV cells are: pillars, their projections into the cameras, the ego motion between two frames.

Cells are row-major: rows run along y (row 0 is behind), columns along x (column 0 is left). x, y and z are normalized
to [0, 1] over pc_range = (x, y, z of the low corner, x, y, z of the high corner), in meters. Axis letter here: z points
of a pillar.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from dima_jax.geometry import cell_centers, project


def pillars(bev_shape: tuple[int, int], pc_range, count: int) -> np.ndarray:
    """`count` points above every cell center, normalized: [z, YX, 3].

    Equal steps in height, from 0.5 m above the bottom of the range to 0.5 m below its top.
    """
    height = pc_range[5] - pc_range[2]
    z = np.linspace(0.5, height - 0.5, count, dtype=np.float32) / np.float32(height)
    xy = cell_centers(bev_shape)
    xy = np.broadcast_to(xy, (count, *xy.shape))
    return np.concatenate([xy, np.broadcast_to(z[:, None, None], (*xy.shape[:2], 1))], axis=-1)


def project_pillars(
    lidar2img: Float[Array, "B N 4 4"], points: np.ndarray, pc_range, image_shape: tuple[int, int]
) -> tuple[Float[Array, "B N YX z 2"], Bool[Array, "B N YX z"]]:
    """Where each pillar point is in each image, (u, v) as shares of the padded width and height; and if it is visible.

    points: from `pillars`, [z, YX, 3]. image_shape: (rows, columns) of the padded image. Visible: depth > 1e-5 m and u,
    v strictly inside (0, 1). Coordinates of other points may be large but are finite (VAD modules/encoder.py,
    `point_sampling`).
    """
    low, high = np.asarray(pc_range[:3], np.float32), np.asarray(pc_range[3:], np.float32)
    meters = points * (high - low) + low
    count, cells, _ = points.shape
    pixels, depth = project(meters.reshape(1, 1, -1, 3), lidar2img)
    uv = pixels / jnp.asarray([image_shape[1], image_shape[0]], jnp.float32)
    visible = (depth > 1e-5) & ((uv > 0.0) & (uv < 1.0)).all(axis=-1)
    lead = lidar2img.shape[:2]
    uv = jnp.swapaxes(uv.reshape(*lead, count, cells, 2), 2, 3)
    return uv, jnp.swapaxes(visible.reshape(*lead, count, cells), 2, 3)


def ego_shift(can_bus: Float[Array, "B 18"], pc_range) -> Float[Array, "B 2"]:
    """(x, y) by which the reference points move for the ego's displacement, as shares of pc_range.

    can_bus[0:2] is the displacement in global axes, can_bus[16] the absolute yaw in radians (docs/vad.md#ego-motion).
    """
    dx, dy, yaw = can_bus[:, 0], can_bus[:, 1], can_bus[:, 16]
    forward = dx * jnp.cos(yaw) + dy * jnp.sin(yaw)  # L cos(yaw - atan2(dy, dx))
    left = dx * jnp.sin(yaw) - dy * jnp.cos(yaw)  # L sin(yaw - atan2(dy, dx))
    return jnp.stack([left / (pc_range[3] - pc_range[0]), forward / (pc_range[4] - pc_range[1])], axis=-1)


def rotate_bev(
    bev: Float[Array, "B YX D"], angle_deg: Float[Array, " B"], bev_shape: tuple[int, int], center: tuple[int, int]
) -> Float[Array, "B YX D"]:
    """The BEV rotated as an image, counter-clockwise when displayed with row 0 on top, about the pixel `center` (x, y).

    Nearest neighbor, zero fill: torchvision's `rotate` on tensors, in its order of float32 operations. Quirk Q1: VAD
    always rotates about (100, 100), the middle of Base's 200 x 200 grid, but the far corner of Tiny's 100 x 100.
    """
    rows, columns = bev_shape
    angle = -angle_deg[:, None] * (math.pi / 180.0)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    cx, cy = center[0] - 0.5 * columns, center[1] - 0.5 * rows
    x = np.tile(np.arange(columns, dtype=np.float32) + np.float32(0.5 - 0.5 * columns), rows)
    y = np.repeat(np.arange(rows, dtype=np.float32) + np.float32(0.5 - 0.5 * rows), columns)
    shift_x = cx - cx * cos - cy * sin
    shift_y = cy + cx * sin - cy * cos
    grid_x = x * (cos / (0.5 * columns)) + y * (sin / (0.5 * columns)) + shift_x / (0.5 * columns)
    grid_y = x * (-sin / (0.5 * rows)) + y * (cos / (0.5 * rows)) + shift_y / (0.5 * rows)
    source_x = jnp.round(((grid_x + 1.0) * columns - 1.0) / 2.0)
    source_y = jnp.round(((grid_y + 1.0) * rows - 1.0) / 2.0)
    inside = (source_x >= 0) & (source_x < columns) & (source_y >= 0) & (source_y < rows)
    column = jnp.clip(source_x, 0, columns - 1).astype(jnp.int32)
    row = jnp.clip(source_y, 0, rows - 1).astype(jnp.int32)
    cell = row * columns + column
    moved = jax.vmap(lambda cells, index: cells.at[index].get(mode="promise_in_bounds"))(bev, cell)
    return jnp.where(inside[..., None], moved, 0.0)
