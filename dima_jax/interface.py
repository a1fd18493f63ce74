"""What goes into a student and what comes out, by name: the contract that JAX, the exported ONNX and the policy share.

numpy and the standard library only: a machine that drives with the ONNX needs neither JAX nor TensorFlow.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dima_jax.constants import AGENT_CLASSES, CAMERAS, COMMANDS, MAP_CLASSES, STEP_SECONDS
from dima_jax.errors import UserError

INPUTS = ("images", "lidar2img", "can_bus", "command", "prev_bev", "has_prev_bev")  # shapes: `jax_student.input_specs`
METADATA_PREFIX = "dima_jax."


class Outputs(NamedTuple):
    """A student's outputs, decoded: scores in (0, 1), meters in the LiDAR frame of the frame; nothing is thresholded.

    waypoints: positions of the ego 0.5 s apart for the command given; waypoints_all: for every command. bev: feed it as
    `prev_bev` of the next frame. agent_boxes: (cx, cy, cz, w, l, h, yaw_box, vx, vy), center of gravity. agent_futures:
    positions of the centers for every motion mode. Arrays of numpy or JAX.
    """

    waypoints: np.ndarray  # [B, F, 2]
    waypoints_all: np.ndarray  # [B, R, F, 2], in the order of `ModelInfo.commands`
    bev: np.ndarray  # [B, YX, D]
    agent_scores: np.ndarray  # [B, A, 10], in the order of `ModelInfo.agent_classes`
    agent_boxes: np.ndarray  # [B, A, 9]
    agent_futures: np.ndarray  # [B, A, K, F, 2]
    agent_mode_scores: np.ndarray  # [B, A, K]
    map_scores: np.ndarray  # [B, M, 3], in the order of `ModelInfo.map_classes`
    map_lines: np.ndarray  # [B, M, P, 2]


class ModelInfo(NamedTuple):
    """What one must know to feed a student and to read its outputs. An exported ONNX carries it as metadata.

    image_shape: (rows, columns) of an input image; the picture, the camera's image scaled by image_scale, is its upper
    left part of valid_shape (rows, columns), the rest is padding. color_order: "rgb" or "bgr". mean, std: what the
    student itself normalizes the uint8 images with. pc_range: (x0, y0, z0, x1, y1, z1) in meters, what it looks at.
    cameras, commands, agent_classes, map_classes: names in order. step_seconds: between two waypoints.
    """

    image_shape: tuple[int, int]
    valid_shape: tuple[int, int]
    image_scale: float
    color_order: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    pc_range: tuple[float, ...]
    cameras: tuple[str, ...]
    commands: tuple[str, ...]
    agent_classes: tuple[str, ...]
    map_classes: tuple[str, ...]
    step_seconds: float

    @classmethod
    def from_config(cls, config) -> "ModelInfo":
        """The information of a whole config (groups `student` and `data` of `configs/base.py`)."""
        data = config.data
        return cls(
            image_shape=tuple(data.image_shape),
            valid_shape=tuple(data.valid_shape),
            image_scale=data.image_scale,
            color_order=data.color_order,
            mean=tuple(data.mean),
            std=tuple(data.std),
            pc_range=tuple(config.student.pc_range),
            cameras=CAMERAS,
            commands=COMMANDS,
            agent_classes=AGENT_CLASSES,
            map_classes=MAP_CLASSES,
            step_seconds=STEP_SECONDS,
        )

    def to_metadata(self) -> dict[str, str]:
        """{"dima_jax.<field>": value as JSON}."""
        return {METADATA_PREFIX + field: json.dumps(value) for field, value in self._asdict().items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], where: str) -> "ModelInfo":
        """The inverse of `to_metadata`. UserError naming the file `where` if a field is absent."""
        values = {}
        for field in cls._fields:
            if METADATA_PREFIX + field not in metadata:
                raise UserError(
                    f"{where} has no metadata {METADATA_PREFIX}{field}: no student of this version of dima_jax; "
                    "write it again with `python -m dima_jax.export`"
                )
            value = json.loads(metadata[METADATA_PREFIX + field])
            values[field] = tuple(value) if isinstance(value, list) else value
        return cls(**values)
