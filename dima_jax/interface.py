"""What goes into a student and what comes out, by name: the contract that JAX, the exported ONNX and the policy share.

numpy and the standard library only: a machine that drives with the ONNX needs neither JAX nor TensorFlow.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dima_jax.constants import AGENT_CLASSES, COMMANDS, MAP_CLASSES, STEP_SECONDS
from dima_jax.errors import UserError

INPUTS = ("images", "lidar2img", "can_bus", "command", "prev_bev", "has_prev_bev")  # shapes: `jax_student.input_specs`
LARGEST = 1e6  # magnitude of a number in lidar2img, can_bus, prev_bev; beyond it, the input is taken for a mistake
METADATA_PREFIX = "dima_jax."

CAN_BUS = (  # (what, unit) of each of VAD's numbers, docs/vad.md#can-bus; ego frame: x forward, y left, z up
    *((f"change of the ego's global {axis} since the previous frame, 0 in the first", "m") for axis in "xyz"),
    *[("w of the quaternion (w, x, y, z) from the ego frame to the global frame", "1")] * 4,
    *((f"acceleration along {axis} of the ego frame", "m/s^2") for axis in "xyz"),
    *((f"rotation rate about {axis} of the ego frame", "rad/s") for axis in "xyz"),
    *((f"velocity along {axis} of the ego frame", "m/s") for axis in "xyz"),
    ("heading of the ego, counter-clockwise from global x, in [0, 2 pi)", "rad"),
    ("change of that heading since the previous frame, not wrapped, 0 in the first", "degrees"),
)
SPEED_CAN_BUS = {  # with `data.ego_status="speed"`, index: (what, unit); the others are 0
    0: ("element 13 times step_seconds, 0 in the first frame", "m"),
    13: CAN_BUS[13],
}
CONVENTIONS = {  # the same for every exported student, written into its metadata; docs/export.md explains them
    "frame": "LiDAR frame of the current key frame: x right, y forward, z up, origin at the LiDAR",
    "units": "meters, seconds, radians, m/s; pixels of the scaled image; can_bus: units of its own",
    "inputs": {
        "images": "uint8, normalized inside; cameras, color_order, image_scale, image_shape and valid_shape say how",
        "lidar2img": "float32, (x, y, z, 1) in meters to (u d, v d, d, 1): u right, v down in pixels, d depth in meters",
        "can_bus": "float32, see can_bus",
        "command": "float32, one-hot in the order of commands",
        "prev_bev": "float32, see previous_bev",
        "has_prev_bev": "bool, see previous_bev",
    },
    "outputs": {
        "waypoints": "positions (x, y) of the ego, meters, step_seconds apart, for the command",
        "waypoints_all": "the same for every one of commands",
        "bev": "features by cell, row-major over bev_shape: rows along y, the first behind; columns along x, from the left",
        "agent_scores": "scores in (0, 1) in the order of agent_classes; nothing is thresholded",
        "agent_boxes": "cx, cy, cz, w, l, h in meters, yaw_box = -heading - pi/2 in radians, vx, vy in m/s",
        "agent_futures": "positions (x, y) of each motion mode, meters, step_seconds apart",
        "agent_mode_scores": "scores of the motion modes, in (0, 1)",
        "map_scores": "scores in (0, 1) in the order of map_classes; nothing is thresholded",
        "map_lines": "points (x, y) of each line, meters",
    },
    "previous_bev": "first frame of a scene: has_prev_bev false, prev_bev ignored; later: has_prev_bev true, prev_bev the "
    "output bev of the frame step_seconds before; after a frame whose outputs are NaN: has_prev_bev false",
    "invalid_inputs": f"command not one-hot, or NaN, infinity or a magnitude above {LARGEST:g} in lidar2img, can_bus or a "
    "prev_bev that is read: every output of that sample is NaN",
}


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
    left part of valid_shape (rows, columns), the rest is padding; an image of another size is scaled to fit valid_shape. color_order: "rgb" or "bgr". mean, std: what the
    student itself normalizes the uint8 images with. pc_range: (x0, y0, z0, x1, y1, z1) in meters, what it looks at.
    cameras, commands, agent_classes, map_classes: names in order. step_seconds: between two waypoints, and between two
    frames. bev_shape: (rows, columns) of the BEV. ego_status: what `can_bus` holds, "full", "speed" or "none"
    (docs/vad.md#can-bus). reads_command: False for a control that is told "straight" in every frame.
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
    bev_shape: tuple[int, int]
    ego_status: str
    reads_command: bool

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
            cameras=tuple(data.cameras),
            commands=COMMANDS,
            agent_classes=AGENT_CLASSES,
            map_classes=MAP_CLASSES,
            step_seconds=STEP_SECONDS,
            bev_shape=tuple(config.student.bev_shape),
            ego_status=data.ego_status,
            reads_command=data.command,
        )

    def can_bus(self) -> list[tuple[str, str]]:
        """(what, unit) of the 18 numbers of the input `can_bus`, as this student reads them."""
        if self.ego_status == "full":
            return list(CAN_BUS)
        read = SPEED_CAN_BUS if self.ego_status == "speed" else {}
        return [read.get(i, ("0", "1")) for i in range(len(CAN_BUS))]

    def to_metadata(self) -> dict[str, str]:
        """{"dima_jax.<name>": value as JSON}: the fields, `can_bus` and `CONVENTIONS`."""
        values = self._asdict() | {"can_bus": self.can_bus()} | CONVENTIONS
        return {METADATA_PREFIX + name: json.dumps(value) for name, value in values.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], where: str) -> "ModelInfo":
        """The fields that `to_metadata` wrote. UserError naming the file `where` if one is absent or no JSON."""
        values = {}
        for field in cls._fields:
            if METADATA_PREFIX + field not in metadata:
                raise UserError(
                    f"{where} has no metadata {METADATA_PREFIX}{field}: no student of this version of dima_jax; "
                    "write it again with `python -m dima_jax.export`"
                )
            try:
                value = json.loads(metadata[METADATA_PREFIX + field])
            except ValueError as error:
                raise UserError(
                    f"{where}: metadata {METADATA_PREFIX}{field} is no JSON: {error}; export again"
                ) from error
            values[field] = tuple(value) if isinstance(value, list) else value
        return cls(**values)
