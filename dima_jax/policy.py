"""A trained student as a planner that is stepped through a drive: numpy in, a named plan out.

    policy = Policy.load("runs/base")             a run, one of its steps, or a folder with a student alone; runs in JAX
    policy = Policy.from_onnx("student.onnx")     what `python -m dima_jax.export` wrote; imports no JAX, no TensorFlow
    for frame in scene:
        plan = policy.step(frame)
    policy.reset()                                before another scene

The policy keeps the bird's-eye-view features (BEV) of the frame before, which the student reads with the next one:
frames are given in order of time, 0.5 s apart as in training.
"""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dima_jax import detections
from dima_jax.constants import COMMANDS
from dima_jax.errors import UserError
from dima_jax.interface import LARGEST
from dima_jax.onnx_student import OnnxStudent

if TYPE_CHECKING:  # these import JAX
    from ml_collections import ConfigDict

    from dima_jax.jax_student import JaxStudent
    from dima_jax.types import StudentOutput


class Frame(NamedTuple):
    """What a policy sees of one key frame: one sample of the batches that are `types.Frame`.

    images: the cameras of `Policy.info` in its order, and as it says: scaled, padded to image_shape
    at the right and at the bottom, color_order; not normalized. lidar2img: LiDAR frame of this frame (x right,
    y forward, z up, meters) to pixels of these images. can_bus: docs/vad.md#can-bus; position [0:3] and yaw
    [17, degrees] are differences to the frame before, 0 in the first of a scene. command: one of `constants.COMMANDS`.
    """

    images: np.ndarray  # [N, H, W, 3] uint8
    lidar2img: np.ndarray  # [N, 4, 4] real
    can_bus: np.ndarray  # [18] real
    command: str  # "right", "left" or "straight"

    @classmethod
    def from_batch(cls, batch, sample: int = 0) -> "Frame":
        """One sample of a `types.Frame`."""
        images, lidar2img, can_bus = (np.asarray(x[sample]) for x in (batch.images, batch.lidar2img, batch.can_bus))
        return cls(images, lidar2img, can_bus, COMMANDS[int(np.argmax(batch.command[sample]))])


class Plan(NamedTuple):
    """A policy's output for one frame. Meters in the LiDAR frame of the frame: x right, y forward.

    waypoints: where the ego should be 0.5 s, 1 s, ... from now, for the frame's command; waypoints_all: for every
    command, in the order of `constants.COMMANDS`. agents, lines: what it found around it, best first.
    """

    waypoints: np.ndarray  # [F, 2]
    waypoints_all: np.ndarray  # [R, F, 2]
    agents: detections.Agents
    lines: detections.Lines


class Policy:
    """Plans frame by frame. Two policies may share a student: each keeps a BEV of its own.

    info: `interface.ModelInfo`, what frames must be like. student_output: raw `types.StudentOutput` of the last step,
    which DiMA-Dual and the teacher read; None before the first step and on onnxruntime.
    """

    def __init__(self, student: "JaxStudent | OnnxStudent"):
        self.student, self.info = student, student.info
        if student.batch_size not in (None, 1):
            raise UserError(f"the ONNX was exported for batches of {student.batch_size}; a policy needs --batch_size=1")
        self.reset()

    @classmethod
    def load(cls, folder: str | Path, config: "ConfigDict | None" = None, step: int | None = None) -> "Policy":
        """The student of a run's folder (its latest step, or step `step`), of one step's folder, or of a student alone,
        in JAX.

        config: default, the one it was trained with. UserError if the folder holds no such checkpoint, if it is damaged,
        which says which step is whole, or if `config` describes another student.
        """
        from dima_jax.jax_student import JaxStudent

        return cls(JaxStudent.load(folder, config, step))

    @classmethod
    def from_onnx(cls, file: str | Path, threads: int = 0) -> "Policy":
        """An exported student on onnxruntime. threads: 0 for as many as there are cores.

        UserError if the file is absent, is no student that `dima_jax.export` wrote, or is made for larger batches.
        """
        return cls(OnnxStudent(file, threads))

    def reset(self) -> None:
        """Forgets the frames seen so far: the next one starts a scene."""
        self._bev = None
        self.student_output: StudentOutput | None = None

    def fork(self) -> "Policy":
        """Another policy that has seen the same frames; from here on each goes its own way."""
        return copy.copy(self)  # `step` replaces the BEV and never changes it

    def step(self, frame: Frame) -> Plan:
        """The plan for the next frame of a scene. frame: a `Frame`, or anything with its attributes.

        UserError naming the field if its shape, dtype or value is not as `Frame` says.
        """
        outputs, self.student_output = self.student(*self._inputs(frame), self._bev)
        self._bev = outputs.bev
        first = {name: np.asarray(value)[0] for name, value in outputs._asdict().items() if name != "bev"}
        return Plan(
            waypoints=first["waypoints"],
            waypoints_all=first["waypoints_all"],
            agents=detections.select_agents(
                first["agent_scores"], first["agent_boxes"], first["agent_futures"], first["agent_mode_scores"]
            ),
            lines=detections.select_lines(first["map_scores"], first["map_lines"]),
        )

    def _inputs(self, frame: Frame) -> tuple[np.ndarray, ...]:
        """The frame as a checked batch of one, in the order of `interface.INPUTS`."""
        images, count = np.asarray(frame.images), len(self.info.cameras)
        _check("images", images, (count, *self.info.image_shape, 3), "uint8", images.dtype == np.uint8)
        inputs = [images[None]]
        for name, shape in (("lidar2img", (count, 4, 4)), ("can_bus", (18,))):
            value = np.asarray(getattr(frame, name))
            _check(name, value, shape, "real", value.dtype.kind in "fiu")
            if not (np.abs(value) <= LARGEST).all():
                raise UserError(f"frame.{name} holds NaN or infinity, or a number beyond {LARGEST:g}")
            inputs.append(value.astype(np.float32)[None])
        if not isinstance(frame.command, str) or frame.command not in self.info.commands:
            raise UserError(f"frame.command is {frame.command!r}; expected one of {', '.join(self.info.commands)}")
        one_hot = np.eye(len(self.info.commands), dtype=np.float32)[self.info.commands.index(frame.command)]
        return (*inputs, one_hot[None])


def _check(name: str, value: np.ndarray, shape: tuple[int, ...], kind: str, is_kind: bool) -> None:
    if value.shape != shape or not is_kind:
        raise UserError(f"frame.{name} is {value.dtype} {list(value.shape)}; expected {kind} {list(shape)}")
