"""The student as ONNX, compared with JAX frame by frame: what ships to a car.

    python -m dima_jax.export --checkpoint=runs/base --out=student.onnx [--config=configs/base.py]

Standard operators only, opset 18, for plain onnxruntime; normalization is inside. Inputs and outputs by name are in
`INPUTS` and `Exported` (design section 8). Reads the items `student` and `meta` of a checkpoint, nothing else: this
file reaches the student, never the teacher. Prints the largest differences over several frames, each fed with the
previous BEV of its own runtime, and the file's size; exit status 1 if the waypoints differ by more than 1e-4 m.
"""

import logging
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from absl import flags
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from dima_jax import checkpoints, cli, geometry, predictions, weights
from dima_jax.constants import CAMERA_YAWS_DEG, CAMERAS
from dima_jax.errors import UserError
from dima_jax.student import student as student_lib
from dima_jax.types import Frame, StudentOutput

OPSET = 18
REPEATED_BYTES = 16384  # larger constants of one repeated value are not stored
TOLERANCE = 1e-4  # meters, of the waypoints
FRAMES = 4  # compared one after the other
INPUTS = ("images", "lidar2img", "can_bus", "command", "prev_bev", "has_prev_bev")


class Exported(NamedTuple):
    """Outputs of the exported model, decoded; LiDAR frame, meters.

    waypoints: of the commanded mode; waypoints_all: of every command [right, left, straight]. Positions 0.5 s apart.
    bev: feed it as `prev_bev` of the next frame. agent_boxes: (cx, cy, cz, w, l, h, yaw_box, vx, vy), center of
    gravity. agent_futures: positions of every motion mode. Scores lie in (0, 1); nothing is thresholded.
    """

    waypoints: Float[Array, "B F 2"]
    waypoints_all: Float[Array, "B R F 2"]
    bev: Float[Array, "B YX D"]
    agent_scores: Float[Array, "B A 10"]
    agent_boxes: Float[Array, "B A 9"]
    agent_futures: Float[Array, "B A K F 2"]
    agent_mode_scores: Float[Array, "B A K"]
    map_scores: Float[Array, "B M 3"]
    map_lines: Float[Array, "B M P 2"]


def decoded(output: StudentOutput, command: Float[Array, "B 3"], pc_range) -> Exported:
    """The last decoder layer's predictions in meters and scores."""
    waypoints = geometry.offsets_to_waypoints(output.ego_offsets)
    chosen = jnp.argmax(command, axis=-1)[:, None, None, None]
    seen = predictions.decode(output, pc_range)
    return Exported(
        waypoints=jnp.take_along_axis(waypoints, chosen, axis=1)[:, 0],
        waypoints_all=waypoints,
        bev=output.tokens.bev,
        agent_scores=seen.agent_scores,
        agent_boxes=seen.agent_boxes,
        agent_futures=predictions.agent_futures(seen),
        agent_mode_scores=seen.agent_mode_scores,
        map_scores=seen.map_scores,
        map_lines=seen.map_lines,
    )


def runner(student: nnx.Module, config: ConfigDict):
    """The function that is exported: arrays in the order of INPUTS to `Exported`."""

    def run(images, lidar2img, can_bus, command, prev_bev, has_prev_bev) -> Exported:
        output = student(Frame(images, lidar2img, can_bus, command), prev_bev, has_prev_bev)
        return decoded(output, command, config.student.pc_range)

    return run


