"""The annotated road users of one key frame, in its LiDAR frame, with what they do in the next three seconds (vad-spec 4)."""

import math

import numpy as np
from nuscenes.utils.data_classes import Box
from pyquaternion import Quaternion

from dima_jax.errors import UserError

NUM_FUTURE = 6


def agents(tables, annotations: list[dict], lidar2ego: dict, pose: dict, where: str) -> dict:
    """The `agents` group of the record for every annotation of the sample, in the sample's order.

    tables: `nuscenes.NuScenes`. lidar2ego, pose: the calibrated_sensor and ego_pose rows of LIDAR_TOP. where: names
    scene and sample in errors. Raises UserError for a box with a NaN, an infinite number or no volume.
    """
    boxes, offsets, mask, turns = [], [], [], []
    for annotation in annotations:
        _check(annotation, where)
        box = _lidar_box(annotation, lidar2ego, pose)
        velocity = _to_lidar(tables.box_velocity(annotation["token"]), lidar2ego, pose)[:2]
        heading = box.orientation.yaw_pitch_roll[0]
        boxes.append([*box.center, *box.wlh, -heading - math.pi / 2, *velocity])
        future = _future(tables, annotation, box, lidar2ego, pose, where)
        for values, value in zip((offsets, mask, turns), future, strict=True):
            values.append(value)
    return {
        "boxes": np.array(boxes, np.float64).reshape(-1, 9),
        "instances": [annotation["instance_token"] for annotation in annotations],
        "categories": [annotation["category_name"] for annotation in annotations],
        "num_lidar_pts": np.array([annotation["num_lidar_pts"] for annotation in annotations], np.int64),
        "num_radar_pts": np.array([annotation["num_radar_pts"] for annotation in annotations], np.int64),
        "future_offsets": np.array(offsets, np.float32).reshape(-1, NUM_FUTURE, 2),
        "future_mask": np.array(mask, bool).reshape(-1, NUM_FUTURE),
        "future_yaw": np.array(turns, np.float32).reshape(-1, NUM_FUTURE),
    }


def _check(annotation: dict, where: str) -> None:
    """Box() would answer a NaN with a bare assertion."""
    numbers = [*annotation["translation"], *annotation["size"], *annotation["rotation"]]
    if not np.isfinite(numbers).all() or min(annotation["size"]) <= 0 or not any(annotation["rotation"]):
        raise UserError(
            f"{where}: sample_annotation {annotation['token']} has an impossible box {numbers}; "
            "correct or remove it in sample_annotation.json"
        )


def _future(tables, annotation: dict, box: Box, lidar2ego: dict, pose: dict, where: str):
    """Steps [6, 2], mask [6] and heading differences [6] along the annotation's `next` chain."""
    offsets, mask, turns = np.zeros((NUM_FUTURE, 2)), np.zeros(NUM_FUTURE, bool), np.zeros(NUM_FUTURE)
    for step in range(NUM_FUTURE):
        if annotation["next"] == "":
            break
        annotation = tables.get("sample_annotation", annotation["next"])
        _check(annotation, where)
        following = _lidar_box(annotation, lidar2ego, pose)
        offsets[step] = following.center[:2] - box.center[:2]
        turns[step] = _heading(following.orientation) - _heading(box.orientation)
        mask[step] = True
        box = following
    return offsets, mask, turns


def _lidar_box(annotation: dict, lidar2ego: dict, pose: dict) -> Box:
    box = Box(annotation["translation"], annotation["size"], Quaternion(annotation["rotation"]))
    for frame in (pose, lidar2ego):
        box.translate(-np.array(frame["translation"]))
        box.rotate(Quaternion(frame["rotation"]).inverse)
    return box


def _to_lidar(vector: np.ndarray, lidar2ego: dict, pose: dict) -> np.ndarray:
    """A global direction [3] in the LiDAR frame. VAD drops the global z component first."""
    flat = np.array([*vector[:2], 0.0])
    rotation = Quaternion(pose["rotation"]).rotation_matrix @ Quaternion(lidar2ego["rotation"]).rotation_matrix
    return rotation.T @ flat


def _heading(orientation: Quaternion) -> float:
    """Roll-pitch-yaw heading; differs from `yaw_pitch_roll` when the LiDAR is tilted, and VAD uses both."""
    w, x, y, z = orientation.elements
    return math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
