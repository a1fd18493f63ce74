"""The map around a scene, as far as rules need it: the road, the directions of lanes, lights that are not green."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from jaxtyping import Bool, Float

from dima_jax.categories import AREA_LAYERS, LIGHT_STATES
from dima_jax.scoring.frames import area_shape
from dima_jax.scoring.recorded import Truth

DRIVABLE, LANE, GREEN = AREA_LAYERS.index("drivable_area"), AREA_LAYERS.index("lane"), LIGHT_STATES.index("green")
AGAINST = np.cos(np.radians(143))  # of the angle between a heading and a lane that it is against


@dataclass(frozen=True, eq=False)
class Ground:
    """One place, global coordinates. surface: the drivable area; lanes: their polygons, without connectors; lines: their
    centerlines [n, 2] in driving direction.
    """

    surface: shapely.Geometry
    lanes: list[shapely.Geometry]
    lines: list[Float[np.ndarray, "n 2"]]

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.lanes)

    def on_road(self, points: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
        """Which points are on the drivable area."""
        shapely.prepare(self.surface)
        return shapely.intersects_xy(self.surface, points)

    def against(self, points: Float[np.ndarray, "n 2"], yaw: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Which points are in a lane of the other direction, for a vehicle with this heading."""
        found = np.zeros(len(points), bool)
        for point, lane in self._tree.query(shapely.points(points), predicate="intersects").T.tolist():
            line = self.lines[lane]
            nearest = np.argmin(np.linalg.norm((line[1:] + line[:-1]) / 2 - points[point], axis=-1))
            x, y = line[nearest + 1] - line[nearest]
            found[point] |= np.cos(np.arctan2(y, x) - yaw[point]) < AGAINST
        return found


@dataclass(frozen=True, eq=False)
class Roads:
    """ground: of the scene's place; closed: at each key frame, the stop lines near it whose lights are not green."""

    ground: Ground
    closed: list[list[shapely.Geometry]]

    def is_closed(self, frame: int, way: Float[np.ndarray, "m 2"]) -> bool:
        """Whether a path crosses a stop line whose light is yellow or red at key frame `frame`."""
        lines = self.closed[frame]
        return bool(lines) and len(way) > 1 and bool(shapely.intersects(shapely.LineString(way), lines).any())


def grounds(truth: Truth) -> dict[int, Ground]:
    """{place: its ground}; {} for a truth without areas."""
    if not truth.has("areas"):
        return {}
    return {place: _ground(truth, truth.area_location == place) for place in range(len(truth.location_names))}


def _ground(truth: Truth, here: Bool[np.ndarray, " areas"]) -> Ground:
    drivable = np.flatnonzero(here & (truth.area_layer == DRIVABLE)).tolist()
    is_lane = here & (truth.area_layer == LANE)
    numbers = np.flatnonzero(is_lane[truth.center_lane]).tolist()
    return Ground(
        surface=shapely.union_all([area_shape(truth, row) for row in drivable]),
        lanes=[area_shape(truth, row) for row in truth.center_lane[numbers].tolist()],
        lines=[truth.center_vertices[slice(*truth.center_start[number : number + 2])] for number in numbers],
    )


def closed_lines(truth: Truth, frame: int) -> list[shapely.Geometry]:
    """The stop lines near frame `frame` of a truth whose lights are not green; [] where lights are not known."""
    if truth.light_start is None:
        return []
    rows = slice(*truth.light_start[frame : frame + 2])
    return [area_shape(truth, line) for line in truth.light_stop_line[rows][truth.light_state[rows] != GREEN].tolist()]
