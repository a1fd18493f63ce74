"""The made-up drives agree with themselves: futures with later frames, plans with the recorded path, the ego with its road."""

import numpy as np
import pytest
import shapely

from dima_jax.categories import AREA_LAYERS
from dima_jax.scoring.recorded import GROUPS
from tests.scoring.fake import fake_plans, fake_truth


@pytest.fixture(scope="module")
def truth():
    return fake_truth()


def to_global(truth, i, points, frame="lidar"):
    matrix = truth.ego2global[i] @ (truth.lidar2ego[i] if frame == "lidar" else np.eye(4))
    return points @ matrix[:2, :2].T + matrix[:2, 3]


def test_all_groups_are_there_and_seeds_differ(truth):
    assert truth.has(*GROUPS) and len(truth.tokens) == 36
    assert fake_truth().header == truth.header
    assert fake_truth(seed=1).header["content_hash"] != truth.header["content_hash"]
    assert (
        np.isnan(truth.boxes[:, 7]).any()
        and (truth.lidar_points == 0).any()
        and (truth.instance[:3] == [0, 1, 2]).all()
    )


def test_paths_lead_to_the_later_poses(truth):
    for i in range(len(truth.tokens)):
        for k in np.flatnonzero(truth.path_mask[i]):
            for frame, path, yaw, ahead in (
                ("lidar", truth.path, truth.path_yaw, np.pi / 2),
                ("ego", truth.ego_path, truth.ego_path_yaw, 0.0),
            ):
                later = to_global(truth, i + k + 1, np.zeros(2), frame)
                np.testing.assert_allclose(to_global(truth, i, path[i, k], frame), later, atol=1e-4)
                turn = yaw[i, k] - ahead
                pose, future = truth.ego2global[i], truth.ego2global[i + k + 1]
                expected = np.arctan2(future[1, 0], future[0, 0]) - np.arctan2(pose[1, 0], pose[0, 0])
                assert abs(np.angle(np.exp(1j * (turn - expected)))) < 1e-5
    np.testing.assert_array_equal(truth.future_valid, truth.path_mask.all(axis=1))


def test_futures_lead_to_the_later_annotations(truth):
    followed = 0
    for i in range(len(truth.tokens)):
        for row in range(truth.agent_start[i], truth.agent_start[i + 1]):
            at = truth.boxes[row, :2] + np.cumsum(truth.future_offsets[row], axis=0)
            heading = -truth.boxes[row, 6] - np.pi / 2 + np.cumsum(truth.future_yaw[row])
            for k in np.flatnonzero(truth.future_mask[row]):
                later = slice(*truth.agent_start[i + k + 1 : i + k + 3])
                (same,) = np.flatnonzero(truth.instance[later] == truth.instance[row]) + later.start
                there = to_global(truth, i + k + 1, truth.boxes[same, :2])
                np.testing.assert_allclose(to_global(truth, i, at[k]), there, atol=1e-3)
                turned = truth.path_yaw[i, k] - np.pi / 2
                difference = heading[k] - (-truth.boxes[same, 6] - np.pi / 2) - turned
                assert abs(np.angle(np.exp(1j * difference))) < 1e-4
                followed += 1
    assert followed > 1000


def test_plans_without_noise_are_the_recorded_path(truth):
    plans = fake_plans(truth, noise=0.0)
    np.testing.assert_allclose(plans.lidar[1, ..., :2], truth.path, atol=1e-5)
    np.testing.assert_allclose(plans.lidar[1, ..., 2], truth.path_yaw, atol=1e-5)
    np.testing.assert_allclose(plans.ego[0, ..., :2], truth.ego_path, atol=1e-5)
    noisy = fake_plans(truth, noise=0.5)
    moved = noisy.ego[0, ..., :2] - truth.ego_path
    assert 0.4 < moved[:, 1].std() < 0.6  # after a second
    np.testing.assert_allclose(
        np.linalg.norm(noisy.lidar[0, ..., :2] - truth.path, axis=-1), np.linalg.norm(moved, axis=-1), atol=1e-5
    )


def polygons(truth, layer):
    rows = np.flatnonzero(truth.area_layer == AREA_LAYERS.index(layer))
    ends = (
        truth.ring_vertex_start[truth.area_ring_start[rows]],
        truth.ring_vertex_start[truth.area_ring_start[rows] + 1],
    )
    return [shapely.Polygon(truth.ring_vertices[a:b]) for a, b in zip(*ends, strict=True)]


def test_the_ego_is_on_its_road_and_in_a_lane(truth):
    road = shapely.union_all(polygons(truth, "drivable_area"))
    lanes = shapely.union_all(polygons(truth, "lane") + polygons(truth, "lane_connector"))
    where = shapely.points(truth.ego2global[:, :2, 3])
    assert shapely.contains(road, where).all() and shapely.contains(lanes, where).all()
    assert all(polygon.is_valid for layer in AREA_LAYERS for polygon in polygons(truth, layer))
    assert all(len(polygons(truth, layer)) for layer in AREA_LAYERS)


def test_centerlines_lie_in_their_lanes_and_lead_on(truth):
    lanes = polygons(truth, "lane")
    starts = truth.center_start
    for row in range(len(truth.center_lane)):
        line = truth.center_vertices[starts[row] : starts[row + 1]]
        np.testing.assert_allclose(np.linalg.norm(np.diff(line, axis=0), axis=1), 1.0, atol=0.1)
        for successor in truth.center_successors[slice(*truth.center_successor_start[row : row + 2])]:
            np.testing.assert_allclose(line[-1], truth.center_vertices[starts[successor]], atol=1e-6)
    first = truth.center_vertices[starts[0] : starts[1]]
    assert shapely.contains(lanes[0].buffer(0.01), shapely.points(first)).all()
    stop = set(np.flatnonzero(truth.area_layer == AREA_LAYERS.index("stop_line")))
    assert set(truth.light_stop_line) == stop
