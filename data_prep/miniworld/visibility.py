"""Visibility of 3D boxes: their 2D boxes in the images, their occlusion, and the LiDAR points inside them.

All arrays are float64 world meters unless named otherwise; the ground is z = 0. `count_points` expects boxes that stand
on the ground.
"""

import numpy as np

NEAR = 0.2  # m; edges are clipped at this depth before they are projected
GROUND = 0.05  # m; lower points belong to the road
EDGE = 1e-3  # m; tolerance for points on the surface of a box
# corners as (length, width, height) signs, and the twelve edges between them
CORNER_SIGNS = np.array([[sx, sy, sz] for sx in (1, -1) for sy in (1, -1) for sz in (0, 1)], float)
EDGES = np.array([(a, b) for a in range(8) for b in range(a) if (CORNER_SIGNS[a] != CORNER_SIGNS[b]).sum() == 1])
# points of a box that are tested for occlusion: fractions of half length, half width, height
HEIGHTS = (0.25, 0.6, 0.95)
PROBES = np.array([[sx, sy, sz] for sx in (-0.8, 0, 0.8) for sy in (-0.8, 0, 0.8) for sz in HEIGHTS], float)


class Boxes:
    """Upright boxes as arrays: center_xy [A, 2], axes [A, 2, 2] (rows: forward, left), half [A, 2], bottom, height [A].

    things: objects with x, y, yaw, length, width, height; bottom: meters from the ground to the lower ends of the
    boxes, one number or one for each.
    """

    def __init__(self, things, bottom=0.0):
        agents = list(things)
        yaw = np.array([agent.yaw for agent in agents], float)
        forward = np.stack([np.cos(yaw), np.sin(yaw)], -1)
        self.center_xy = np.array([(agent.x, agent.y) for agent in agents], float).reshape(-1, 2)
        self.axes = np.stack([forward, np.stack([-forward[:, 1], forward[:, 0]], -1)], 1)
        self.half = np.array([(agent.length, agent.width) for agent in agents], float).reshape(-1, 2) / 2
        self.height = np.array([agent.height for agent in agents], float)
        self.bottom = np.broadcast_to(np.asarray(bottom, float), len(agents))

    def points(self, fractions):
        """World points [A, P, 3] at fractions [P, 3] of (half length, half width, height)."""
        local = fractions[None, :, :2] * self.half[:, None]
        xy = self.center_xy[:, None] + np.einsum("apk,akx->apx", local, self.axes)
        z = self.bottom[:, None] + fractions[None, :, 2] * self.height[:, None]
        return np.concatenate([xy, z[..., None]], -1)

    def to_local(self, points):
        """World points [P, 3] in the frame of each box [A, P, 3]: forward and left of its center, above the ground."""
        xy = np.einsum("apx,akx->apk", points[None, :, :2] - self.center_xy[:, None], self.axes)
        return np.concatenate([xy, np.broadcast_to(points[None, :, 2:], (*xy.shape[:2], 1))], -1)


def count_points(boxes, points):
    """Number of points [P, 3] (world) inside each box, its surface included: int [A]."""
    points = points[points[:, 2] > GROUND]
    points = points[np.argsort(points[:, 0], kind="stable")]
    reach = np.hypot(*boxes.half.T) + EDGE
    first = np.searchsorted(points[:, 0], boxes.center_xy[:, 0] - reach)
    last = np.searchsorted(points[:, 0], boxes.center_xy[:, 0] + reach)
    counts = np.zeros(len(boxes.height), int)
    for index in np.flatnonzero(last > first):
        near = points[first[index] : last[index]]
        local = np.abs((near[:, :2] - boxes.center_xy[index]) @ boxes.axes[index].T)
        inside = (local <= boxes.half[index] + EDGE).all(-1) & (near[:, 2] <= boxes.height[index] + EDGE)
        counts[index] = np.count_nonzero(inside)
    return counts


