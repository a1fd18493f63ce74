"""Frames, projections and codes, as pure functions of arrays with any leading axes.

LiDAR frame: x right, y forward, z up, meters. `pc_range` = (x0, y0, z0, x1, y1, z1), meters (vad-spec 1 and 2).
"""

import jax.numpy as jnp


def normalize_xy(xy, pc_range):
    """Meters [..., 2] to [0, 1] inside pc_range."""
    low, high = jnp.asarray(pc_range[:2]), jnp.asarray(pc_range[3:5])
    return (xy - low) / (high - low)


def denormalize_xy(xy, pc_range):
    """[0, 1] [..., 2] to meters."""
    low, high = jnp.asarray(pc_range[:2]), jnp.asarray(pc_range[3:5])
    return xy * (high - low) + low


def inverse_sigmoid(x, eps=1e-5):
    """logit(x) with x clipped to [0, 1] and both odds to >= eps (mmdet's)."""
    x = jnp.clip(x, 0.0, 1.0)
    return jnp.log(jnp.maximum(x, eps) / jnp.maximum(1.0 - x, eps))


def encode_boxes(boxes):
    """Boxes [..., 9] (cx, cy, cz, w, l, h, yaw_box, vx, vy) to the regression code [..., 10] (vad-spec 2)."""
    cx, cy, cz, w, l, h, yaw, vx, vy = jnp.moveaxis(boxes, -1, 0)
    parts = [cx, cy, jnp.log(w), jnp.log(l), cz, jnp.log(h), jnp.sin(yaw), jnp.cos(yaw), vx, vy]
    return jnp.stack(parts, axis=-1)


def decode_boxes(codes):
    """Regression code [..., 10] to boxes [..., 9] (center of gravity)."""
    cx, cy, log_w, log_l, cz, log_h, sin, cos, vx, vy = jnp.moveaxis(codes, -1, 0)
    yaw = jnp.arctan2(sin, cos)
    parts = [cx, cy, cz, jnp.exp(log_w), jnp.exp(log_l), jnp.exp(log_h), yaw, vx, vy]
    return jnp.stack(parts, axis=-1)


def offsets_to_waypoints(offsets):
    """Per-step displacements [..., F, 2] to positions relative to the start [..., F, 2]."""
    return jnp.cumsum(offsets, axis=-2)


def project(points, lidar2img):
    """LiDAR points [..., P, 3] by matrices [..., 4, 4] to pixels [..., P, 2] and depth [..., P] (meters).

    Depth is clamped to 1e-5 in the division only, as VAD does; the caller masks depth <= 1e-5.
    """
    homogeneous = jnp.concatenate([points, jnp.ones_like(points[..., :1])], axis=-1)
    image = jnp.einsum("...ij,...pj->...pi", lidar2img, homogeneous, precision="highest")
    depth = image[..., 2]
    return image[..., :2] / jnp.maximum(depth, 1e-5)[..., None], depth
