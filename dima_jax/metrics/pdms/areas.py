"""Where on the map the corners of the ego's box are: drivable area compliance (DAC) and driving direction (DDC).

Global coordinates. B drives, T samples; six points each: the corners of the box, its center and the rear axle.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import shapely
from jaxtyping import Bool, Float, Int

from dima_jax.categories import AREA_LAYERS
from dima_jax.metrics.pdms.tracker import DT
from dima_jax.scoring.frames import Same, area_shape
from dima_jax.scoring.recorded import Truth

DRIVABLE = ("drivable_area", "road_segment", "intersection", "lane", "lane_connector", "carpark_area")
LANES = ("lane", "lane_connector")
CORNERS, CENTER, REAR = slice(0, 4), 4, 5  # of the six points
WINDOW = round(1.0 / DT)  # samples over which wrong-way travel is summed
WRONG_WAY = ((6.0, 0.0), (2.0, 0.5))  # meters from which on DDC is this


class Map(NamedTuple):
    """The areas of one place: their rows in the truth, indices of AREA_LAYERS, prepared shapes, (x0, y0, x1, y1)."""

    rows: Int[np.ndarray, " M"]
    layer: Int[np.ndarray, " M"]
    shapes: list[shapely.Geometry]
    bounds: Float[np.ndarray, "M 4"]


class Flags(NamedTuple):
    """Of B drives at T samples. several_lanes: corners in two lanes or more, no lane holds all four; off_road: a corner
    on no drivable area; crossing: point by point, in an intersection. in_lane: {row of a lane: its center is inside}."""

    several_lanes: Bool[np.ndarray, "B T"]
    off_road: Bool[np.ndarray, "B T"]
    crossing: Bool[np.ndarray, "B T 6"]
    in_lane: dict[int, Bool[np.ndarray, "B T"]]


def read(truth: Truth, place: int) -> Map:
    """The map of a place, made once."""
    return _read(Same(truth.ring_vertices, truth), place)


@lru_cache(maxsize=16)
def _read(areas: Same, place: int) -> Map:
    truth = areas.truth
    rows = np.flatnonzero(truth.area_location == place)
    shapes = [area_shape(truth, row) for row in rows.tolist()]
    kept = [i for i, shape in enumerate(shapes) if not shape.is_empty]
    shapes = [shapes[i] for i in kept]
    for shape in shapes:
        shapely.prepare(shape)
    return Map(rows[kept], truth.area_layer[rows[kept]], shapes, shapely.bounds(shapes).reshape(-1, 4))


def has(found: Map, *layers: str) -> bool:
    """Whether any area is of one of these layers."""
    return bool(np.isin(found.layer, _indices(layers)).any())


def flags(found: Map, points: Float[np.ndarray, "B T 6 2"]) -> Flags:
    """Which areas the points are in; a point on a border is inside."""
    shape = points.shape[:3]
    x, y = points.reshape(-1, 2).T
    with_corner, with_all = np.zeros(shape[:2], int), np.zeros(shape[:2], bool)
    drivable, crossing = np.zeros(shape, bool), np.zeros(shape, bool)
    in_lane = {}
    low, high = points.min(axis=(0, 1, 2)), points.max(axis=(0, 1, 2))
    near = (found.bounds[:, :2] <= high).all(axis=1) & (found.bounds[:, 2:] >= low).all(axis=1)
    roads, lanes, crossings = (
        np.isin(found.layer, _indices(layers)) for layers in (DRIVABLE, LANES, ("intersection",))
    )
    for number in np.flatnonzero(near & roads):
        x0, y0, x1, y1 = found.bounds[number]
        around = np.flatnonzero((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))
        if not len(around):
            continue
        within = np.zeros(len(x), bool)
        within[around] = shapely.intersects_xy(found.shapes[number], x[around], y[around])
        within = within.reshape(shape)
        drivable |= within
        if crossings[number]:
            crossing |= within
        if lanes[number]:
            with_corner += within[..., CORNERS].any(axis=-1)
            with_all |= within[..., CORNERS].all(axis=-1)
            in_lane[int(found.rows[number])] = within[..., CENTER]
    off_road = ~drivable[..., CORNERS].all(axis=-1)
    return Flags((with_corner > 1) & ~with_all, off_road, crossing, in_lane)


def drivable_compliance(told: Flags) -> Float[np.ndarray, " B"]:
    """1 for a drive whose corners are on drivable area at every sample, else 0."""
    return 1.0 - told.off_road.any(axis=1)


def direction_compliance(
    told: Flags, centers: Float[np.ndarray, "B T 2"], on_route: frozenset[int]
) -> Float[np.ndarray, " B"]:
    """1, 0.5 or 0 by the travel of the center in no lane of the route, the worst of any second; intersections are free.

    on_route: rows of the areas.
    """
    legal = told.crossing[..., CENTER].copy()
    for row, inside in told.in_lane.items():
        if row in on_route:
            legal |= inside
    travel = np.linalg.norm(np.diff(centers, axis=1, prepend=centers[:, :1]), axis=-1)
    total = np.cumsum(np.where(legal, 0.0, travel), axis=1)
    before = np.concatenate([np.zeros((len(total), WINDOW + 1)), total[:, : -WINDOW - 1]], axis=1)
    worst = (total - before).max(axis=1)
    return np.select([worst >= limit for limit, _ in WRONG_WAY], [value for _, value in WRONG_WAY], 1.0)


def _indices(layers: tuple[str, ...]) -> list[int]:
    return [AREA_LAYERS.index(name) for name in layers]
