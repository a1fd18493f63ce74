"""Houses along the streets of the town: rectangles behind the sidewalks, the same ones at every call."""

import numpy as np
import shapely
from shapely.geometry import LineString, Polygon, box

SETBACK = 1.5  # meters between sidewalk and house front
SEED = 20


def place_buildings(
    sidewalks: list[LineString], keep_free: shapely.Geometry, size: tuple[float, float]
) -> tuple[tuple[np.ndarray, float], ...]:
    """Houses on the right-hand side of every sidewalk, as (outline [4, 2], height), meters.

    sidewalks: center lines in driving direction, so that the blocks of the town lie to the right. keep_free: all roads
    and walkways; no house comes closer than a meter. Houses stay inside [0, size] and do not overlap.
    """
    rng = np.random.default_rng(SEED)
    blocked = keep_free.buffer(1.0)
    shapely.prepare(blocked)
    bounds = box(0.0, 0.0, *size)
    houses: list[tuple[Polygon, float]] = []
    for line in sidewalks:
        front = 1.25 + SETBACK
        start = 2.0
        while start < line.length - 8.0:
            width, depth = rng.uniform(9.0, 22.0), rng.uniform(9.0, 15.0)
            height, gap = rng.choice([5.0, 7.5, 10.0, 13.0, 17.0]) + rng.uniform(-1.0, 1.0), rng.uniform(0.8, 6.0)
            house = _house(line, start, width, front, depth)
            start += width + gap
            clear = bounds.contains(house) and not blocked.intersects(house)
            if clear and all(house.distance(other) > 0.8 for other, _ in houses):
                houses.append((house, float(height)))
    return tuple((np.asarray(house.exterior.coords)[:-1], height) for house, height in houses)


def _house(line: LineString, start: float, width: float, front: float, depth: float) -> Polygon:
    """A rectangle whose front is `width` long and lies `front` meters right of the line."""
    a = np.asarray(line.interpolate(start).coords[0])
    b = np.asarray(line.interpolate(min(start + width, line.length)).coords[0])
    along = (b - a) / np.hypot(*(b - a))
    right = np.array([along[1], -along[0]])
    near_a, near_b = a + right * front, a + along * width + right * front
    return Polygon([near_a, near_b, near_b + right * depth, near_a + right * depth])
