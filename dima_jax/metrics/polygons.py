"""Oriented boxes on the ground: corners, and which agent's box an ego's box meets first.

A box is (x, y, heading, length, width): meters, radians counterclockwise from +x. Boxes that touch meet, as in shapely.
"""

import numpy as np
import shapely
from jaxtyping import Bool, Float, Int

NONE = np.iinfo(np.int64).max
EXACT_BELOW = 1e-6  # meters between two boxes under which rounding could decide, so that shapely does


def corners(boxes: Float[np.ndarray, "n 5"]) -> Float[np.ndarray, "n 4 2"]:
    """Front left, front right, rear right, rear left."""
    x, y, heading, length, width = (boxes[:, i, None] for i in range(5))
    sides = np.array([[1, 1, -1, -1], [1, -1, -1, 1]], boxes.dtype)  # single precision stays single
    along, across = length / 2 * sides[0], width / 2 * sides[1]
    cos, sin = np.cos(heading), np.sin(heading)
    return np.stack([x + (cos * along - sin * across), y + (sin * along + cos * across)], axis=-1)


def separation(a: Float[np.ndarray, "n 5"], b: Float[np.ndarray, "n 5"]) -> Float[np.ndarray, " n"]:
    """The widest gap between the boxes of each pair along the sides of either; negative = they overlap (meters)."""
    between = b[:, :2] - a[:, :2]
    turn = b[:, 2] - a[:, 2]
    cos, sin = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    gaps = []
    for one, other in ((a, b), (b, a)):
        along, across = np.cos(one[:, 2]), np.sin(one[:, 2])
        length, width = other[:, 3] * cos + other[:, 4] * sin, other[:, 3] * sin + other[:, 4] * cos
        gaps.append(np.abs(between[:, 0] * along + between[:, 1] * across) - (one[:, 3] + length) / 2)
        gaps.append(np.abs(between[:, 1] * along - between[:, 0] * across) - (one[:, 4] + width) / 2)
    return np.max(gaps, axis=0)


def meet(a: Float[np.ndarray, "n 5"], b: Float[np.ndarray, "n 5"]) -> Bool[np.ndarray, " n"]:
    """Whether the boxes of each pair have a point in common. False where a number is NaN."""
    gap = separation(a, b)
    result = gap < 0
    close = np.flatnonzero(np.abs(gap) < EXACT_BELOW)
    if len(close):
        result[close] = shapely.intersects(*(shapely.polygons(corners(boxes[close])) for boxes in (a, b)))
    return result


def first_met(
    ego: Float[np.ndarray, "P F 5"],
    boxes: Float[np.ndarray, "B 5"],
    step: Int[np.ndarray, " B"],
    rows: Int[np.ndarray, " B"],
) -> Int[np.ndarray, "P F"]:
    """Of the agents whose box an ego's box meets at a step, the lowest row; -1 = none. step, rows: of each agent's box."""
    at_step = ego[:, step]  # [P, B, 5]
    reach = (np.hypot(ego[..., 3], ego[..., 4])[:, step] + np.hypot(boxes[:, 3], boxes[:, 4])) / 2 + EXACT_BELOW
    plan, box = np.nonzero(np.hypot(*np.moveaxis(at_step[..., :2] - boxes[:, :2], -1, 0)) <= reach)
    met = meet(at_step[plan, box], boxes[box])
    result = np.full(ego.shape[:2], NONE)
    np.minimum.at(result, (plan[met], step[box[met]]), rows[box[met]])
    return np.where(result == NONE, -1, result)