def input_specs(config: ConfigDict, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shape and dtype of every input."""
    rows, columns = config.student.bev_shape
    cameras, lead = len(CAMERAS), (batch_size,)
    return {
        "images": jax.ShapeDtypeStruct((*lead, cameras, *config.data.image_shape, 3), jnp.uint8),
        "lidar2img": jax.ShapeDtypeStruct((*lead, cameras, 4, 4), jnp.float32),
        "can_bus": jax.ShapeDtypeStruct((*lead, 18), jnp.float32),
        "command": jax.ShapeDtypeStruct((*lead, 3), jnp.float32),
        "prev_bev": jax.ShapeDtypeStruct((*lead, rows * columns, config.student.width), jnp.float32),
        "has_prev_bev": jax.ShapeDtypeStruct(lead, jnp.bool_),
    }


def export_student(student: nnx.Module, config: ConfigDict, out: str | Path, batch_size: int = 1) -> Path:
    """Writes the ONNX file and checks it: onnx.checker, standard domain, opset. Returns its path.

    Raises UserError if the result is not plain ONNX.
    """
    import onnx
    from jax2onnx import to_onnx

    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # its notes about types it leaves open in loops
    specs = input_specs(config, batch_size)
    traced = jax.make_jaxpr(runner(student, config))(*specs.values())  # primitives only: jax2onnx patches jnp and nnx
    model = to_onnx(
        jax.extend.core.jaxpr_as_fun(traced),
        list(specs.values()),
        model_name="dima_student",
        opset=OPSET,
        input_names=list(specs),
        output_names=list(Exported._fields),
    )
    shrink(model.graph)
    use_matmul(model.graph)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, out)
    onnx.checker.check_model(str(out), full_check=True)
    foreign = {node.domain for node in model.graph.node} - {"", "ai.onnx"}
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if foreign or model.functions or opsets.get("", 0) > OPSET:
        raise UserError(f"{out}: not plain ONNX (domains {sorted(foreign)}, opsets {opsets}); report this as a bug")
    return out


def shrink(graph) -> None:
    """Replaces large constants of one repeated value (the zeros that loops start from) by ConstantOfShape nodes."""
    from onnx import helper, numpy_helper

    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                shrink(attribute.g)
    kept, nodes = [], []
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.nbytes <= REPEATED_BYTES or (array != array.flat[0]).any():
            kept.append(tensor)
            continue
        shape = numpy_helper.from_array(np.array(array.shape, np.int64), f"{tensor.name}_shape")
        value = numpy_helper.from_array(array.reshape(-1)[:1], f"{tensor.name}_value")
        kept.append(shape)
        nodes.append(helper.make_node("ConstantOfShape", [shape.name], [tensor.name], value=value))
    body = [*nodes, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(body)


def use_matmul(graph) -> None:
    """Replaces each Einsum that is a plain product with a matrix by MatMul, whose weights onnxruntime packs once."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                use_matmul(attribute.g)
        if node.op_type == "Einsum" and is_product(node.attribute[0].s.decode()):
            node.op_type = "MatMul"
            del node.attribute[:]


def is_product(equation: str) -> bool:
    """Whether an Einsum equation reads rows times a matrix: "abc,cd->abd"."""
    inputs, _, result = equation.replace(" ", "").partition("->")
    rows, _, matrix = inputs.partition(",")
    return len(matrix) == 2 and rows[-1:] == matrix[0] and result == rows[:-1] + matrix[1]


def made_up_frames(config: ConfigDict, count: int, batch_size: int, seed: int = 0) -> list[Frame]:
    """`count` consecutive frames: seeded images, a rig of six pinhole cameras, a car that drives and turns a little."""
    rng = np.random.default_rng(seed)
    height, width = config.data.image_shape
    lidar2img = np.stack([_camera(yaw, width, height) for yaw in CAMERA_YAWS_DEG]).astype(np.float32)
    frames = []
    for i in range(count):
        coarse = rng.integers(0, 256, (batch_size, len(CAMERAS), -(-height // 16), -(-width // 16), 3), np.uint8)
        images = coarse.repeat(16, axis=2).repeat(16, axis=3)[:, :, :height, :width]
        can_bus = np.zeros((batch_size, 18), np.float32)
        if i > 0:
            can_bus[:, :2], can_bus[:, 17] = rng.normal(1.5, 0.5, (batch_size, 2)), rng.normal(0, 3, batch_size)
        can_bus[:, 16] = np.deg2rad(40.0 + 3.0 * i)
        command = np.eye(3, dtype=np.float32)[rng.integers(0, 3, batch_size)]
        frames.append(Frame(images, np.broadcast_to(lidar2img, (batch_size, *lidar2img.shape)), can_bus, command))
    return frames


def _camera(yaw_deg: float, width: int, height: int) -> np.ndarray:
    """lidar2img of a pinhole camera at the LiDAR's place, 70 degrees wide, looking `yaw_deg` to the left of forward."""
    yaw, focal = np.deg2rad(yaw_deg), 0.5 * width / np.tan(np.deg2rad(35.0))
    forward, right = (-np.sin(yaw), np.cos(yaw), 0.0), (np.cos(yaw), np.sin(yaw), 0.0)
    axes = np.array([right, (0.0, 0.0, -1.0), forward])
    intrinsics = np.array([[focal, 0.0, 0.5 * width], [0.0, focal, 0.5 * height], [0.0, 0.0, 1.0]])
    matrix = np.eye(4)
    matrix[:3, :3] = intrinsics @ axes
    return matrix


def open_session(model: str | bytes, threads: int = 0):
    """An onnxruntime session on the CPU for a file or its bytes; threads 0: as many as there are cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; its notes about initializers it folds away are none of ours
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def compare(student: nnx.Module, config: ConfigDict, file: str | Path, frames: list[Frame]) -> dict[str, float]:
    """{output: largest absolute difference} of JAX and onnxruntime over the frames, each with its own previous BEV."""
    session = open_session(str(file))
    graph, params = weights.split(student)
    in_jax = jax.jit(lambda params, *inputs: runner(weights.bind(graph, params), config)(*inputs))
    batch_size = frames[0].command.shape[0]
    ours = theirs = np.asarray(student.empty_bev(batch_size))
    worst = dict.fromkeys(Exported._fields, 0.0)
    for i, frame in enumerate(frames):
        has_prev_bev = np.full(batch_size, i > 0)
        inputs = (frame.images, frame.lidar2img, frame.can_bus, frame.command)
        expected = in_jax(params, *inputs, ours, has_prev_bev)
        feed = dict(zip(INPUTS, (*map(np.asarray, inputs), theirs, has_prev_bev), strict=True))
        got = Exported(*session.run(list(Exported._fields), feed))
        for name, difference in worst.items():
            here = float(np.abs(np.asarray(getattr(expected, name)) - getattr(got, name)).max())
            worst[name] = max(difference, here)
        ours, theirs = np.asarray(expected.bev), got.bev
    return worst


def main() -> None:
    run = Path(CHECKPOINT.value) if CHECKPOINT.value else checkpoints.latest_run()
    saved, params, meta = checkpoints.load_student(run)
    config = CONFIG.value or saved
    checkpoints.check_model(meta["config"], config, str(run), checkpoints.STUDENT_KEYS)
    graph, _ = student_lib.abstract(config)
    student = weights.bind(graph, {path.removeprefix("student/"): value for path, value in params.items()})
    file = export_student(student, config, OUT.value, BATCH_SIZE.value)
    size = file.stat().st_size / 2**20
    print(f"{file}: {size:.1f} MiB, {weights.count(params):,} numbers, opset {OPSET}, standard operators only")
    worst = compare(student, config, file, made_up_frames(config, FRAMES, BATCH_SIZE.value))
    print(f"largest absolute difference between JAX and onnxruntime over {FRAMES} frames:")
    for name, difference in worst.items():
        print(f"  {name:18s} {difference:.2e}")
    if not worst["waypoints_all"] <= TOLERANCE:
        print(f"error: the waypoints differ by more than {TOLERANCE} m", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    CONFIG = cli.define_config()
    CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Folder of a run or of one of its steps; default: last run.")
    OUT = flags.DEFINE_string("out", "student.onnx", "The file to write.")
    BATCH_SIZE = flags.DEFINE_integer("batch_size", 1, "Batch size of the exported model, which is fixed.")
    cli.run(main)
