"""Agents of a perception file as nuScenes' detection results: boxes in the global frame, each with an attribute.

Format: the devkit's documentation of the detection task. Which attribute a box has goes by its speed, as in VAD, BEVFormer
and mmdetection3d, whose models predict none.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from pyquaternion import Quaternion

from data_prep.key_frames import KeyFrames
from data_prep.scenes import Root
from dima_jax.constants import AGENT_CLASSES
from dima_jax.detections import Agents
from dima_jax.errors import UserError
from dima_jax.scoring.perception_file import Perception
from dima_jax.scoring.predictions import named

META = {"use_camera": True, "use_lidar": False, "use_radar": False, "use_map": False, "use_external": True}  # CAN bus
MOVING = 0.2  # m/s, from which an agent moves
# {class: its attribute moving, standing}
ATTRIBUTES = {
    **dict.fromkeys(("car", "truck", "construction_vehicle", "trailer"), ("vehicle.moving", "vehicle.parked")),
    "bus": ("vehicle.moving", "vehicle.stopped"),
    **dict.fromkeys(("motorcycle", "bicycle"), ("cycle.with_rider", "cycle.without_rider")),
    "pedestrian": ("pedestrian.moving", "pedestrian.standing"),
    **dict.fromkeys(("barrier", "traffic_cone"), ("", "")),
}


class Place(NamedTuple):
    """Where a sample was recorded. mount: LiDAR in the ego frame; pose: ego in the global frame; rows of the tables."""

    token: str
    mount: dict
    pose: dict

    def to_ego(self, centers: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Global points in the ego frame."""
        return (centers - self.pose["translation"]) @ Quaternion(self.pose["rotation"]).rotation_matrix

    def to_lidar(self, centers: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Global points in the LiDAR frame."""
        return (self.to_ego(centers) - self.mount["translation"]) @ Quaternion(self.mount["rotation"]).rotation_matrix

    def to_global(self, centers: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Points of the LiDAR frame in the global frame."""
        for row in (self.mount, self.pose):
            centers = centers @ Quaternion(row["rotation"]).rotation_matrix.T + row["translation"]
        return centers

    @property
    def rotation(self) -> Quaternion:
        """Of the LiDAR frame in the global frame."""
        return Quaternion(self.pose["rotation"]).unit * Quaternion(self.mount["rotation"]).unit


def places(root: Root, split: str) -> dict[str, Place]:
    """{sample token: its place} of a split. UserError for a split that the root does not have."""
    splits = root.splits()
    if split not in splits:
        raise UserError(f"--split={split}: {root.path / root.version} has {', '.join(splits)}")
    return {place.token: place for scene in splits[split] for place in _scene(root, scene)}


def _scene(root: Root, scene: dict) -> Iterator[Place]:
    frames = KeyFrames(root, scene)
    for sample, mount, pose in zip(frames.samples, frames.mounts, frames.poses, strict=True):
        yield Place(sample["token"], mount, pose)


def results(found: Perception, at: dict[str, Place]) -> dict[str, list[dict]]:
    """{sample token: its boxes} of all samples of a split.

    Raises UserError, with the first tokens, unless the file has these samples and no other.
    """
    known = set(at)
    extra = [token for token in found.tokens if token not in known]
    if extra:
        raise UserError(
            f"{found.file}: {len(extra):,} of {len(found.tokens):,} frames are not samples of the split: {named(extra)}; "
            "give the file of this split"
        )
    row = {token: i for i, token in enumerate(found.tokens)}
    if missing := [token for token in at if token not in row]:
        raise UserError(
            f"{found.file}: {len(missing):,} of {len(at):,} samples of the split are not in the file: {named(missing)}; "
            "nuScenes' metric takes whole splits"
        )
    return {token: _boxes(found.frame(row[token])[0], place) for token, place in at.items()}


def _boxes(agents: Agents, place: Place) -> list[dict]:
    boxes = np.asarray(agents.boxes, np.float64)
    centers, velocity = place.to_global(boxes[:, :3]), _velocities(boxes[:, 7:], place)
    moving = np.linalg.norm(velocity, axis=1) > MOVING
    return [
        {
            "sample_token": place.token,
            "translation": centers[i].tolist(),
            "size": boxes[i, 3:6].tolist(),
            "rotation": (place.rotation * Quaternion(axis=[0, 0, 1], radians=heading)).elements.tolist(),
            "velocity": velocity[i].tolist(),
            "detection_name": AGENT_CLASSES[label],
            "detection_score": float(agents.scores[i]),
            "attribute_name": attribute(AGENT_CLASSES[label], bool(moving[i])),
        }
        for i, (label, heading) in enumerate(zip(agents.labels.tolist(), -boxes[:, 6] - np.pi / 2, strict=True))
    ]


def _velocities(velocity: Float[np.ndarray, "n 2"], place: Place) -> Float[np.ndarray, "n 2"]:
    """Velocities of the LiDAR frame in the global frame."""
    return (np.pad(velocity, ((0, 0), (0, 1))) @ place.rotation.rotation_matrix.T)[:, :2]


def attribute(name: str, is_moving: bool) -> str:
    """The attribute of a box of a class; "" for classes without one."""
    return ATTRIBUTES[name][0 if is_moving else 1]


def outside(centers: Float[np.ndarray, "n 3"], place: Place, pc_range: list[float]) -> Bool[np.ndarray, " n"]:
    """Whether global centers lie outside of the rectangle x, y of the LiDAR frame."""
    x, y = place.to_lidar(centers)[:, :2].T
    return ~((pc_range[0] < x) & (x < pc_range[3]) & (pc_range[1] < y) & (y < pc_range[4]))
