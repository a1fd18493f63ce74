"""The map around the ego as lines in its LiDAR frame, from the nuScenes map expansion (docs/vad.md#map-lines).

Classes (`constants.MAP_CLASSES`): divider, the lines of `road_divider` and `lane_divider`; ped_crossing, the outlines
of the union of the crossings; boundary, the outlines of the union of `road_segment` and `lane` polygons. Outlines run
clockwise, holes counter-clockwise; a closed line repeats its first vertex. All lines are clipped to 30 m (x) by 60 m
(y) around the LiDAR; crossings keep a margin of 0.2 m beyond that patch, boundaries stay 0.2 m inside it, so that the
edge of the patch is not taken for a curb.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import shapely
from shapely import affinity, ops
from shapely.errors import ShapelyError
from shapely.geometry import MultiLineString, Polygon
from shapely.geometry.base import BaseGeometry

from dima_jax.constants import MAP_CLASSES

PATCH_WIDTH, PATCH_LENGTH, MARGIN = 30.0, 60.0, 0.2  # meters: x, y, and see above
DIVIDER, PED_CROSSING, BOUNDARY = (MAP_CLASSES.index(name) for name in ("divider", "ped_crossing", "boundary"))
LINE_LAYERS = ("road_divider", "lane_divider")
POLYGON_LAYERS = ("road_segment", "lane", "ped_crossing")


class Layer(NamedTuple):
    """One map layer: its geometries (global, meters) in the order of the file, and an index over them."""

    geometries: np.ndarray
    index: shapely.STRtree


def layer(geometries) -> Layer:
    """A Layer of shapely geometries; empty and invalid ones, and None, are left out."""
    kept = np.array([g for g in geometries if g is not None and g.is_valid and not g.is_empty], dtype=object)
    return Layer(kept, shapely.STRtree(kept))


def shape(make: Callable[..., BaseGeometry], *arguments) -> BaseGeometry | None:
    """make(*arguments), None where shapely refuses: a line of one node, an outline of one or two."""
    try:
        return make(*arguments)
    except (ShapelyError, ValueError):
        return None


def read_layers(nusc_map) -> dict[str, Layer]:
    """The five layers of one `NuScenesMap` that the lines are made from."""
    layers = {
        name: layer([shape(nusc_map.extract_line, row["line_token"]) for row in getattr(nusc_map, name)])
        for name in LINE_LAYERS
    }
    for name in POLYGON_LAYERS:
        layers[name] = layer([shape(nusc_map.extract_polygon, row["polygon_token"]) for row in getattr(nusc_map, name)])
    return layers


def local_lines(layers: dict[str, Layer], lidar2global: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """(class, vertices [n, 2] float64 in the LiDAR frame) of every line in the patch around the pose [4, 4]."""
    clipped = _clipped(layers, lidar2global, PATCH_WIDTH, PATCH_LENGTH)
    lines = [(DIVIDER, line) for name in LINE_LAYERS for part in clipped(name) for line in _lines(part)]
    crossings = ops.unary_union(clipped("ped_crossing"))
    inside = _box(PATCH_WIDTH + 2 * MARGIN, PATCH_LENGTH + 2 * MARGIN)
    lines += [(PED_CROSSING, line) for line in _outlines(crossings, inside)]
    lines += [(BOUNDARY, line) for line in _boundaries(clipped, PATCH_WIDTH, PATCH_LENGTH)]
    return [(label, np.array(line.coords)) for label, line in lines]


def local_boundaries(layers: dict[str, Layer], pose: np.ndarray, width: float, length: float) -> list[np.ndarray]:
    """Vertices [n, 2] float64 of every boundary in a patch of `width` (x) by `length` (y) meters around a pose [4, 4]."""
    return [np.array(line.coords) for line in _boundaries(_clipped(layers, pose, width, length), width, length)]


def _clipped(layers: dict[str, Layer], pose: np.ndarray, width: float, length: float) -> Callable[[str], list]:
    """Gives the parts of a layer, by its name, that lie in a patch around a pose [4, 4], in the frame of the pose."""
    yaw = math.atan2(pose[1, 0], pose[0, 0])
    x, y = pose[:2, 3]
    patch = affinity.rotate(_box(width, length), yaw, origin=(0, 0), use_radians=True)
    patch = affinity.translate(patch, x, y)
    cos, sin = math.cos(yaw), math.sin(yaw)
    to_local = (cos, sin, -sin, cos, -(cos * x + sin * y), sin * x - cos * y)

    def clipped(name: str) -> list:
        found = layers[name]
        hits = found.geometries[np.sort(found.index.query(patch, predicate="intersects"))]
        parts = shapely.intersection(hits, patch)
        moved = [affinity.affine_transform(part, to_local) for part in parts if not part.is_empty]
        return [
            part if part.is_valid else shapely.make_valid(part) for part in moved
        ]  # rotation can make a thin tip intersect itself

    return clipped


def _boundaries(clipped: Callable[[str], list], width: float, length: float) -> list:
    """The outlines of the roads in a patch, without the edge of the patch itself."""
    roads = ops.unary_union([ops.unary_union(clipped("road_segment")), ops.unary_union(clipped("lane"))])
    return _outlines(roads, _box(width - 2 * MARGIN, length - 2 * MARGIN))


def _box(width: float, length: float) -> Polygon:
    """A rectangle around the origin whose vertices start where the devkit's patch starts."""
    x, y = width / 2, length / 2
    return shapely.box(-x, -y, x, y)


def _lines(geometry) -> list:
    """The LineStrings in any geometry; points, where a line only touches the patch, are dropped."""
    if geometry.geom_type in ("LineString", "LinearRing"):
        return [] if geometry.is_empty else [geometry]
    return [line for part in getattr(geometry, "geoms", ()) for line in _lines(part)]


def _outlines(area, inside: Polygon) -> list:
    """Rings of a (multi)polygon, clockwise outside and counter-clockwise in holes, clipped to `inside`."""
    polygons = [p for p in getattr(area, "geoms", [area]) if p.geom_type == "Polygon" and not p.is_empty]
    rings = [_turned(p.exterior, False) for p in polygons]
    rings += [_turned(ring, True) for p in polygons for ring in p.interiors]
    lines = []
    for ring in rings:
        cut = ring.intersection(inside)
        if isinstance(cut, MultiLineString):
            cut = ops.linemerge(cut)
        lines += _lines(cut)
    return lines


def _turned(ring, counter_clockwise: bool):
    return ring if ring.is_ccw == counter_clockwise else ring.reverse()
