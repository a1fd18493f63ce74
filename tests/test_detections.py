"""Which predictions count, and what was recorded, on numbers one can do in the head."""

from types import SimpleNamespace

import numpy as np

from dima_jax import detections


def test_agents_are_the_best_pairs_inside_the_range():
    scores = np.full((4, 10), 0.01, np.float32)
    scores[2, 1], scores[0, 8], scores[3, 0] = 0.95, 0.9, 0.99  # truck, pedestrian, and a car far outside
    boxes = np.array([[1, 2, 0, 2, 4, 1.5, 0.3, 1, 0]] * 3 + [[50, 0, 0, 2, 4, 1.5, 0, 0, 0]], np.float32)
    boxes[:, 8] = np.arange(4)
    futures, mode_scores = np.arange(4.0).repeat(72).reshape(4, 6, 6, 2), np.arange(24.0).reshape(4, 6)
    found = detections.select_agents(scores, boxes, futures, mode_scores, max_agents=3)
    assert found.labels.tolist() == [1, 8]
    np.testing.assert_allclose(found.scores, [0.95, 0.9])
    np.testing.assert_array_equal(found.boxes, boxes[[2, 0]])
    np.testing.assert_array_equal(found.futures, futures[[2, 0]])
    np.testing.assert_array_equal(found.mode_scores, mode_scores[[2, 0]])
    assert found.future_mask.shape == (2, 6) and found.future_mask.all()


def test_one_query_may_be_of_two_classes_and_ties_keep_their_order():
    scores = np.array([[0.1, 0.2], [0.9, 0.8], [0.9, 0.0]])
    found = detections.select_agents(scores, np.zeros((3, 9)), np.zeros((3, 1, 6, 2)), np.zeros((3, 1)), max_agents=3)
    assert (found.labels.tolist(), found.scores.tolist()) == ([0, 0, 1], [0.9, 0.9, 0.8])
    lines = detections.select_lines(scores, np.arange(3.0).repeat(4).reshape(3, 2, 2), max_lines=3)
    assert [float(points[0, 0]) for points in lines.points] == [1.0, 2.0, 1.0]


def test_lines_that_leave_the_range_are_dropped():
    points = np.zeros((2, 5, 2))
    points[1, 4] = 0.0, 35.5
    found = detections.select_lines(np.array([[0.9, 0, 0], [0.95, 0, 0]]), points, max_lines=2)
    assert len(found.points) == 1 and found.labels.tolist() == [0] and found.scores.tolist() == [0.9]


def test_recorded_agents_are_the_real_ones_with_positions():
    boxes = np.zeros((1, 2, 9), np.float32)
    boxes[0, 1, :2] = 3.0, 4.0
    targets = SimpleNamespace(
        boxes=boxes,
        labels=np.array([[0, 8]]),
        mask=np.array([[False, True]]),
        future_offsets=np.full((1, 2, 6, 2), 0.5, np.float32),
        future_mask=np.array([[[True] * 6, [True] * 4 + [False] * 2]]),
    )
    found = detections.recorded_agents(targets, 0)
    assert found.labels.tolist() == [8] and found.future_mask.sum() == 4
    np.testing.assert_allclose(found.futures[0, 0, :, 0], 3.0 + 0.5 * np.arange(1, 7))
    np.testing.assert_allclose(found.futures[0, 0, 3], (5.0, 6.0))


def test_recorded_lines_are_the_real_ones_in_their_first_order():
    points = np.arange(16.0).reshape(1, 2, 2, 2, 2)
    targets = SimpleNamespace(points=points, labels=np.array([[1, 2]]), mask=np.array([[False, True]]))
    found = detections.recorded_lines(targets, 0)
    assert found.labels.tolist() == [2]
    np.testing.assert_array_equal(found.points, points[0, 1:, 0])
