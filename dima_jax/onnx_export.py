"""The student as ONNX, and its comparison with JAX: standard operators only, opset 18, normalization inside.

Inputs, outputs and metadata by name: `interface.py`. Tidied by `onnx_graph.py` before it is written.
"""

import contextlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import jax.extend.core
import numpy as np
from jax import Array

from dima_jax import __version__, commit, jax_student, onnx_graph, onnx_lowering, output_files, sharding
from dima_jax.errors import UserError
from dima_jax.interface import METADATA_PREFIX, Outputs
from dima_jax.jax_student import JaxStudent
from dima_jax.onnx_student import OnnxStudent
from dima_jax.student import grid_sampling
from dima_jax.types import Frame

OPSET = 18


def export_student(student: JaxStudent, out: str | Path, batch_size: int = 1, sampling: str = "grid_sample") -> Path:
    """Writes the ONNX file after checking the graph: onnx.checker, standard domain, opset. Returns its path.

    sampling: how deformable attention samples, "grid_sample" or, for runtimes without that operator, "gather". The file
    computes in float32 whatever `student.dtype` says: the weights are float32.

    Raises UserError if the result is not plain ONNX or cannot be written; `out` is then as it was.
    """
    import onnx

    out = Path(out)
    if out.is_dir():
        raise UserError(f"{out} is a folder; name the file to write, e.g. --out={out / 'student.onnx'}")
    output_files.check_place(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    module, specs = student.in_float32().module, jax_student.input_specs(student.config, batch_size)

    def outputs(*inputs) -> Outputs:
        return jax_student.run(module, student.config, *inputs)[0]

    form = grid_sampling.traced() if sampling == "grid_sample" else contextlib.nullcontext()
    with form:
        model = plain_model(outputs, specs, Outputs._fields)
    source = {"version": __version__, "commit": commit.describe()}
    written = {METADATA_PREFIX + name: json.dumps(value) for name, value in source.items()}
    onnx.helper.set_model_props(model, student.info.to_metadata() | written)
    foreign = {node.domain for node in onnx_graph.all_nodes(model.graph)} - {"", "ai.onnx"}
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if foreign or model.functions or opsets.get("", 0) > OPSET:
        raise UserError(f"{out}: not plain ONNX (domains {sorted(foreign)}, opsets {opsets}); report this as a bug")
    onnx.checker.check_model(model, full_check=True)
    partial = out.with_name(f"{out.name}.partial")
    try:
        partial.write_bytes(model.SerializeToString())
        return partial.replace(out)
    except OSError as error:
        raise UserError(f"{out}: {error.strerror}; give another --out") from error
    finally:
        partial.unlink(missing_ok=True)


def plain_model(function: Callable, inputs: Mapping[str, Array], outputs: Sequence[str]):
    """A function of some arrays as an ONNX model, tidied. inputs: {name: array, or its shape and type}; outputs: names."""
    from jax2onnx import to_onnx

    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # its notes about types it leaves open in loops
    with sharding.tracing_for("onnx"):
        traced = jax.make_jaxpr(function)(*inputs.values())  # primitives only: jax2onnx patches jnp and nnx
    onnx_lowering.register()
    model = to_onnx(
        jax.extend.core.jaxpr_as_fun(traced),
        [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in inputs.values()],
        model_name="dima_student",
        opset=OPSET,
        input_names=list(inputs),
        output_names=list(outputs),
    )
    onnx_graph.tidy(model.graph)
    return model


def compare(student: JaxStudent, file: str | Path, frames: list[Frame]) -> dict[str, float]:
    """{output: largest absolute difference} of JAX and onnxruntime over the frames, each with its own previous BEV.

    Both in float32. NaN where either of them plans NaN.
    """
    student, exported = student.in_float32(), OnnxStudent(file)
    expected_bev = got_bev = None
    worst = dict.fromkeys(Outputs._fields, 0.0)
    for frame in frames:
        inputs = [np.asarray(x) for x in (frame.images, frame.lidar2img, frame.can_bus, frame.command)]
        expected, _ = student(*inputs, expected_bev)
        got, _ = exported(*inputs, got_bev)
        expected_bev, got_bev = expected.bev, got.bev
        for name in worst:
            difference = float(np.abs(np.asarray(getattr(expected, name)) - getattr(got, name)).max())
            worst[name] = float(np.maximum(worst[name], difference))  # unlike max, keeps NaN
    return worst
