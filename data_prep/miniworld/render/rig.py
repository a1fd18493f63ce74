"""The sensor rigs of the ego vehicle: cameras and a LiDAR. "six" has rounded values that resemble nuScenes' rigs; "four"
has fewer cameras of other names, angles and sizes, no CAN bus and no questions, as a vehicle of one's own might;
"no_cameras" is for planners that are told what stands around them.

Ego frame: x forward, y left, z up, origin on the ground below the rear axle. Camera frame: x right, y down, z forward.
LiDAR frame: x right, y forward, z up. Every camera looks along the horizon (no pitch, no roll), so a ground point's
depth depends on its image row alone and a vertical wall's depth on its column alone; the painter relies on that.
Five of the six have a horizontal field of view of 65 degrees and CAM_BACK of 89, as in nuScenes: together they cover 360.
"""

import math
from typing import NamedTuple

import numpy as np

from data_prep.miniworld.world.state import Ego
from dima_jax.constants import CAMERA_YAWS_DEG, CAMERAS, LIDAR_HEIGHT

FULL_SIZE = (1600, 900)  # width, height of nuScenes' images


class Sensor(NamedTuple):
    """Calibration of one sensor.

    translation: meters in the ego frame; rotation: unit quaternion (w, x, y, z), sensor to ego; intrinsic: 3x3 for an
    image of `size` (width, height) in pixels; both () for the LiDAR.
    """

    translation: tuple[float, float, float]
    rotation: tuple[float, float, float, float]
    intrinsic: tuple
    size: tuple


def _turn(yaw_deg: float, base: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """The quaternion of `base` followed by a rotation of yaw_deg about the vertical."""
    half = math.radians(yaw_deg) / 2.0
    c, s = math.cos(half), math.sin(half)
    w, x, y, z = base
    return (c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w)


def _camera(translation, yaw_deg: float, focal: float, size: tuple[int, int] = FULL_SIZE) -> Sensor:
    forward = (0.5, -0.5, 0.5, -0.5)  # camera axes (right, down, forward) to ego axes (forward, left, up)
    center = size[0] / 2, size[1] / 2 + 30.0
    intrinsic = ((focal, 0.0, center[0]), (0.0, focal, center[1]), (0.0, 0.0, 1.0))
    return Sensor(translation, _turn(yaw_deg, forward), intrinsic, size)


_MOUNTS = {  # translation in the ego frame (meters), focal length (pixels of FULL_SIZE)
    "CAM_FRONT": ((1.70, 0.0, 1.50), 1260.0),
    "CAM_FRONT_RIGHT": ((1.55, -0.50, 1.50), 1260.0),
    "CAM_FRONT_LEFT": ((1.55, 0.50, 1.50), 1260.0),
    "CAM_BACK": ((0.0, 0.0, 1.60), 810.0),
    "CAM_BACK_LEFT": ((1.05, 0.50, 1.55), 1260.0),
    "CAM_BACK_RIGHT": ((1.05, -0.50, 1.55), 1260.0),
}
RIG: dict[str, Sensor] = {
    channel: _camera(_MOUNTS[channel][0], yaw, _MOUNTS[channel][1])
    for channel, yaw in zip(CAMERAS, CAMERA_YAWS_DEG, strict=True)
}
RIG["LIDAR_TOP"] = Sensor((0.94, 0.0, LIDAR_HEIGHT), _turn(-90.0, (1.0, 0.0, 0.0, 0.0)), (), ())
_FOUR = {
    "front_wide": _camera((1.70, 0.0, 1.50), 0.0, 900.0),
    "side_left": _camera((1.05, 0.55, 1.40), 90.0, 660.0, (1280, 960)),
    "side_right": _camera((1.05, -0.55, 1.40), -90.0, 660.0, (1280, 960)),
    "rear": _camera((-0.60, 0.0, 1.20), 180.0, 600.0, (1280, 720)),
}


class Rig(NamedTuple):
    """sensors: {channel: Sensor}; has_questions: and a CAN bus."""

    sensors: dict[str, Sensor]
    has_questions: bool

    @property
    def cameras(self) -> tuple[str, ...]:
        return tuple(channel for channel, sensor in self.sensors.items() if sensor.intrinsic)


_LIDAR = {"LIDAR_TOP": RIG["LIDAR_TOP"]}
RIGS = {"six": Rig(RIG, True), "four": Rig(_FOUR | _LIDAR, False), "no_cameras": Rig(_LIDAR, True)}
SENSORS = RIG | _FOUR


def image_size(channel: str, size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of the images of a camera in a data set where those of FULL_SIZE are scaled to `size`."""
    width, height = (
        round(own * new / full) for own, new, full in zip(SENSORS[channel].size, size, FULL_SIZE, strict=True)
    )
    return width, height


def rotation_matrix(quaternion) -> np.ndarray:
    """Unit quaternion (w, x, y, z) to a rotation matrix [3, 3]."""
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def intrinsic(channel: str, width: int, height: int) -> np.ndarray:
    """The camera matrix [3, 3] of `channel` for an image of width x height pixels; each axis is scaled separately."""
    sensor = SENSORS[channel]
    return np.diag([width / sensor.size[0], height / sensor.size[1], 1.0]) @ np.array(sensor.intrinsic)


def sensor_to_ego(channel: str) -> np.ndarray:
    """Transform [4, 4] from the sensor's frame to the ego frame."""
    transform = np.eye(4)
    transform[:3, :3] = rotation_matrix(SENSORS[channel].rotation)
    transform[:3, 3] = SENSORS[channel].translation
    return transform


def ego_to_world(ego: Ego) -> np.ndarray:
    """Transform [4, 4] from the ego frame to the world frame; the ground is z = 0."""
    c, s = math.cos(ego.yaw), math.sin(ego.yaw)
    return np.array([[c, -s, 0.0, ego.x], [s, c, 0.0, ego.y], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])


def sensor_to_world(channel: str, ego: Ego) -> np.ndarray:
    """Transform [4, 4] from the sensor's frame to the world frame when the ego is at `ego`."""
    return ego_to_world(ego) @ sensor_to_ego(channel)
