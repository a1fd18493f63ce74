"""The rig: axes, angles, coverage, and likeness to real rigs."""

import json

import numpy as np
import pytest

from data_prep.miniworld.render import rig
from data_prep.miniworld.world.state import Ego
from dima_jax.constants import CAMERAS
from tests import realdata

YAWS_DEG = {
    "CAM_FRONT": 0.0,
    "CAM_FRONT_RIGHT": -55.0,
    "CAM_FRONT_LEFT": 55.0,
    "CAM_BACK": 180.0,
    "CAM_BACK_LEFT": 110.0,
    "CAM_BACK_RIGHT": -110.0,
}


def ego_at(x, y, yaw):
    return Ego(x, y, yaw, speed=0.0, acceleration=0.0, yaw_rate=0.0, steering=0.0, braking=False, blinker=0)


def wrap_deg(angle):
    return (angle + 180.0) % 360.0 - 180.0


@pytest.mark.parametrize("channel", CAMERAS)
def test_camera_looks_along_its_yaw_and_the_horizon(channel):
    rotation = rig.sensor_to_ego(channel)[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    forward, down = rotation[:, 2], rotation[:, 1]
    assert wrap_deg(np.degrees(np.arctan2(forward[1], forward[0])) - YAWS_DEG[channel]) == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(down, [0.0, 0.0, -1.0], atol=1e-12)
    assert np.linalg.norm(rig.RIG[channel].rotation) == pytest.approx(1.0)


def test_cameras_are_the_projects_cameras_in_order():
    assert tuple(channel for channel, sensor in rig.RIG.items() if sensor.intrinsic) == CAMERAS


@pytest.mark.parametrize(("channel", "yaw"), [("front_wide", 0), ("side_left", 90), ("side_right", -90), ("rear", 180)])
def test_the_second_rig(channel, yaw):
    forward = rig.sensor_to_ego(channel)[:3, 2]
    np.testing.assert_allclose(forward, [np.cos(np.radians(yaw)), np.sin(np.radians(yaw)), 0.0], atol=1e-12)
    assert channel in rig.RIGS["four"].cameras and len(rig.RIGS["four"].cameras) == 4
    size = rig.image_size(channel, (400, 225))
    assert size == tuple(side // 4 for side in rig.SENSORS[channel].size)
    camera = rig.intrinsic(channel, *size)
    assert camera[0, 0] == pytest.approx(camera[1, 1]) and camera[0, 2] == pytest.approx(size[0] / 2)


def test_lidar_is_x_right_y_forward():
    rotation = rig.sensor_to_ego("LIDAR_TOP")[:3, :3]
    np.testing.assert_allclose(rotation @ [1, 0, 0], [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(rotation @ [0, 1, 0], [1, 0, 0], atol=1e-12)


def test_cameras_cover_the_full_circle():
    angles = np.arange(-180.0, 180.0, 0.5)
    seen = np.zeros(angles.shape, bool)
    for channel, yaw in YAWS_DEG.items():
        camera = rig.intrinsic(channel, 400, 224)
        half = np.degrees(np.arctan(200.0 / camera[0, 0]))
        seen |= np.abs(wrap_deg(angles - yaw)) <= half
    assert seen.all()


def test_intrinsic_scales_with_the_image():
    small, full = rig.intrinsic("CAM_FRONT", 400, 225), rig.intrinsic("CAM_FRONT", 1600, 900)
    np.testing.assert_allclose(small[:2], full[:2] / 4.0)
    assert small[2, 2] == 1.0


def test_point_ahead_lands_where_the_pinhole_says():
    ego = ego_at(10.0, 20.0, np.pi / 2)  # facing north
    world_to_camera = np.linalg.inv(rig.sensor_to_world("CAM_FRONT", ego))
    point = world_to_camera @ [10.0 - 2.0, 20.0 + 1.7 + 10.0, 0.0, 1.0]  # 10 m ahead of the camera, 2 m left, ground
    pixel = rig.intrinsic("CAM_FRONT", 1600, 900) @ point[:3]
    np.testing.assert_allclose(pixel / pixel[2], [800.0 - 126.0 * 2, 480.0 + 126.0 * 1.5, 1.0])


def test_rig_resembles_the_real_ones():
    path = realdata.folder() / "derived" / "rigs_by_log.json"
    for real in json.loads(path.read_text())["rigs"]:
        for channel, sensor in rig.RIG.items():
            np.testing.assert_allclose(sensor.translation, real[channel]["translation"], atol=0.15)
            turn = rig.rotation_matrix(sensor.rotation).T @ rig.rotation_matrix(real[channel]["rotation"])
            assert np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))) < 6.0, channel
            if sensor.intrinsic:
                assert abs(sensor.intrinsic[0][0] / real[channel]["camera_intrinsic"][0][0] - 1) < 0.04
