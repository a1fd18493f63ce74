"""The ground of the whole town as one top-down label image, drawn once; each scene colors it by a palette.

`GroundMap.labels` holds one byte per cell of RESOLUTION x RESOLUTION meters: the upper four bits are the `Surface`, the
lower four a fixed noise. A scene's palette of 256 colors therefore turns labels into textured ground with one table
look-up, and another weather or lighting needs no new drawing.
Row r, column c show world (x, y) = ((c + 0.5), (r + 0.5)) * RESOLUTION; y grows with the row.
"""

from enum import IntEnum

import cv2
import numpy as np
import shapely

from data_prep.miniworld.world.state import Lane, Polygon, Town

RESOLUTION = 0.1  # meters a cell
SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates
DASH, GAP = 3.0, 4.5  # lane divider, meters
STRIPE = 0.5  # zebra stripe and gap, meters
ARROW_SETBACK = 9.0  # from the end of the lane to the tip of its arrow, meters


class Surface(IntEnum):
    """What the ground is made of."""

    GRASS = 0
    ASPHALT = 1
    TAR = 2
    WALKWAY = 3
    JOINT = 4
    CURB = 5
    WHITE = 6
    YELLOW = 7
    YARD = 8
    IRON = 9


class GroundMap:
    """The ground of one town. labels: uint8 [rows, columns], see above."""

    def __init__(self, town: Town):
        columns, rows = (int(np.ceil(length / RESOLUTION)) for length in town.size)
        self._surface = np.full((rows, columns), Surface.GRASS, np.uint8)
        self._rng = np.random.default_rng(7)
        self._yards(town)
        self._walkways(town)
        self._roads(town)
        self._markings(town)
        self.labels = (self._surface << 4) | _noise(rows, columns, self._rng)
        del self._surface, self._rng

    def _fill(self, surface: Surface, outline: np.ndarray) -> None:
        cv2.fillPoly(self._surface, [_fixed(outline)], int(surface), cv2.LINE_8, SHIFT)

    def _line(self, surface: Surface, points: np.ndarray, width: float, closed: bool = False) -> None:
        thickness = max(1, round(width / RESOLUTION))
        cv2.polylines(self._surface, [_fixed(points)], closed, int(surface), thickness, cv2.LINE_8, SHIFT)

    def _area(self, surface: Surface, polygons: list[Polygon] | tuple[Polygon, ...]) -> None:
        """Fill polygons without their holes."""
        rings = [_fixed(ring) for p in polygons for ring in (p.exterior, *p.holes)]
        cv2.fillPoly(self._surface, rings, int(surface), cv2.LINE_8, SHIFT)

    def _yards(self, town: Town) -> None:
        for outline, _ in town.buildings:
            grown = shapely.Polygon(outline).buffer(1.2, join_style="mitre")
            self._fill(Surface.YARD, np.asarray(grown.exterior.coords))

    def _walkways(self, town: Town) -> None:
        """Slabs with joints every 1.5 m along x and y."""
        mask = np.zeros_like(self._surface)
        rings = [[_fixed(ring) for ring in (p.exterior, *p.holes)] for p in town.walkways]
        for polygon in rings:
            cv2.fillPoly(mask, polygon, 1, cv2.LINE_8, SHIFT)
        slab = round(1.5 / RESOLUTION)
        pattern = np.full((slab, slab), Surface.WALKWAY, np.uint8)
        pattern[0], pattern[:, 0] = Surface.JOINT, Surface.JOINT
        rows, columns = mask.shape
        tiled = np.tile(pattern, (rows // slab + 1, columns // slab + 1))[:rows, :columns]
        np.copyto(self._surface, tiled, where=mask.astype(bool))

    def _roads(self, town: Town) -> None:
        """Asphalt with curbs, repaired patches and manhole covers."""
        self._area(Surface.ASPHALT, town.drivable)
        for polygon in town.drivable:
            for ring in (polygon.exterior, *polygon.holes):
                self._line(Surface.CURB, ring, 0.25, closed=True)
        for lane in town.lanes.values():
            length = _length(lane.centerline)
            for _ in range(self._rng.poisson(length / 45.0)):
                start, extent = self._rng.uniform(0.0, length), self._rng.uniform(1.0, 7.0)
                width = self._rng.uniform(0.2, 0.45) * lane.width
                self._fill(Surface.TAR, _strip(lane.centerline, start, start + extent, width, self._rng.normal(0, 0.5)))
            for _ in range(self._rng.poisson(length / 60.0)):
                center, _ = _at(lane.centerline, self._rng.uniform(0.0, length))
                cv2.circle(self._surface, tuple(_fixed(center)), 3 << SHIFT, int(Surface.IRON), -1, cv2.LINE_8, SHIFT)

    def _markings(self, town: Town) -> None:
        for line in town.lane_dividers:
            for start in np.arange(0.0, _length(line) - DASH, DASH + GAP):
                self._fill(Surface.WHITE, _strip(line, start, start + DASH, 0.16))
        for line in town.road_dividers:
            self._line(Surface.YELLOW, line, 0.2)
        for polygon, _ in town.stop_lines:
            self._fill(Surface.WHITE, polygon.exterior)
        for polygon, _ in town.crossings:
            self._fill(Surface.ASPHALT, polygon.exterior)
            for stripe in _zebra(polygon.exterior):
                self._fill(Surface.WHITE, stripe)
        for lane in town.lanes.values():
            if not lane.is_connector and _length(lane.centerline) > 3 * ARROW_SETBACK:
                for part in _arrow(lane, town):
                    self._fill(Surface.WHITE, part)


def palette(base: dict[Surface, tuple[int, int, int]], roughness: dict[Surface, float]) -> np.ndarray:
    """The 256 colors of a scene, uint8 BGR [256, 1, 3]: the base color of each surface plus noise in +-roughness."""
    table = np.zeros((16, 16, 3), np.float64)
    noise = (np.arange(16) - 7.5) / 7.5
    for surface, color in base.items():
        table[surface] = np.asarray(color, np.float64) + (noise * roughness[surface])[:, None]
    return np.clip(np.round(table), 0, 255).astype(np.uint8).reshape(256, 1, 3)


def _fixed(points: np.ndarray) -> np.ndarray:
    """World points [..., 2] to OpenCV's fixed-point cell coordinates."""
    return np.round((np.asarray(points) / RESOLUTION - 0.5) * (1 << SHIFT)).astype(np.int32)


def _noise(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Fixed noise, uint8 0 to 15 [rows, columns]: fine grain over patches of one and of six meters."""
    grain = rng.normal(0.0, 1.0, (1024, 1024)).astype(np.float32)
    for cells, weight in ((102, 1.0), (17, 1.0)):
        patches = rng.normal(0.0, 1.0, (cells, cells)).astype(np.float32)
        grain += weight * cv2.resize(patches, (1024, 1024), interpolation=cv2.INTER_CUBIC)
    tile = np.clip(np.round(7.5 + 2.6 * grain), 0, 15).astype(np.uint8)
    return np.tile(tile, (rows // 1024 + 1, columns // 1024 + 1))[:rows, :columns]


def _length(line: np.ndarray) -> float:
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def _at(line: np.ndarray, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """The point `distance` meters along the line, and the unit direction there."""
    steps = np.hypot(*np.diff(line, axis=0).T)
    ends = np.cumsum(steps)
    i = min(int(np.searchsorted(ends, distance)), len(steps) - 1)
    direction = (line[i + 1] - line[i]) / steps[i]
    return line[i + 1] - direction * (ends[i] - distance), direction


def _strip(line: np.ndarray, start: float, stop: float, width: float, offset: float = 0.0) -> np.ndarray:
    """The quadrilateral [4, 2] of this width along the line from start to stop, `offset` meters to its left."""
    corners = []
    for distance, sides in ((start, (-1, 1)), (min(stop, _length(line)), (1, -1))):
        point, direction = _at(line, distance)
        left = np.array([-direction[1], direction[0]])
        corners += [point + left * (offset + side * width / 2) for side in sides]
    return np.array(corners)


def _zebra(outline: np.ndarray) -> list[np.ndarray]:
    """The stripes of a crossing, parallel to the traffic."""
    box = np.asarray(shapely.Polygon(outline).minimum_rotated_rectangle.exterior.coords)[:4]
    if np.hypot(*(box[1] - box[0])) < np.hypot(*(box[2] - box[1])):
        box = np.roll(box, -1, axis=0)
    length = np.hypot(*(box[1] - box[0]))
    along, across = (box[1] - box[0]) / length, box[3] - box[0]
    return [
        np.array([p := box[0] + along * s, p + along * STRIPE, p + along * STRIPE + across, p + across])
        for s in np.arange(STRIPE / 2, length - STRIPE, 2 * STRIPE)
    ]


def _arrow(lane: Lane, town: Town) -> list[np.ndarray]:
    """Convex pieces of the lane's direction arrow: a shaft, and a branch with a head for each possible direction."""
    tip, ahead = _at(lane.centerline, _length(lane.centerline) - ARROW_SETBACK)
    left = np.array([-ahead[1], ahead[0]])
    turns = set()
    for successor in lane.successors:
        path = town.lanes[successor].centerline
        out = path[-1] - path[-2]
        turn = np.arctan2(left @ out, ahead @ out)
        if abs(turn) < 2.6:  # no arrow for a U-turn
            turns.add(0 if abs(turn) < 0.6 else int(np.sign(turn)))
    parts = []
    for turn in sorted(turns):
        if turn == 0:
            parts += [_bar(tip - ahead * 3.0, tip - ahead * 1.2, 0.18), _head(tip, ahead)]
        else:
            elbow, side = tip - ahead * 2.4, left * turn
            bend = elbow + side * 0.45 + ahead * 0.55
            parts += [_bar(elbow - ahead * 0.05, bend, 0.22), _bar(bend - side * 0.05, bend + side * 0.25, 0.2)]
            parts.append(_head(bend + side * 1.25, side))
    if parts:
        parts.append(_bar(tip - ahead * 5.0, tip - ahead * 2.35, 0.18))
    return parts


def _head(tip: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """The triangle of an arrow that points to `tip`."""
    base, side = tip - ahead * 1.2, np.array([-ahead[1], ahead[0]]) * 0.48
    return np.array([tip, base + side, base - side])


def _bar(start: np.ndarray, stop: np.ndarray, width: float) -> np.ndarray:
    direction = (stop - start) / np.hypot(*(stop - start))
    left = np.array([-direction[1], direction[0]]) * width / 2
    return np.array([start - left, start + left, stop + left, stop - left])
