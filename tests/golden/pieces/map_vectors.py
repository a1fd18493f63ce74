"""Golden piece `map_vectors`: vertex orders of map lines, and the lines cut out of a global map.

Lines of a local map are compared one to one when they come in the reference's order, else each with its nearest
(rings may start at another vertex in another geometry library): the error is that of the better vertex order.
"""

import numpy as np
from pyquaternion import Quaternion
from shapely.geometry import LineString, Polygon

from data_prep import map_lines
from dima_jax.data.targets import NUM_ORDERS, vertex_orders
from tests.golden.check import Check, close

RANGE = (-15.0, -30.0), (15.0, 30.0)  # meters


def check(folder):
    for path in sorted(folder.glob("*.npz")):
        golden = np.load(path)
        yield path.name, list(_lines(golden) if "shifts_v2" in golden.files else _local_maps(golden))


def _lines(golden):
    shifts, points = [], []
    for vertices, count in zip(golden["vertices__f64"], golden["num_vertices"], strict=True):
        orders = np.clip(vertex_orders(vertices[:count], golden["pts20"].shape[1]), *RANGE)
        points.append(orders[0])
        padding = np.full((NUM_ORDERS - len(orders), *orders.shape[1:]), -10000.0)
        shifts.append(np.concatenate([orders, padding]))
    yield close("pts20", np.array(points), golden["pts20"], 1e-5)
    yield close("shifts_v2", np.array(shifts), golden["shifts_v2"], 1e-5)
    low, high = (reduce(golden["vertices__f64"], axis=1) for reduce in (np.nanmin, np.nanmax))
    yield close("bbox", np.clip(np.concatenate([low, high], axis=1), *np.tile(RANGE, 2)), golden["bbox"], 1e-5)


def _local_maps(golden):
    for case in sorted({name.split("/")[0] for name in golden.files}):
        get = lambda name, case=case: golden[f"{case}/{name}"]  # noqa: E731
        ours = map_lines.local_lines(_layers(get), _pose(get))
        count = [sum(label == c for label, _ in ours) - int((get("labels") == c).sum()) for c in range(3)]
        yield Check(f"{case}/lines per class", float(np.abs(count).max()), 0.0)
        errors = [_distance(ours, label, line[:n]) for label, line, n in _golden_lines(get)]
        yield Check(f"{case}/line_vertices", max(errors, default=0.0), 1e-6)
        points = [
            _distance(ours, label, line, len(line)) for label, line in zip(get("labels"), get("pts20"), strict=True)
        ]
        yield Check(f"{case}/pts20", max(points, default=0.0), 1e-4)


def _golden_lines(get):
    return zip(get("labels"), get("line_vertices__f64"), get("line_num_vertices"), strict=True)


def _distance(ours, label, line, num_points=None):
    """Largest coordinate difference to the nearest line of ours with this label, over its vertex orders."""
    best = np.inf
    for _, vertices in (item for item in ours if item[0] == label):
        starts = [vertices]
        if (vertices[0] == vertices[-1]).all():
            rings = [np.roll(vertices[:-1], i, axis=0) for i in range(len(vertices) - 1)]
            starts = [np.concatenate([ring, ring[:1]]) for ring in rings]
        if num_points is not None:
            starts = [np.clip(vertex_orders(start, num_points)[0], *RANGE) for start in starts]
        best = min([best, *(np.abs(start - line).max() for start in starts if start.shape == line.shape)])
    return float(best)


def _layers(get):
    shapes = {name: [] for name in (*map_lines.LINE_LAYERS, *map_lines.POLYGON_LAYERS)}
    layers = zip(get("map_layer_names"), get("map_layer_vertices__f64"), get("map_layer_num"), strict=True)
    for name, vertices, count in layers:
        shape = LineString if name in map_lines.LINE_LAYERS else Polygon
        shapes[str(name)].append(shape(vertices[:count]))
    return {name: map_lines.layer(geometries) for name, geometries in shapes.items()}


def _pose(get):
    pose = Quaternion(get("lidar2global_quat_wxyz__f64")).transformation_matrix
    pose[:3, 3] = get("lidar2global_translation__f64")
    return pose
