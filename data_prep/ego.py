"""The ego vehicle at one key frame: CAN bus, recorded path, command, status (docs/vad.md#ego-targets).

Everything reproduces VAD's info converter exactly, including its three errors, because the released weights were
trained with them:

* acceleration, rates and velocity come from the first CAN message *after* the sample, the rest from the one before;
* the quaternion fields [3:7] of the loaded CAN bus all hold w (numpy asks pyquaternion for *a* number);
* the status' yaw is read from a (w, x, y, z) quaternion as if it were (x, y, z, w).
"""

import bisect
import math

import numpy as np
from pyquaternion import Quaternion

from dima_jax.constants import COMMANDS, EGO_LENGTH, EGO_WIDTH, STEP_SECONDS, WHEELBASE
from dima_jax.data.features import NUM_FUTURE

NUM_HISTORY = 2
TURN = 2.0  # meters; a lateral offset of this much after 3 s is a turn
RIGHT, LEFT, STRAIGHT = (COMMANDS.index(command) for command in ("right", "left", "straight"))


def yaw(rotation) -> float:
    """Heading (radians) of a rotation given as (w, x, y, z)."""
    x_axis = Quaternion(rotation).rotation_matrix[:, 0]
    return math.atan2(x_axis[1], x_axis[0])


def can_fields(messages: list[dict] | None, timestamp: int) -> np.ndarray:
    """[18] float64 as VAD's info files hold it: position 3, orientation 4, acceleration 3, rotation rate 3, velocity 3,
    two zeros. messages: the scene's CAN `pose` messages; None = nuScenes recorded none, all zeros.
    """
    values = np.zeros(18)
    if not messages:
        return values
    after = next((i for i, message in enumerate(messages) if message["utime"] > timestamp), len(messages))
    before, following = messages[max(after - 1, 0)], messages[min(after, len(messages) - 1)]
    rest = (value for name in ("accel", "rotation_rate", "vel") for value in following[name])
    values[:16] = [*before["pos"], *before["orientation"], *rest]
    return values


def can_bus(messages: list[dict] | None, pose: dict, timestamp: int) -> np.ndarray:
    """[18] float64 as VAD's loader passes it to the model; without messages what is not of the pose is 0.

    [0:3] global position, [3:7] w of the ego pose's quaternion four times (see above), [7:10] acceleration, [10:13]
    rotation rate, [13:16] velocity, [16] yaw in [0, 2 pi), [17] the same in degrees.
    """
    values = can_fields(messages, timestamp)
    degrees = yaw(pose["rotation"]) / math.pi * 180
    if degrees < 0:
        degrees += 360
    values[:3] = pose["translation"]
    values[3:7] = pose["rotation"][0]
    values[16] = degrees / 180 * math.pi
    values[17] = degrees
    return values


SPEED = 7  # of the 9 numbers of `status`
MOTION = slice(10, 16)  # of the 18 numbers: rotation rate and velocity


def motion(before: np.ndarray, now: np.ndarray, seconds: float) -> np.ndarray:
    """[6] float64: rotation rate (rad/s) and velocity (m/s) in the ego frame of `now`, what MOTION holds.

    before, now: ego2global [4, 4], so many seconds apart. For scenes without CAN bus: the means since the key frame before,
    never of what comes after.
    """
    turn = Quaternion(matrix=before[:3, :3].T @ now[:3, :3], rtol=1e-5, atol=1e-6)
    return np.concatenate([turn.axis * turn.radians, now[:3, :3].T @ (now[:3, 3] - before[:3, 3])]) / seconds


def path(lidar_poses: list[np.ndarray], index: int) -> dict:
    """History and future steps of the LiDAR position in the LiDAR frame of key frame `index`, and the command.

    lidar_poses: lidar2global [4, 4] of every key frame of the scene. Before the first frame the first known step is
    repeated; after the last frame the position is repeated and masked.
    Returns future_offsets [6, 2], future_mask [6], history_offsets [2, 2], command (index into constants.COMMANDS).
    """
    positions = np.array([pose[:3, 3] for pose in lidar_poses])
    last = len(positions) - 1
    future = positions[np.minimum(index + np.arange(NUM_FUTURE + 1), last)]
    first = max(index - NUM_HISTORY, 0)
    history = positions[first : index + 1]
    step = positions[min(first + 1, last)] - positions[first]
    missing = NUM_HISTORY + 1 - len(history)
    history = np.concatenate([history[0] - step * np.arange(missing, 0, -1)[:, None], history])
    to_lidar = np.linalg.inv(lidar_poses[index])
    future, history = (p @ to_lidar[:3, :3].T + to_lidar[:3, 3] for p in (future, history))
    side = future[-1, 0]
    return {
        "future_offsets": np.diff(future[:, :2], axis=0).astype(np.float32),
        "future_mask": index + 1 + np.arange(NUM_FUTURE) <= last,
        "history_offsets": np.diff(history[:, :2], axis=0).astype(np.float32),
        "command": RIGHT if side >= TURN else LEFT if side <= -TURN else STRAIGHT,
    }


def status(
    poses: list[dict], index: int, messages, steering, timestamp: int, trip: dict, left_hand: bool
) -> np.ndarray:
    """[9] float32: vx, vy, ax, ay, yaw rate, length, width, speed, curvature (VAD's `ego_lcf_feat`, not a model input).

    poses: ego_pose rows of the scene's LIDAR_TOP key frames. messages, steering: CAN `pose` and `steeranglefeedback`
    messages or None. trip: the result of `path`. left_hand: traffic keeps left (Singapore).
    """
    start = max(index - 1, 0)
    before, after = poses[start], poses[min(start + 1, len(poses) - 1)]
    here = _misread_yaw(poses[index]["rotation"])
    rate = (_misread_yaw(after["rotation"]) - _misread_yaw(before["rotation"])) / STEP_SECONDS
    speed = math.dist(after["translation"][:2], before["translation"][:2]) / STEP_SECONDS
    if messages and steering:
        longitudinal = _nearest(messages, timestamp)["vel"][0]
        angle = _nearest(steering, timestamp)["value"]
        curvature = 2 * (-angle if left_hand else angle) / WHEELBASE
    else:
        longitudinal = np.linalg.norm(trip["history_offsets"][-1] + trip["future_offsets"][0])
        curvature = 0.0
    vx, vy = speed * math.cos(here + math.pi / 2), speed * math.sin(here + math.pi / 2)
    ax, ay = can_fields(messages, timestamp)[7:9]
    return np.array([vx, vy, ax, ay, rate, EGO_LENGTH, EGO_WIDTH, longitudinal, curvature], np.float32)


def _misread_yaw(rotation) -> float:
    x, y, z, w = rotation  # VAD's error: the order is w, x, y, z
    return math.atan2(2 * (w * z + x * y), 1 - 2 * (z * z + y * y))


def _nearest(messages: list[dict], timestamp: int) -> dict:
    i = bisect.bisect_left(messages, timestamp, key=lambda message: message["utime"])
    before, after = messages[max(i - 1, 0)], messages[min(i, len(messages) - 1)]
    return before if timestamp - before["utime"] < after["utime"] - timestamp or i == len(messages) else after
