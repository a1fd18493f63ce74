"""A student in JAX as one function of arrays: what the policy runs and what the export writes. Never the teacher."""

import copy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from dima_jax import checkpoints, geometry, predictions, weights
from dima_jax.errors import UserError
from dima_jax.interface import LARGEST, ModelInfo, Outputs
from dima_jax.student import student as student_lib
from dima_jax.types import Frame, StudentOutput


class JaxStudent:
    """A student with its weights, compiled when it is first called.

    config, params ({path without "student/": array}), info: see `interface.ModelInfo`; step: of its checkpoint.
    UserError if the config is of vector mode, whose student sees no images.
    """

    batch_size = None  # any

    def __init__(self, config: ConfigDict, params: weights.Params, step: int = 0):
        if config.vector.enabled:
            raise UserError(
                "config.vector.enabled=True: the run is of vector mode, its student sees no images and cannot be driven, "
                "asked or exported; give a run of images, or plan with dima_jax.vector.planning (docs/evidence.md)"
            )
        self.config, self.step, self.info = config, step, ModelInfo.from_config(config)
        self.params = {path: jnp.asarray(value) for path, value in params.items()}  # a checkpoint may hold numpy's
        self._graph, _ = student_lib.abstract(config)
        self._run = jax.jit(lambda params, *inputs: run(weights.bind(self._graph, params), config, *inputs))

    @classmethod
    def load(cls, folder: str | Path, config: ConfigDict | None = None, step: int | None = None) -> "JaxStudent":
        """The student of a run (its latest step, or step `step`), of one step's folder, or of a student alone.

        config: default, the one it was trained with. UserError if there is no such checkpoint, if it is damaged, or
        if `config` describes another student.
        """
        saved, params, meta = checkpoints.load_student(folder, step)
        if config is not None:
            checkpoints.check_model(meta["config"], config, str(folder), checkpoints.STUDENT_KEYS)
        return cls(config or saved, without_prefix(params), meta["step"])

    def on(self, device: jax.Device) -> "JaxStudent":
        """The same student with its weights on a device, where its calls then run."""
        student = copy.copy(self)
        student.params = {path: jax.device_put(value, device) for path, value in self.params.items()}
        return student

    def in_float32(self) -> "JaxStudent":
        """The same weights, computing in float32 whatever `student.dtype` says."""
        is_float32 = self.config.student.dtype == "float32"
        return self if is_float32 else JaxStudent(student_lib.in_float32(self.config), self.params, self.step)

    @property
    def module(self) -> student_lib.Student:
        """The student as a Flax module."""
        return weights.bind(self._graph, self.params)

    def __call__(self, images, lidar2img, can_bus, command, prev_bev=None) -> tuple[Outputs, StudentOutput]:
        """(decoded outputs, raw outputs) of a batch; prev_bev None: there is no frame before. Shapes: `input_specs`."""
        has_prev_bev = np.full(len(images), prev_bev is not None)
        prev_bev = self._empty_bev(len(images)) if prev_bev is None else prev_bev
        return self._run(self.params, images, lidar2img, can_bus, command, prev_bev, has_prev_bev)

    def _empty_bev(self, batch_size: int) -> Float[Array, "B YX D"]:
        """Zeros where the weights are, as later BEVs will be: another placement would compile a second time."""
        sharding = next(iter(self.params.values())).sharding
        if isinstance(sharding, NamedSharding):
            sharding = NamedSharding(sharding.mesh, PartitionSpec())
        return jax.device_put(np.zeros(input_specs(self.config, batch_size)["prev_bev"].shape, np.float32), sharding)


def without_prefix(params: weights.Params) -> weights.Params:
    """The student's weights of a checkpoint or of a whole model, as the student alone names them."""
    return {path.removeprefix("student/"): value for path, value in weights.with_prefix(params, "student/").items()}


