"""The map around recorded drives for a truth file: curbs in the ego frame, areas and centerlines in global coordinates.

Areas are polygons of the map expansion as they are there. A lane connector whose polygon is not in the file gets
the strip of LANE_WIDTH around its centerline.
"""

from typing import NamedTuple

import numpy as np
import shapely
from nuscenes.map_expansion import arcline_path_utils
from nuscenes.map_expansion.map_api import NuScenesMap
from shapely.geometry import LineString, Polygon

from data_prep import map_files, map_lines
from data_prep.scenes import Root
from dima_jax import progress
from dima_jax.categories import AREA_LAYERS
from dima_jax.data.truth_arrays import starts, texts

CURB_PATCH = 102.4  # meters: side of the square around the ego
NEAR = 80.0  # meters from where the ego was: farther areas are left out
SPACING = 1.0  # meters between vertices of a centerline
LANE_WIDTH = 3.5  # meters
SHORTEST = 1e-3  # meters: vertices of a centerline that are closer are one


class Area(NamedTuple):
    """One polygon: name of AREA_LAYERS, token of the record, shape in global coordinates."""

    layer: str
    token: str
    polygon: Polygon


class Roads(NamedTuple):
    """What is read of one map: layers of `map_lines`, areas, centerlines {lane: [n, 2]}, {lane: lanes that follow}."""

    lines: dict[str, map_lines.Layer]
    areas: list[Area]
    centers: dict[str, np.ndarray]
    successors: dict[str, list[str]]


def add(arrays: dict[str, np.ndarray], root: Root) -> dict[str, np.ndarray]:
    """The keys of the groups `curbs` and `areas` for a truth's arrays. UserError for a map that is missing or damaged."""
    roads, ego = _roads(arrays, root), arrays["ego2global"]
    frames = progress.each(range(len(ego)), len(ego), "frame", name="curbs")
    curbs = [
        map_lines.local_boundaries(roads[arrays["location"][i]].lines, ego[i], CURB_PATCH, CURB_PATCH) for i in frames
    ]
    return _curbs(curbs) | _near_areas(arrays, roads)


def areas(arrays: dict[str, np.ndarray], root: Root) -> dict[str, np.ndarray]:
    """The keys of the group `areas` alone. UserError as `add`."""
    return _near_areas(arrays, _roads(arrays, root))


def _roads(arrays: dict[str, np.ndarray], root: Root) -> list[Roads]:
    return [map_files.read(root.path, name, read) for name in arrays["location_names"].tolist()]


def _near_areas(arrays: dict[str, np.ndarray], roads: list[Roads]) -> dict[str, np.ndarray]:
    ego = arrays["ego2global"]
    near = [_near(found.areas, ego[arrays["location"] == place, :2, 3]) for place, found in enumerate(roads)]
    return _areas(roads, near)


def read(nusc_map: NuScenesMap) -> Roads:
    """What a truth needs of a map. Whatever the devkit raises for one that is not whole."""
    paths = {token: path for token, path in nusc_map.arcline_path_3.items() if path}
    centers = {token: line for token, path in paths.items() if len(line := centerline(path)) > 1}
    outgoing = {token: list(ends["outgoing"]) for token, ends in nusc_map.connectivity.items()}
    return Roads(map_lines.read_layers(nusc_map), list(_read_areas(nusc_map, centers)), centers, outgoing)


def centerline(path: list[dict]) -> np.ndarray:
    """[n, 2] float64, evenly SPACING apart or a little less or more, of a lane's arcline path; [1, 2] for no length."""
    points = np.array(arcline_path_utils.discretize_lane(path, SPACING))[:, :2]
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    points = points[np.concatenate([[True], steps > SHORTEST])]
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    count = max(round(along[-1] / SPACING), 1) + 1 if len(points) > 1 else 1
    at = np.linspace(0.0, along[-1], count)
    return np.stack([np.interp(at, along, points[:, axis]) for axis in (0, 1)], axis=-1)


def _read_areas(nusc_map: NuScenesMap, centers: dict[str, np.ndarray]):
    polygons = {row["token"] for row in nusc_map.polygon}
    sources = {name: name for name in AREA_LAYERS} | {"intersection": "road_segment"}
    for layer in AREA_LAYERS:
        for row in getattr(nusc_map, sources[layer]):
            if sources[layer] == "road_segment" and row["is_intersection"] != (layer == "intersection"):
                continue
            tokens = row["polygon_tokens"] if layer == "drivable_area" else [row.get("polygon_token")]
            for token in tokens:
                if token in polygons:
                    shape = map_lines.shape(nusc_map.extract_polygon, token)
                elif layer == "lane_connector" and row["token"] in centers:
                    shape = LineString(centers[row["token"]]).buffer(LANE_WIDTH / 2, cap_style="flat")
                else:
                    continue
                if isinstance(shape, Polygon) and not shape.is_empty:
                    yield Area(layer, row["token"], shape)


def _near(areas: list[Area], places: np.ndarray) -> list[int]:
    """Numbers of the areas within NEAR of one of the places [n, 2], in order."""
    tree = shapely.STRtree([area.polygon for area in areas])
    _, found = tree.query(shapely.points(places), predicate="dwithin", distance=NEAR)
    return np.unique(found).tolist()


def _curbs(frames: list[list[np.ndarray]]) -> dict[str, np.ndarray]:
    lines = [line for frame in frames for line in frame]
    return {
        "curb_start": starts(len(frame) for frame in frames),
        "curb_vertex_start": starts(len(line) for line in lines),
        "curb_vertices": _joined(lines).astype(np.float32),
    }


def _areas(roads: list[Roads], near: list[list[int]]) -> dict[str, np.ndarray]:
    """near: by place, the numbers of the areas that are kept."""
    kept = [(place, roads[place].areas[number]) for place, numbers in enumerate(near) for number in numbers]
    rings = [[area.polygon.exterior, *area.polygon.interiors] for _, area in kept]
    flat = [np.array(ring.coords)[:-1, :2] for group in rings for ring in group]
    centers = [
        (row, roads[place].centers[area.token], place, area.token)
        for row, (place, area) in enumerate(kept)
        if area.layer in ("lane", "lane_connector") and area.token in roads[place].centers
    ]
    number = {(place, token): index for index, (_, _, place, token) in enumerate(centers)}
    after = [
        [number[place, other] for other in roads[place].successors.get(token, ()) if (place, other) in number]
        for _, _, place, token in centers
    ]
    return {
        "area_layer": np.array([AREA_LAYERS.index(area.layer) for _, area in kept], np.int8),
        "area_location": np.array([place for place, _ in kept], np.int16),
        "area_token": texts(area.token for _, area in kept),
        "area_ring_start": starts(len(group) for group in rings),
        "ring_is_hole": np.array([hole > 0 for group in rings for hole in range(len(group))], bool),
        "ring_vertex_start": starts(len(ring) for ring in flat),
        "ring_vertices": _joined(flat),
        "center_lane": np.array([row for row, _, _, _ in centers], np.int32),
        "center_start": starts(len(line) for _, line, _, _ in centers),
        "center_vertices": _joined([line for _, line, _, _ in centers]),
        "center_successor_start": starts(len(one) for one in after),
        "center_successors": np.array([index for one in after for index in one], np.int32),
    }


def _joined(lines: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros((0, 2)), *lines])
