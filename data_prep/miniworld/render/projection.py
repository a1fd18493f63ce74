"""Projection into one camera: frustum culling, near-plane clipping, and the order of the painter's algorithm.

Camera frame: x right, y down, z forward. Pixels: (u, v) with pixel centers at whole numbers.
"""

from dataclasses import dataclass

import numpy as np

NEAR = 0.25  # meters; depth of the near clipping plane
TOLERANCE = 0.05  # meters by which two footprints may overlap and still count as separate


@dataclass(frozen=True)
class View:
    """One camera at one instant. matrix: intrinsic [3, 3]; rotation: world to camera [3, 3]; eye: its position [3]."""

    matrix: np.ndarray
    rotation: np.ndarray
    eye: np.ndarray
    width: int
    height: int

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points [..., 3] to the camera frame."""
        kind = points.dtype
        return (points - self.eye.astype(kind)) @ self.rotation.T.astype(kind)

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Camera-frame points [..., 3], all in front, to pixels [..., 2]."""
        focal, center = np.array([self.matrix[0, 0], self.matrix[1, 1]]), self.matrix[:2, 2]
        return points[..., :2] / points[..., 2:] * focal.astype(points.dtype) + center.astype(points.dtype)

    def sees(self, centers: np.ndarray, radii: np.ndarray) -> np.ndarray:
        """Whether spheres with centers [N, 3] and radii [N] reach into the viewing frustum's sides, bool [N]."""
        x, _, z = self.to_camera(centers).T
        edges = np.array([-self.matrix[0, 2], self.width - self.matrix[0, 2]]) / self.matrix[0, 0]
        grown = radii * np.sqrt(1.0 + np.abs(edges).max() ** 2)
        return (z > NEAR - radii) & (x > edges[0] * z - grown) & (x < edges[1] * z + grown)

    def slopes(self) -> np.ndarray:
        """The ratio x / z of every image column, [width]."""
        return (np.arange(self.width) - self.matrix[0, 2]) / self.matrix[0, 0]

    def columns(self, footprints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The interval (low [N], high [N]) of x / z that each footprint [N, n, 2] covers.

        It is infinite for a footprint that reaches behind the near plane.
        """
        ground = np.concatenate([footprints, np.full((*footprints.shape[:2], 1), self.eye[2])], axis=-1)
        x, _, z = np.moveaxis(self.to_camera(ground), -1, 0)
        slope = x / np.maximum(z, NEAR)
        behind = (z < NEAR).any(axis=1)
        return np.where(behind, -np.inf, slope.min(axis=1)), np.where(behind, np.inf, slope.max(axis=1))


def clip_near(points: np.ndarray) -> np.ndarray:
    """The part [m, 3] of a polygon [n, 3] (camera frame) beyond the near plane; empty if there is none."""
    kept = []
    corners = points.tolist()
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        if a[2] >= NEAR:
            kept.append(a)
        if (a[2] >= NEAR) != (b[2] >= NEAR):
            t = (NEAR - a[2]) / (b[2] - a[2])
            kept.append([a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), NEAR])
    return np.array(kept).reshape(-1, 3)


def half_planes(footprints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outward unit normals [N, 4, 2] and offsets [N, 4] of the edges of convex footprints [N, 4, 2].

    The corners of a footprint are in order around it, clockwise or counter-clockwise.
    """
    edges = np.roll(footprints, -1, axis=1) - footprints
    lengths = np.hypot(edges[..., 0], edges[..., 1])
    normals = np.stack([edges[..., 1], -edges[..., 0]], axis=-1) / lengths[..., None]
    first, second = edges[:, 0], edges[:, 1]
    turn = np.sign(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])  # -1 where the corners run clockwise
    normals *= turn[:, None, None]
    return normals, (normals * footprints).sum(axis=-1)


def back_to_front(footprints: np.ndarray, view: View) -> np.ndarray:
    """The order [N] in which upright objects on convex footprints [N, 4, 2] have to be painted, back to front.

    Two objects that the line along an edge of either footprint separates are ordered exactly: the one on the eye's side
    of the line is not occluded by the other. Objects that share no image column have no order between them; all others
    are ordered by distance.
    """
    eye = view.eye[:2]
    near_to_far = np.hypot(*(footprints.mean(axis=1) - eye).T)
    order = np.argsort(-near_to_far, kind="stable")
    footprints = footprints[order]
    normals, offsets = half_planes(footprints)
    reach = np.einsum("iex,jcx->iecj", normals, footprints).min(axis=2) - offsets[..., None]
    separated = reach > -TOLERANCE
    eye_side = normals @ eye - offsets
    beyond = (separated & (eye_side > 0)[..., None]).any(axis=1)  # [i, j]: the eye is on j's side of an edge of i
    within = (separated & (eye_side < 0)[..., None]).any(axis=1)  # [i, j]: the eye is on i's side
    cannot_occlude = beyond | within.T
    low, high = view.columns(footprints)
    overlap = (low[:, None] < high[None]) & (low[None] < high[:, None])
    first = overlap & ~cannot_occlude.T & cannot_occlude  # [j, i]: j before i, as i may occlude j but not j i
    np.fill_diagonal(first, False)
    if not np.tril(first, -1).any():
        return order
    return order[_topological_order(first)]


def _topological_order(first: np.ndarray) -> np.ndarray:
    """Indices 0..n-1 such that j comes before i wherever first[j, i], else in ascending order; cycles are broken."""
    waiting = first.sum(axis=0)
    is_left = np.ones(len(first), bool)
    result = []
    for _ in range(len(first)):
        free = is_left & (waiting == 0)
        i = int(np.argmax(free if free.any() else is_left))
        result.append(i)
        is_left[i] = False
        waiting = waiting - first[i]
    return np.array(result)