def visible_fraction(boxes, origin, walls, blockers=None):
    """Fraction [A] of each box that is visible from `origin` [3], by rays to points spread over it.

    walls [W, 2, 2]: ground lines of buildings, taken as higher than any ray; blockers: `Boxes` on the ground that
    occlude what is behind them; None: the boxes themselves, each all others.
    """
    if not len(boxes.height):
        return np.zeros(0)
    probes = boxes.points(PROBES)  # A P 3
    columns = probes[:, :: len(HEIGHTS), :2]  # points above each other are behind the same walls
    hidden = np.repeat(_behind_walls(columns.reshape(-1, 2), origin[:2], walls), len(HEIGHTS)).reshape(probes.shape[:2])
    may_hide = _may_hide(boxes if blockers is None else blockers, boxes, origin)
    if blockers is None:
        blockers = boxes
        np.fill_diagonal(may_hide, False)
    by, of = np.nonzero(may_hide)
    start = blockers.to_local(np.asarray(origin, float)[None])[by]  # pairs 1 3
    offset = (probes[of, :, :2] - blockers.center_xy[by, None]) @ blockers.axes[by].transpose(0, 2, 1)
    step = np.concatenate([offset, probes[of, :, 2:]], -1) - start
    step = np.where(np.abs(step) < 1e-9, 1e-9, step)
    low = np.stack([-blockers.half[:, 0], -blockers.half[:, 1], np.zeros(len(blockers.height))], -1)
    high = np.stack([blockers.half[:, 0], blockers.half[:, 1], blockers.height], -1)
    first, second = (low[by, None] - start) / step, (high[by, None] - start) / step
    enter, leave = np.minimum(first, second).max(-1), np.maximum(first, second).min(-1)
    np.logical_or.at(hidden, of, (enter < leave) & (leave > 0) & (enter < 1))
    return 1 - hidden.mean(-1)


def _may_hide(blockers, boxes, origin):
    """Whether a box of `blockers` is not behind one of `boxes`, and overlaps it, by their round outlines: bool [O, A]."""

    def outline(group):
        offset, radius = group.center_xy - origin[:2], np.hypot(*group.half.T)
        distance = np.hypot(*offset.T)
        angle = np.arctan2(offset[:, 1], offset[:, 0])
        width = np.arcsin(np.minimum(radius / np.maximum(distance, radius), 1))
        return distance, radius, angle, np.where(distance > radius, width, np.pi)  # inside it, a box may be anywhere

    (distance, radius, angle, width), (far, far_radius, far_angle, far_width) = outline(blockers), outline(boxes)
    apart = np.abs((angle[:, None] - far_angle + np.pi) % (2 * np.pi) - np.pi)
    is_nearer = (distance - radius)[:, None] < far + far_radius
    return is_nearer & (apart <= width[:, None] + far_width)


def _behind_walls(points, origin, walls):
    """Whether the segment from origin [2] to each point [P, 2] crosses a wall [W, 2, 2]: bool [P]."""
    if not len(walls):
        return np.zeros(len(points), bool)

    def side(a, b, c):
        return (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])

    one, two, end = walls[None, :, 0], walls[None, :, 1], points[:, None]
    separates = side(origin, end, one) * side(origin, end, two) < 0
    return (separates & (side(one, two, origin) * side(one, two, end) < 0)).any(-1)


def image_boxes(boxes, world_to_image, size):
    """2D boxes in N cameras: [N, A, 4] as x1, y1, x2, y2 in pixels, clipped to the image; NaN for boxes outside it.

    world_to_image: [N, 3, 4], intrinsics times world-to-camera; size: (width, height).
    """
    corners = boxes.points(CORNER_SIGNS)
    corners = np.concatenate([corners, np.ones((*corners.shape[:2], 1))], -1)
    seen = np.einsum("nij,apj->napi", world_to_image, corners)
    a, b = seen[:, :, EDGES[:, 0]], seen[:, :, EDGES[:, 1]]
    span = b[..., 2] - a[..., 2]
    cut = np.clip((NEAR - a[..., 2]) / np.where(np.abs(span) < 1e-9, 1e-9, span), 0, 1)[..., None]
    middle = a + cut * (b - a)
    ends = np.concatenate([np.where(a[..., 2:] < NEAR, middle, a), np.where(b[..., 2:] < NEAR, middle, b)], 2)
    in_front = ends[..., 2:] >= NEAR - 1e-6
    pixels = ends[..., :2] / np.maximum(ends[..., 2:], NEAR)
    low = np.clip(np.where(in_front, pixels, np.inf).min(2), 0, size)
    high = np.clip(np.where(in_front, pixels, -np.inf).max(2), 0, size)
    empty = (high <= low).any(-1, keepdims=True)
    return np.where(empty, np.nan, np.concatenate([low, high], -1))
