"""Targets: who counts as an agent, what padding cuts, and the equivalent orders of a map line."""

import numpy as np
import pytest

from dima_jax.data import targets

RANGE = (-15.0, -30.0, -2.0, 15.0, 30.0, 2.0)


def agents(centers, categories=None, lidar=1, radar=0):
    n = len(centers)
    boxes = np.zeros((n, 9), np.float32)
    boxes[:, :2], boxes[:, 3:6], boxes[:, 6] = centers, (2, 4, 1.5), 4.0
    return {
        "boxes": boxes,
        "categories": categories or ["vehicle.car"] * n,
        "num_lidar_pts": np.full(n, lidar),
        "num_radar_pts": np.full(n, radar),
        "future_offsets": np.ones((n, 6, 2), np.float32),
        "future_mask": np.ones((n, 6), bool),
        "future_yaw": np.zeros((n, 6), np.float32),
    }


def test_q2_category_indices_are_those_the_planning_metric_means():
    names = ["human.pedestrian.adult", "human.pedestrian.wheelchair", "vehicle.bicycle", "vehicle.car", "vehicle.truck"]
    assert targets.category_indices(names).tolist() == [2, 8, 14, 17, 23]


def test_range_is_open_and_classes_filter():
    centers = [(15.0, 0), (14.99, 0), (0, -30.0), (0, 29.9), (1, 1)]
    names = ["vehicle.car"] * 4 + ["static_object.bicycle_rack"]
    found, cut = targets.agent_targets(agents(centers, names), "train", RANGE, 8)
    assert cut == 0
    np.testing.assert_allclose(found.boxes[found.mask][:, :2], [(14.99, 0), (0, 29.9)])
    assert found.mask.sum() == 2 and not found.boxes[2:].any()


def test_radar_counts_in_training_only():
    seen_by_radar = agents([(0, 0)], lidar=0, radar=2)
    assert targets.agent_targets(seen_by_radar, "train", RANGE, 4)[0].mask.any()
    assert not targets.agent_targets(seen_by_radar, "val", RANGE, 4)[0].mask.any()


def test_too_many_agents_keep_the_nearest_and_are_counted():
    centers = [(0, 20.0), (0, 1.0), (0, 10.0), (0, 2.0)]
    found, cut = targets.agent_targets(agents(centers), "train", RANGE, 2)
    assert cut == 2
    np.testing.assert_allclose(found.boxes[:, 1], [1, 2])


def test_yaw_is_wrapped_and_unknown_velocity_is_zero():
    group = agents([(0, 0)])
    group["boxes"][0, 7:] = np.nan
    found, _ = targets.agent_targets(group, "train", RANGE, 1)
    np.testing.assert_allclose(found.boxes[0, 6], 4.0 - 2 * np.pi, rtol=1e-6)
    np.testing.assert_array_equal(found.boxes[0, 7:], 0)


def test_open_line_reads_both_ways():
    orders = targets.vertex_orders(np.array([(0, 0), (0, 3), (6, 3)], np.float32), 4)
    np.testing.assert_allclose(orders[0], [(0, 0), (0, 3), (3, 3), (6, 3)], atol=1e-6)
    np.testing.assert_array_equal(orders[1], orders[0][::-1])


def test_closed_line_starts_at_each_vertex():
    square = np.array([(0, 0), (4, 0), (4, 4), (0, 4), (0, 0)], np.float32)
    orders = targets.vertex_orders(square, 5)
    assert orders.shape == (4, 5, 2)
    np.testing.assert_allclose(orders[:, 0], [(0, 0), (0, 4), (4, 4), (4, 0)], atol=1e-6)
    np.testing.assert_allclose(orders[1], [(0, 4), (0, 0), (4, 0), (4, 4), (0, 4)], atol=1e-6)


def test_many_vertices_keep_nineteen_starts():
    angle = np.linspace(0, 2 * np.pi, 61)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    circle[-1] = circle[0]
    assert targets.vertex_orders(circle, 20).shape == (19, 20, 2)


@pytest.mark.parametrize("max_map", [1, 3])
def test_map_padding_keeps_the_nearest(max_map):
    far, near = [(10, 20), (10, 25)], [(1, 1), (1, 40)]
    lines = {"vertices": np.array(far + near, np.float32), "lengths": np.array([2, 2]), "labels": np.array([0, 2])}
    found, cut = targets.map_targets(lines, RANGE, 20, max_map)
    assert cut == max(2 - max_map, 0)
    assert found.labels[found.mask].tolist() == [0, 2][cut:]
    assert found.order_mask.sum(axis=1).tolist() == [2] * (2 - cut) + [0] * (max_map - 2 + cut)
    assert found.points[found.mask.sum() - 1, 0, -1, 1] == 30.0, "clamped to the range"


def test_map_points_are_normalized_as_torch_does_it():
    """float32 (x - low) / (high - low), a real division: exactly 0 and 1 at the border; zeros in the padding."""
    lines = {"vertices": np.array([(-99, -7.3), (99, 41.9)], np.float32), "lengths": np.array([2]), "labels": [0]}
    found, _ = targets.map_targets(lines, RANGE, 20, 2)
    low, size = np.float32([-15, -30]), np.float32([30, 60])
    expected = (found.points[0, :2] - low) / size
    assert found.normalized_points.dtype == np.float32
    np.testing.assert_array_equal(found.normalized_points[0, :2], expected)
    assert found.normalized_points.min() == 0.0 and found.normalized_points.max() == 1.0
    assert not found.normalized_points[0, 2:].any() and not found.normalized_points[1:].any()
