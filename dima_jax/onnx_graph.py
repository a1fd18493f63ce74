"""What a converter cannot know of a graph, repaired in place: no constant that is repeated or unused is stored, products
with a matrix are MatMul; and half precision for those who want it. Bodies of loops and branches included.
"""

from collections.abc import Iterator

import numpy as np

REPEATED_BYTES = 16384  # larger constants of one repeated value are not stored
HALF_PRECISION = ("Conv", "Gemm", "MatMul")  # operators whose stored weights `use_half_precision` rounds


def bodies(node) -> Iterator:
    """The graphs inside a node: the body of a Loop, the branches of an If."""
    return (attribute.g for attribute in node.attribute if attribute.HasField("g"))


def all_nodes(graph) -> Iterator:
    """Every node of a graph and of the graphs inside its nodes."""
    for node in graph.node:
        yield node
        for body in bodies(node):
            yield from all_nodes(body)


def shrink(graph) -> None:
    """Replaces large constants of one repeated value (the zeros that loops start from) by ConstantOfShape nodes."""
    from onnx import helper, numpy_helper

    for node in graph.node:
        for body in bodies(node):
            shrink(body)
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
    _replace(graph, [*nodes, *graph.node], kept)


def use_matmul(graph) -> None:
    """Replaces each Einsum that is a plain product with a matrix by MatMul, whose weights onnxruntime packs once."""
    for node in graph.node:
        for body in bodies(node):
            use_matmul(body)
        if node.op_type == "Einsum" and is_product(node.attribute[0].s.decode()):
            node.op_type = "MatMul"
            del node.attribute[:]


def is_product(equation: str) -> bool:
    """Whether an Einsum equation reads rows times a matrix: "abc,cd->abd"."""
    inputs, _, result = equation.replace(" ", "").partition("->")
    rows, _, matrix = inputs.partition(",")
    return len(matrix) == 2 and rows[-1:] == matrix[0] and result == rows[:-1] + matrix[1]


def prune(graph) -> set[str]:
    """Removes nodes and stored constants that no output depends on. Returns the names that the graph takes from outside.

    onnxruntime prints a warning for each unused constant when it opens a file.
    """
    needed, kept = {value.name for value in graph.output}, []
    for node in reversed(graph.node):  # sorted: what a node reads stands before it
        if not needed.isdisjoint(node.output):
            kept.append(node)
            needed.update(node.input, *map(prune, bodies(node)))
    _replace(graph, kept[::-1], [tensor for tensor in graph.initializer if tensor.name in needed])
    own = {name for node in kept for name in node.output} | {value.name for value in graph.input}
    return needed - own - {tensor.name for tensor in graph.initializer} - {""}  # "": an input that is left out


def use_half_precision(graph, outer: frozenset[str] = frozenset()) -> None:
    """Computes every Conv, Gemm and MatMul with a stored weight in float16, and stores that weight as float16.

    All else stays float32, inputs and outputs of the graph included: coordinates and poses do not survive float16, which
    knows whole numbers up to 2048 only. Products of constants alone stay too: a runtime computes them once. outer: names
    of constants around the graph.
    """
    from onnx import TensorProto, helper, numpy_helper

    weights = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    constant, nodes, rounded = {"", *outer, *(tensor.name for tensor in graph.initializer)}, [], {}
    for node in graph.node:
        inner = list(bodies(node))
        for body in inner:
            use_half_precision(body, frozenset(constant))
        nodes.append(node)
        if not inner and constant.issuperset(node.input):
            constant.update(node.output)
        elif node.op_type in HALF_PRECISION and node.input[1] in weights:
            (result,) = node.output
            for i, name in enumerate(node.input):
                if not name:  # left out
                    continue
                if name in weights:
                    half = f"{name}_float16"
                    value = numpy_helper.to_array(weights[name]).astype(np.float16)
                    rounded[half] = numpy_helper.from_array(value, half)
                else:
                    half = f"{result}_input{i}_float16"
                    nodes.insert(-1, helper.make_node("Cast", [name], [half], to=TensorProto.FLOAT16))
                node.input[i] = half
            node.output[0] = f"{result}_float16"
            nodes.append(helper.make_node("Cast", [node.output[0]], [result], to=TensorProto.FLOAT))
    _replace(graph, nodes, [*graph.initializer, *rounded.values()])


def _replace(graph, nodes: list, initializers: list) -> None:
    """Sets the nodes and the stored constants of a graph; they may be those that it has."""
    nodes, initializers = (
        [type(x).FromString(x.SerializeToString()) for x in group] for group in (nodes, initializers)
    )
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(initializers)
    graph.node.extend(nodes)