def run(
    student: student_lib.Student, config: ConfigDict, images, lidar2img, can_bus, command, prev_bev, has_prev_bev
) -> tuple[Outputs, StudentOutput]:
    """(decoded outputs, raw outputs) for arrays in the order of `interface.INPUTS`, as `input_specs` says.

    A sample that is not `is_valid` gets NaN in every decoded output, and its raw outputs mean nothing.
    """
    valid = is_valid(lidar2img, can_bus, command, prev_bev, has_prev_bev)
    # Zeros for what is not valid: as an index, NaN is another number in every runtime, or an error.
    lidar2img, can_bus, prev_bev = (_where(valid, x, 0.0) for x in (lidar2img, can_bus, prev_bev))
    output = student(Frame(images, lidar2img, can_bus, command), prev_bev, has_prev_bev)
    decoded = decode(output, command, tuple(config.student.pc_range))
    return Outputs(*(_where(valid, x, jnp.nan) for x in decoded)), output


def is_valid(
    lidar2img: Float[Array, "B N 4 4"],
    can_bus: Float[Array, "B 18"],
    command: Float[Array, "B R"],
    prev_bev: Float[Array, "B YX D"],
    has_prev_bev: Bool[Array, " B"],
) -> Bool[Array, " B"]:
    """False where an input cannot be right: a command that is not one-hot, or NaN, infinity or a number beyond
    `interface.LARGEST` in lidar2img, in can_bus, or in prev_bev where there is one.
    """

    def bounded(x):
        return ((x >= -LARGEST) & (x <= LARGEST)).reshape(len(x), -1).all(axis=1)

    one_hot = ((command == 0.0) | (command == 1.0)).all(axis=1) & (command.sum(axis=1) == 1.0)
    return one_hot & bounded(lidar2img) & bounded(can_bus) & (bounded(prev_bev) | ~has_prev_bev)


def _where(valid: Bool[Array, " B"], x: Float[Array, "B ..."], otherwise: float) -> Float[Array, "B ..."]:
    return jnp.where(valid.reshape(-1, *[1] * (x.ndim - 1)), x, otherwise)


def decode(output: StudentOutput, command: Float[Array, "B 3"], pc_range: tuple[float, ...]) -> Outputs:
    """The last decoder layer's predictions, in meters and scores, and the waypoints of the command (one-hot)."""
    waypoints = geometry.offsets_to_waypoints(output.ego_offsets)
    commanded = jnp.argmax(command, axis=-1)[:, None, None, None]
    decoded = predictions.decode(output, pc_range)
    return Outputs(
        waypoints=jnp.take_along_axis(waypoints, commanded, axis=1)[:, 0],
        waypoints_all=waypoints,
        bev=output.tokens.bev,
        agent_scores=decoded.agent_scores,
        agent_boxes=decoded.agent_boxes,
        agent_futures=predictions.agent_futures(decoded),
        agent_mode_scores=decoded.agent_mode_scores,
        map_scores=decoded.map_scores,
        map_lines=decoded.map_lines,
    )


def input_specs(config: ConfigDict, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shape and dtype of every input, in the order of `interface.INPUTS`; `types.Frame` says what they hold."""
    rows, columns = config.student.bev_shape
    cameras, lead = len(config.data.cameras), (batch_size,)
    return {
        "images": jax.ShapeDtypeStruct((*lead, cameras, *config.data.image_shape, 3), jnp.uint8),
        "lidar2img": jax.ShapeDtypeStruct((*lead, cameras, 4, 4), jnp.float32),
        "can_bus": jax.ShapeDtypeStruct((*lead, 18), jnp.float32),
        "command": jax.ShapeDtypeStruct((*lead, 3), jnp.float32),
        "prev_bev": jax.ShapeDtypeStruct((*lead, rows * columns, config.student.width), jnp.float32),
        "has_prev_bev": jax.ShapeDtypeStruct(lead, jnp.bool_),
    }
