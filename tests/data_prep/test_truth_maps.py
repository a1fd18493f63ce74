"""Curbs, areas and centerlines of a street drawn by hand and of the mini world's town."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from shapely.geometry import Polygon

from data_prep import truth_maps
from data_prep.miniworld import map_expansion
from data_prep.miniworld.world.town import load_town
from dima_jax.categories import AREA_LAYERS
from dima_jax.errors import UserError
from dima_jax.scoring import truth
from dima_jax.scoring.recorded import GROUPS
from tests import tiny_root
from tests.scoring.fake import pose

PLACE = "singapore-onenorth"


def straight(x, y, length):
    return {
        "start_pose": [x, y, 0.0],
        "end_pose": [x + length, y, 0.0],
        "shape": "LSL",
        "radius": 999.999,
        "segment_length": [0.0, length, 0.0],
    }


def street():
    """A street of 200 x 12 m along x around (300, 900) with a hole, a lane, a connector without polygon behind it."""
    content = tiny_root._street(300.0, 900.0)

    def polygon(token, points, holes=()):
        names = []
        for outline in (points, *holes):
            names.append([f"{token}-{len(names)}-{i}" for i in range(len(outline))])
            content["node"] += [
                {"token": name, "x": x, "y": y} for name, (x, y) in zip(names[-1], outline, strict=True)
            ]
        holes = [{"node_tokens": one} for one in names[1:]]
        content["polygon"].append({"token": token, "exterior_node_tokens": names[0], "holes": holes})
        return token

    def box(x0, y0, x1, y1):
        return [(300 + x, 900 + y) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]

    area = polygon("pd", box(-100, -6, 100, 6), [box(10, -1, 12, 1)])
    content["drivable_area"].append({"token": "d", "polygon_tokens": [area, "p0"]})
    crossing = polygon("pi", box(100, -6, 120, 6))
    content["road_segment"].append({"token": "i", "polygon_token": crossing, "is_intersection": True})
    lane = {"token": "l", "polygon_token": polygon("pl", box(-100, -6, 100, 0)), "lane_type": "CAR"}
    lane |= {"from_edge_line_token": "l0", "to_edge_line_token": "l0"}
    content["lane"].append(lane | {f"{side}_lane_divider_segments": [] for side in ("left", "right")})
    content["lane_connector"].append({"token": "k", "polygon_token": "absent"})
    for token, x in (("s", 97), ("far", 297)):
        row = {"token": token, "polygon_token": polygon(f"p{token}", box(x, -6, x + 3, 0)), "stop_line_type": "YIELD"}
        content["stop_line"].append(row | {"ped_crossing_tokens": [], "traffic_light_tokens": []})
    content["arcline_path_3"] = {"l": [straight(200.0, 897.0, 200.0)], "k": [straight(400.0, 897.0, 20.0)]}
    content["connectivity"] = {"l": {"incoming": [], "outgoing": ["k"]}, "k": {"incoming": ["l"], "outgoing": ["z"]}}
    return content


def made(tmp_path, name, content, poses):
    folder = tmp_path / "maps" / "expansion"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(content))
    arrays = {
        "tokens": np.array([f"t{i}" for i in range(len(poses))]),
        "scene": np.zeros(len(poses), np.int32),
        "scene_names": np.array(["a"]),
        "location": np.zeros(len(poses), np.int16),
        "location_names": np.array([name]),
        "ego2global": np.stack(poses),
        "lidar2ego": np.stack(poses),
    }
    found = truth_maps.add(arrays, SimpleNamespace(path=tmp_path))
    assert set(found) == {*GROUPS["curbs"], *GROUPS["areas"]}
    truth.check(arrays | found)
    return SimpleNamespace(**found)


def rings(found, row):
    numbers = range(*found.area_ring_start[row : row + 2])
    return [found.ring_vertices[slice(*found.ring_vertex_start[i : i + 2])] for i in numbers]


def test_areas_of_the_street(tmp_path):
    found = made(tmp_path, PLACE, street(), [pose(300.0, 900.0, 0.0), pose(350.0, 900.0, 0.0)])
    layers = [AREA_LAYERS[one] for one in found.area_layer]
    assert list(zip(layers, found.area_token.tolist(), strict=True)) == [
        ("drivable_area", "d"),
        ("drivable_area", "d"),
        ("road_segment", "r0"),
        ("intersection", "i"),
        ("lane", "l"),
        ("lane_connector", "k"),
        ("stop_line", "s"),
    ]
    assert found.ring_is_hole.tolist() == [False, True] + [False] * 6
    outer, hole = rings(found, 0)
    assert shapely.area(Polygon(outer, [hole])) == pytest.approx(2400 - 4)
    assert outer.min(axis=0).tolist() == [200, 894] and hole.max(axis=0).tolist() == [312, 901]
    connector = Polygon(rings(found, 5)[0])
    assert connector.bounds == pytest.approx((400, 895.25, 420, 898.75))
    assert found.center_lane.tolist() == [4, 5] and found.center_successors.tolist() == [1]
    assert found.center_successor_start.tolist() == [0, 1, 1] and found.center_start.tolist() == [0, 201, 222]
    np.testing.assert_allclose(found.center_vertices[:201, 0], np.arange(200.0, 401.0), atol=1e-6)
    np.testing.assert_allclose(found.center_vertices[:, 1], 897.0, atol=1e-6)


def test_areas_far_from_the_ego_are_left_out(tmp_path):
    found = made(tmp_path, PLACE, street(), [pose(525.0, 900.0, 0.0)])
    assert found.area_token.tolist() == ["far"] and len(found.center_lane) == 0


def test_curbs_lie_in_the_ego_frame(tmp_path):
    """Edges of the street, from one side of the patch to the other; ahead is along the street in neither frame."""
    for heading, along in ((0.0, 0), (np.pi / 2, 1)):
        found = made(tmp_path, PLACE, street(), [pose(300.0, 901.0, heading)])
        assert found.curb_start.tolist() == [0, 2]
        sides = np.abs(np.abs(found.curb_vertices[:, 1 - along]) - 6.0)
        np.testing.assert_allclose(sides, 1.0, atol=1e-4)
        assert found.curb_vertices[:, along].max() == pytest.approx(51.0, abs=1e-3)
        assert found.curb_vertices[:, along].min() == pytest.approx(-51.0, abs=1e-3)


def test_a_centerline_follows_its_arc_at_one_meter():
    arc = {"start_pose": [0.0, 0.0, 0.0], "end_pose": [10.0, 10.0, np.pi / 2], "shape": "LSL", "radius": 10.0}
    line = truth_maps.centerline([arc | {"segment_length": [5 * np.pi, 0.0, 0.0]}, straight(10.0, 10.0, 0.0)])
    np.testing.assert_allclose(np.hypot(line[:, 0], line[:, 1] - 10.0), 10.0, atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(np.diff(line, axis=0), axis=1), 1.0, atol=0.03)
    np.testing.assert_allclose(line[[0, -1]], [[0, 0], [10, 10]], atol=1e-6)


def test_the_town_of_the_mini_world(tmp_path):
    """Lanes hold their centerlines, which go on where they end; roads and crossings are within the drivable area."""
    town = load_town()
    lanes = list(town.lanes.values())
    poses = [pose(*lane.centerline[0], 0.0) for lane in lanes]
    found = made(tmp_path, map_expansion.LOCATION, map_expansion.expansion(town), poses)
    assert len(found.center_lane) == len(lanes)
    shapes = [Polygon(first, others) for first, *others in (rings(found, row) for row in range(len(found.area_layer)))]
    for i, row in enumerate(found.center_lane):
        line = found.center_vertices[slice(*found.center_start[i : i + 2])]
        assert shapely.contains(shapes[row].buffer(0.2), shapely.points(line)).all()
        for other in found.center_successors[slice(*found.center_successor_start[i : i + 2])]:
            np.testing.assert_allclose(line[-1], found.center_vertices[found.center_start[other]], atol=1e-6)
    drivable = shapes[found.area_layer.tolist().index(AREA_LAYERS.index("drivable_area"))].buffer(0.1)
    roads = np.isin(found.area_layer, [AREA_LAYERS.index(name) for name in ("road_segment", "intersection", "lane")])
    assert max(shapes[row].difference(drivable).area for row in np.flatnonzero(roads)) < 0.1  # square meters
    assert len(found.center_successors) == sum(len(lane.successors) for lane in lanes)


def test_a_map_without_centerlines_is_named(tmp_path):
    content = street()
    del content["arcline_path_3"]
    with pytest.raises(UserError, match=r"singapore-onenorth\.json: no whole map expansion"):
        made(tmp_path, PLACE, content, [pose(300.0, 900.0, 0.0)])
