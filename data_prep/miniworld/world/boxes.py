"""Oriented boxes on the ground: their corners, and whether they overlap (separating axis test), on arrays."""

import numpy as np


def corners(center: np.ndarray, yaw: np.ndarray, length: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Corners [..., 4, 2] of boxes: center [..., 2], yaw, length and width [...]; meters, radians."""
    ahead = np.stack([np.cos(yaw), np.sin(yaw)], axis=-1) * (np.asarray(length)[..., None] / 2)
    left = np.stack([-np.sin(yaw), np.cos(yaw)], axis=-1) * (np.asarray(width)[..., None] / 2)
    return np.stack([center + ahead + left, center + ahead - left, center - ahead - left, center - ahead + left], -2)


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether boxes with corners a and b [..., 4, 2] overlap, elementwise [...]; touching or NaN boxes do not."""
    apart = np.zeros(np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), dtype=bool)
    for box in (a, b):
        for side in (box[..., 0, :] - box[..., 1, :], box[..., 1, :] - box[..., 2, :]):
            on_a, on_b = np.einsum("...ij,...j->...i", a, side), np.einsum("...ij,...j->...i", b, side)
            apart |= (on_a.max(-1) <= on_b.min(-1)) | (on_b.max(-1) <= on_a.min(-1))
    missing = np.isnan(a).any((-2, -1)) | np.isnan(b).any((-2, -1))
    return ~apart & ~missing
