"""The annotated agents of one key frame in its LiDAR frame, with their motion over the next three seconds.

Conventions follow VAD's converter, see docs/vad.md#agent-targets.
"""

import numpy as np
from pyquaternion import Quaternion

from dima_jax.data.features import NUM_FUTURE


def agents(tables, annotations: list[dict], lidar2ego: dict, pose: dict) -> dict:
    """The `agents` group of the record for every annotation of the sample, in the sample's order; boxes in float64.

    tables: `nuscenes.NuScenes`. lidar2ego, pose: the calibrated_sensor and ego_pose rows of LIDAR_TOP.
    """
    chains = [_chain(tables, annotation) for annotation in annotations]
    known = np.arange(1 + NUM_FUTURE) < np.array([len(chain) for chain in chains]).reshape(-1, 1)
    chains = [chain + chain[-1:] * (1 + NUM_FUTURE - len(chain)) for chain in chains]
    centers, orientations = _to_lidar(_columns(chains, "translation"), _columns(chains, "rotation"), lidar2ego, pose)
    velocity = [tables.box_velocity(annotation["token"])[:2] for annotation in annotations]
    mask = known[:, 1:]
    return {
        "boxes": np.column_stack(
            [
                centers[:, 0],
                np.array([annotation["size"] for annotation in annotations]).reshape(-1, 3),
                -_yaw(orientations[:, 0]) - np.pi / 2,
                _turn_to_lidar(np.array(velocity).reshape(-1, 2), lidar2ego, pose),
            ]
        ),
        "instances": [annotation["instance_token"] for annotation in annotations],
        "categories": [annotation["category_name"] for annotation in annotations],
        "num_lidar_pts": np.array([annotation["num_lidar_pts"] for annotation in annotations], np.int64),
        "num_radar_pts": np.array([annotation["num_radar_pts"] for annotation in annotations], np.int64),
        "future_offsets": np.where(mask[..., None], np.diff(centers[..., :2], axis=1), 0.0).astype(np.float32),
        "future_mask": mask,
        "future_yaw": np.where(mask, np.diff(_heading(orientations), axis=1), 0.0).astype(np.float32),
    }


def _chain(tables, annotation: dict) -> list[dict]:
    """The annotation and up to six that follow it."""
    chain = [annotation]
    while chain[-1]["next"] and len(chain) <= NUM_FUTURE:
        chain.append(tables.get("sample_annotation", chain[-1]["next"]))
    return chain


def _columns(chains: list[list[dict]], name: str) -> np.ndarray:
    """One field of every chain, [n, 7, 3 or 4] float64."""
    width = {"translation": 3, "rotation": 4}[name]
    return np.array([[row[name] for row in chain] for chain in chains], np.float64).reshape(-1, 1 + NUM_FUTURE, width)


def _to_lidar(centers: np.ndarray, orientations: np.ndarray, lidar2ego: dict, pose: dict):
    """Global centers [..., 3] and unit quaternions [..., 4] (w, x, y, z) to the LiDAR frame."""
    orientations = orientations / np.linalg.norm(orientations, axis=-1, keepdims=True)
    for frame in (pose, lidar2ego):
        back = Quaternion(frame["rotation"]).unit.inverse
        centers = (centers - frame["translation"]) @ back.rotation_matrix.T
        orientations = orientations @ _left_factor(*back.elements).T
    return centers, orientations


def _left_factor(w, x, y, z) -> np.ndarray:
    """Matrix [4, 4] that multiplies a quaternion by (w, x, y, z) from the left."""
    return np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])


def _turn_to_lidar(velocity: np.ndarray, lidar2ego: dict, pose: dict) -> np.ndarray:
    """Global velocities [n, 2] in the LiDAR frame; VAD drops the vertical component first."""
    flat = np.pad(velocity, ((0, 0), (0, 1)))
    rotation = Quaternion(pose["rotation"]).rotation_matrix @ Quaternion(lidar2ego["rotation"]).rotation_matrix
    return (flat @ rotation)[:, :2]


def _heading(orientations: np.ndarray) -> np.ndarray:
    """Roll-pitch-yaw heading [...] of quaternions [..., 4], which VAD uses for future headings."""
    w, x, y, z = np.moveaxis(orientations, -1, 0)
    return np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def _yaw(orientations: np.ndarray) -> np.ndarray:
    """pyquaternion's `yaw_pitch_roll`, which VAD uses for boxes; differs from `_heading` when the LiDAR is tilted."""
    w, x, y, z = np.moveaxis(orientations, -1, 0)
    return np.arctan2(2 * (w * z - x * y), 1 - 2 * (y * y + z * z))
