"""Calibrations that cannot be: permuted axes, swapped cameras, cameras that see nothing of what is labeled."""

import numpy as np
import pytest

from data_prep.record_check import projection, rules
from data_prep.record_check.projection import Seen
from dima_jax.constants import CAMERAS
from tests import realdata


def turned(degrees: float) -> np.ndarray:
    """A rotation around the vertical, to the left."""
    angle = np.radians(degrees)
    motion = np.eye(4)
    motion[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return motion


def permute_axes(poses):
    poses[0, :3, :3] = poses[0, :3, :3][:, [2, 0, 1]]


def swap(poses):
    poses[[0, 3]] = poses[[3, 0]]


def turn(poses):
    poses[0] = turned(30.0) @ poses[0]


def move(poses):
    poses[0, 0, 3] += 600.0


@pytest.mark.parametrize(
    ("spoil", "detail"),
    [
        (permute_axes, "CAM_FRONT does not stand upright"),
        (swap, "looks -1 degrees to the left of forward, not 180"),
        (turn, "CAM_FRONT looks 29 degrees to the left of forward, not 0"),
        (move, "CAM_FRONT is 600 m from the LiDAR"),
    ],
)
def test_an_impossible_mount_is_named(frame, spoil, detail):
    assert list(projection.camera_problems(frame)) == []
    spoil(frame["cameras"]["sensor2lidar"])
    found = list(projection.camera_problems(frame))
    assert {rule for rule, _ in found} == {rules.UPRIGHT} and detail in " ".join(text for _, text in found)


def test_what_is_labeled_is_seen_unless_the_cameras_look_elsewhere(frame):
    rig = projection.rig(frame)
    assert rig.names == CAMERAS and rig.coverage == 1.0 and rig.sizes.tolist() == [[80.0, 45.0]] * 6
    seen = projection.seen(frame, rig)
    assert all(0 < one.inside == one.points for one in seen.values())
    assert list(projection.frame_problems(seen, rig)) == []
    up = np.eye(4)[:, [0, 2, 1, 3]] * [1, -1, 1, 1]  # every camera looks to the sky
    frame["cameras"]["sensor2lidar"][:] = np.eye(4) @ up.T
    seen = projection.seen(frame, projection.rig(frame))
    assert any(one.inside == 0 for one in seen.values())


def test_few_points_in_an_image_are_a_problem_where_the_cameras_see_everything(frame):
    rig = projection.rig(frame)
    found = list(projection.frame_problems({"boxes": Seen(10, 7), "few": Seen(4, 0), "lines": Seen(10, 8)}, rig))
    assert found == [(rules.SEEN, "7 of 10 boxes are in an image")]
    assert list(projection.frame_problems({"boxes": Seen(10, 0)}, rig._replace(coverage=0.8))) == []


def test_a_rig_with_gaps_is_judged_by_the_scene():
    assert list(projection.scene_problems({"boxes": Seen(100, 50)}, 0.75)) == []
    assert list(projection.scene_problems({"boxes": Seen(100, 44)}, 0.75)) == [
        (rules.SEEN, "44 of all 100 boxes are in an image")
    ]
    assert list(projection.scene_problems({"boxes": Seen(100, 0)}, 1.0)) == []  # its key frames say so
    assert list(projection.scene_problems({"boxes": Seen(49, 0)}, 0.75)) == []


def test_coverage_adds_up_the_widths_of_the_images(frame):
    frame["cameras"]["intrinsics"][:, 0, 0] = 40.0 / np.tan(np.radians(45) / 2)  # 45 degrees each
    assert projection.rig(frame).coverage == pytest.approx(6 * 45 / 360)


def test_a_point_is_where_the_camera_sees_it():
    """A camera at the LiDAR that looks forward: x of the image is to the right, y down."""
    pose = np.eye(4)
    pose[:3, :3] = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] = [[100, 0, 80], [0, 100, 45], [0, 0, 1]]
    points = np.array([[1.0, 10.0, 2.0], [0.0, -10.0, 0.0]])
    pixels, depth = projection.project(points, (matrix @ np.linalg.inv(pose))[None])
    np.testing.assert_allclose(pixels[0, 0], [90, 25])
    np.testing.assert_allclose(depth[0], [10, -10])


def test_real_boxes_are_in_real_images():
    frame = realdata.mmdet3d_key_frame()
    rig = projection.rig(frame)
    assert projection.seen(frame, rig)["boxes with LiDAR points"] == Seen(51, 51)
    assert list(projection.camera_problems(frame)) == []
