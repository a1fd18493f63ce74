"""Shapes made of flat faces: the geometry of cars, people and signal heads in their own frame.

A shape's frame has x forward, y left, z up, in meters, with the origin on the ground below the center. A shape is a set
of convex `parts`: within a part no face occludes another once back faces are culled. Parts are painted in the order of
(level, distance): lower levels first, and within a level the farther part first. Details (windows, lamps, plates) lie
within a face of their part and are painted in the order in which they were added.
A face carries a `Material`, not a color: its color depends on the agent, the lamps that are on, and the lighting.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

MAX_CORNERS = 8


class Material(IntEnum):
    """What a face is made of; the values index the tables of `colors.py`."""

    PAINT = 0
    TRIM = 1
    GLASS = 2
    TIRE = 3
    RIM = 4
    PLATE = 5
    TAIL_LAMP = 6
    LEFT_LAMP = 7
    RIGHT_LAMP = 8
    HEAD_LAMP = 9
    CARGO = 10
    SKIN = 11
    HAIR = 12
    SHIRT = 13
    TROUSERS = 14
    SHOES = 15
    ORANGE = 16
    WHITE = 17
    POLE = 18
    HOUSING = 19
    RED_LAMP = 20
    YELLOW_LAMP = 21
    GREEN_LAMP = 22
    BARK = 23
    LEAVES = 24


class Shape(NamedTuple):
    """F faces of one object, in its own frame.

    corners [F, 8, 3] (the last corner repeated), normals [F, 3] outward, materials [F], levels [F], part_centers [F,
    3], is_detail [F]: the face lies within another one, so it does not change the silhouette.
    """

    corners: np.ndarray
    normals: np.ndarray
    materials: np.ndarray
    levels: np.ndarray
    part_centers: np.ndarray
    is_detail: np.ndarray


class ShapeBuilder:
    """Collects parts and faces; `shape()` pads them to arrays."""

    def __init__(self):
        self._parts = []

    def part(self, level: int) -> None:
        """Start a convex part at `level`; faces added from now on belong to it."""
        self._parts.append((level, []))

    def face(self, material: Material, corners, is_detail: bool = False) -> None:
        """Add a flat convex face of 3 to 8 corners [n, 3], in order around it (either way round)."""
        self._parts[-1][1].append((material, np.asarray(corners, np.float64), is_detail))

    def extrude(self, material: Material, profile, y0: float, y1: float, inset: float = 0.0) -> None:
        """A convex side view [(x, z), ...] extruded from y0 to y1; both sides lean in by `inset` towards the top."""
        profile = np.asarray(profile, np.float64)
        low, high = profile[:, 1].min(), profile[:, 1].max()
        narrow = inset * (profile[:, 1] - low) / (high - low)
        right = np.stack([profile[:, 0], y0 + narrow, profile[:, 1]], -1)
        left = np.stack([profile[:, 0], y1 - narrow, profile[:, 1]], -1)
        self.face(material, right)
        self.face(material, left)
        for i in range(len(profile)):
            j = (i + 1) % len(profile)
            self.face(material, [right[i], right[j], left[j], left[i]])

    def frustum(self, material: Material, bottom, top) -> list[np.ndarray]:
        """A box whose bottom (x0, x1, y0, y1, z) and top differ. Returns its sides: front, left, back, right."""
        low, high = _rectangle(*bottom), _rectangle(*top)
        sides = [np.array([low[i], low[(i + 1) % 4], high[(i + 1) % 4], high[i]]) for i in range(4)]
        for side in sides:
            self.face(material, side)
        self.face(material, high)
        self.face(material, low)
        return sides

    def box(self, material: Material, x0, x1, y0, y1, z0, z1) -> list[np.ndarray]:
        """An upright box. Returns its sides: front, left, back, right."""
        return self.frustum(material, (x0, x1, y0, y1, z0), (x0, x1, y0, y1, z1))

    def column(self, material: Material, x, y, radius, z0, z1, top_radius=None, sides: int = 6) -> None:
        """An upright prism of `sides` sides around (x, y), tapering to top_radius."""
        top_radius = radius if top_radius is None else top_radius
        angle = np.arange(sides) * (2 * np.pi / sides)
        ring = np.stack([np.cos(angle), np.sin(angle)], -1)
        low = np.concatenate([ring * radius + (x, y), np.full((sides, 1), z0)], -1)
        high = np.concatenate([ring * top_radius + (x, y), np.full((sides, 1), z1)], -1)
        for i in range(sides):
            j = (i + 1) % sides
            self.face(material, [low[i], low[j], high[j], high[i]])
        self.face(material, high)

    def patch(self, material: Material, side: np.ndarray, u0: float, u1: float, v0: float, v1: float) -> None:
        """A detail on the four-cornered `side` (bottom 0, 1, then top), spanning [u0, u1] along and [v0, v1] up."""
        along_low, along_high = side[1] - side[0], side[2] - side[3]

        def at(u, v):
            return (1 - v) * (side[0] + u * along_low) + v * (side[3] + u * along_high)

        self.face(material, [at(u0, v0), at(u1, v0), at(u1, v1), at(u0, v1)], is_detail=True)

    def disc(self, material: Material, center, radius: float, axis: int = 1, is_detail: bool = False) -> None:
        """An eight-cornered disc around `center`, flat along `axis` (0 x, 1 y)."""
        points = np.insert(octagon(radius), axis, 0.0, axis=1)
        self.face(material, np.asarray(center) + points, is_detail)

    def shape(self) -> Shape:
        """Everything added so far as one padded `Shape`; normals point away from the center of their part."""
        corners, normals, materials, levels, centers, details = [], [], [], [], [], []
        for level, faces in self._parts:
            center = np.concatenate([points for _, points, _ in faces]).mean(axis=0)
            for material, points, is_detail in faces:
                normal = _normal(points)
                if normal @ (points.mean(axis=0) - center) < 0:
                    normal = -normal
                corners.append(np.concatenate([points, np.repeat(points[-1:], MAX_CORNERS - len(points), axis=0)]))
                normals.append(normal)
                materials.append(material)
                levels.append(level)
                centers.append(center)
                details.append(is_detail)
        return Shape(
            np.array(corners, np.float32),
            np.array(normals, np.float32),
            np.array(materials, np.int64),
            np.array(levels, np.int64),
            np.array(centers, np.float32),
            np.array(details, bool),
        )


def octagon(radius: float) -> np.ndarray:
    """Corners [8, 2] of an octagon whose left, right, upper and lower sides lie at 0.96 `radius` from its center."""
    angle = (np.arange(MAX_CORNERS) + 0.5) * (2 * np.pi / MAX_CORNERS)
    return 0.96 * radius / np.cos(np.pi / MAX_CORNERS) * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _rectangle(x0, x1, y0, y1, z) -> np.ndarray:
    """Corners so that the sides between them are front, left, back, right, each starting at its right-hand end."""
    return np.array([(x1, y0, z), (x1, y1, z), (x0, y1, z), (x0, y0, z)], np.float64)


def _normal(points: np.ndarray) -> np.ndarray:
    """Unit normal of a flat polygon [n, 3] (Newell's method). Raises ValueError for a polygon without area."""
    following = np.roll(points, -1, axis=0)
    normal = np.cross(points, following).sum(axis=0)
    length = np.linalg.norm(normal)
    if length < 1e-9:
        raise ValueError(f"a face without area: {points.tolist()}")
    return normal / length
