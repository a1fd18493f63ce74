"""The map around a scene, as far as rules need it: the road, the directions of lanes, stop lines that must not be crossed."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from jaxtyping import Bool, Float

from dima_jax.categories import AREA_LAYERS, LIGHT_STATES
from dima_jax.scoring.frames import area_shape
from dima_jax.scoring.recorded import Truth

DRIVABLE, LANE, GREEN = AREA_LAYERS.index("drivable_area"), AREA_LAYERS.index("lane"), LIGHT_STATES.index("green")
AGAINST = np.cos(np.radians(143))  # a heading against a lane's direction


class Ground:
    """The areas of one place of a truth, global coordinates."""

    def __init__(self, truth: Truth, place: int):
        self._truth, self._here = truth, truth.area_location == place

    @cached_property
    def _surface(self) -> shapely.Geometry:
        rows = np.flatnonzero(self._here & (self._truth.area_layer == DRIVABLE))
        surface = shapely.union_all([area_shape(self._truth, row) for row in rows.tolist()])
        shapely.prepare(surface)
        return surface

    @cached_property
    def _lanes(self) -> tuple[shapely.STRtree, list[Float[np.ndarray, "n 2"]]]:
        """The polygons of the lanes that have centerlines, connectors left out, and the centerlines."""
        shapes, lines = [], []
        for number, row in enumerate(self._truth.center_lane.tolist()):
            if self._here[row] and self._truth.area_layer[row] == LANE:
                shapes.append(area_shape(self._truth, row))
                lines.append(self._truth.center_vertices[slice(*self._truth.center_start[number : number + 2])])
        return shapely.STRtree(shapes), lines

    def on_road(self, points: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
        """Which points are on the drivable area."""
        return shapely.intersects_xy(self._surface, points)

    def against(self, points: Float[np.ndarray, "n 2"], yaw: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Which points are in a lane of the other direction, for a vehicle with this heading."""
        tree, lines = self._lanes
        found = np.zeros(len(points), bool)
        for point, lane in tree.query(shapely.points(points), predicate="intersects").T.tolist():
            steps = np.diff(lines[lane], axis=0)
            middle = (lines[lane][1:] + lines[lane][:-1]) / 2
            x, y = steps[np.argmin(np.linalg.norm(middle - points[point], axis=-1))]
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
    return {place: Ground(truth, place) for place in range(len(truth.location_names))} if truth.has("areas") else {}


def closed_lines(truth: Truth, frame: int) -> list[shapely.Geometry]:
    """The stop lines near frame `frame` of a truth whose lights are not green; [] where lights are not known."""
    if truth.light_start is None:
        return []
    rows = slice(*truth.light_start[frame : frame + 2])
    return [area_shape(truth, line) for line in truth.light_stop_line[rows][truth.light_state[rows] != GREEN].tolist()]
