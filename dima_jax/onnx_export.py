"""The student as ONNX, and its comparison with JAX: standard operators only, opset 18, normalization inside.

Inputs, outputs and metadata by name: `interface.py`. Large files come from what a converter cannot know, so the graph
is tidied before it is written: repeated values are not stored, products with a matrix are MatMul.
"""

import logging
from pathlib import Path

import jax
import jax.extend.core
import numpy as np

from dima_jax import __version__, jax_student, sharding
from dima_jax.errors import UserError
from dima_jax.interface import METADATA_PREFIX, Outputs
from dima_jax.jax_student import JaxStudent
from dima_jax.onnx_student import OnnxStudent
from dima_jax.types import Frame

OPSET = 18
REPEATED_BYTES = 16384  # larger constants of one repeated value are not stored


def export_student(student: JaxStudent, out: str | Path, batch_size: int = 1) -> Path:
    """Writes the ONNX file and checks it: onnx.checker, standard domain, opset. Returns its path.

    Raises UserError if the result is not plain ONNX.
    """
    import onnx
    from jax2onnx import to_onnx

    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # its notes about types it leaves open in loops
    module, specs = student.module, jax_student.input_specs(student.config, batch_size)

    def outputs(*inputs) -> Outputs:
        return jax_student.run(module, student.config, *inputs)[0]

    with sharding.tracing_for("onnx"):
        traced = jax.make_jaxpr(outputs)(*specs.values())  # primitives only: jax2onnx patches jnp and nnx
    model = to_onnx(
        jax.extend.core.jaxpr_as_fun(traced),
        list(specs.values()),
        model_name="dima_student",
        opset=OPSET,
        input_names=list(specs),
        output_names=list(Outputs._fields),
    )
    shrink(model.graph)
    use_matmul(model.graph)
    onnx.helper.set_model_props(model, student.info.to_metadata() | {f"{METADATA_PREFIX}version": __version__})
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, out)
    onnx.checker.check_model(str(out), full_check=True)
    foreign = {node.domain for node in model.graph.node} - {"", "ai.onnx"}
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if foreign or model.functions or opsets.get("", 0) > OPSET:
        raise UserError(f"{out}: not plain ONNX (domains {sorted(foreign)}, opsets {opsets}); report this as a bug")
    return out


def compare(student: JaxStudent, file: str | Path, frames: list[Frame]) -> dict[str, float]:
    """{output: largest absolute difference} of JAX and onnxruntime over the frames, each with its own previous BEV."""
    exported = OnnxStudent(file)
    expected_bev = got_bev = None
    worst = dict.fromkeys(Outputs._fields, 0.0)
    for frame in frames:
        inputs = [np.asarray(x) for x in (frame.images, frame.lidar2img, frame.can_bus, frame.command)]
        expected, _ = student(*inputs, expected_bev)
        got, _ = exported(*inputs, got_bev)
        expected_bev, got_bev = expected.bev, got.bev
        for name in worst:
            difference = float(np.abs(np.asarray(getattr(expected, name)) - getattr(got, name)).max())
            worst[name] = max(worst[name], difference)
    return worst


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
