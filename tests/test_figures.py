"""The picture of a frame: projection by hand, and ink where it belongs."""

import cv2
import numpy as np

from dima_jax import figures
from dima_jax.detections import Agents, Lines

PC_RANGE = (-15.0, -30.0, -2.0, 15.0, 30.0, 2.0)
FRONT = np.array([[100.0, 80, 0, 0], [0, 60, -100, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # looks along +y from the LiDAR
SIZE = (120, 160)


def agents(*boxes, score=0.9):
    n = len(boxes)
    boxes = np.reshape(np.array(boxes, np.float32), (n, 9))
    futures = np.broadcast_to(boxes[:, None, None, :2], (n, 2, 6, 2))
    return Agents(boxes, np.zeros(n, int), np.full(n, score), futures, np.ones((n, 2)), np.ones((n, 6), bool))


def no_lines():
    return Lines([], np.zeros(0, int), np.zeros(0))


def draw(path, *, predicted=None, plan=None):
    ahead = np.stack([np.zeros(6), np.arange(1, 7) * 2.0], -1)
    lines = Lines([np.array([[-3.0, -20], [-3, 20]])], np.zeros(1, int), np.ones(1))
    figures.draw_scene(
        path,
        images={"CAM_FRONT": np.zeros((*SIZE, 3), np.uint8)},
        lidar2img={"CAM_FRONT": FRONT},
        plans={"student": ahead if plan is None else plan},
        recorded_path=ahead,
        recorded_agents=agents(),
        recorded_lines=lines,
        agents=agents() if predicted is None else predicted,
        lines=no_lines(),
        pc_range=PC_RANGE,
        title="a scene",
    )
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB).astype(int)


def count(picture, color):
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(picture - rgb).max(-1) <= 12).sum())


def test_box_corners_face_the_heading():
    ahead = -np.pi  # yaw_box of a heading of pi/2: along +y
    corners = figures._box_corners(np.array([1.0, 10, 0, 2, 4, 1.5, ahead, 0, 0]))
    np.testing.assert_allclose(corners[0], (2, 12, -0.75), atol=1e-6)  # front right, floor
    np.testing.assert_allclose(corners[6], (0, 8, 0.75), atol=1e-6)  # rear left, roof


def test_predictions_and_plan_are_drawn(tmp_path):
    car = agents((0, 12, -1, 2, 4, 1.5, -np.pi, 0, 0))
    blue, green = figures.AGENT_COLORS["car"], figures.PLAN_COLORS[0]
    empty, full = draw(tmp_path / "new" / "empty.png"), draw(tmp_path / "full.png", predicted=car)
    assert empty.shape == (700, 1920, 3)
    assert count(full, blue) > count(empty, blue) + 200
    assert count(empty, green) > 200
    low = agents((0, 12, -1, 2, 4, 1.5, -np.pi, 0, 0), score=figures.SHOWN_SCORE / 2)
    np.testing.assert_array_equal(draw(tmp_path / "low.png", predicted=low), empty)


def test_a_plan_that_stands_still_is_no_error(tmp_path):
    assert draw(tmp_path / "still.png", plan=np.zeros((6, 2))).any()


def test_cameras_of_another_rig_stand_in_two_rows():
    assert figures._layout(["CAM_BACK", "CAM_FRONT"]) == figures.LAYOUT
    assert figures._layout(["front", "left", "rear"]) == (["front", "left"], ["rear"])
