"""What a converter cannot know of a graph, repaired in place, so that runtimes find their fast kernels and nothing to
remove; and half precision for those who want it. Bodies of loops and branches included.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

REPEATED_BYTES = 16384  # larger constants of one repeated value are not stored
BROADCASTING = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Where", "And", "Or", "Equal", "Less", "Greater")
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


def tidy(graph) -> None:
    """All repairs of this file but half precision."""
    fold_constants(graph)
    shrink(graph)
    use_matmul(graph, shapes(graph))
    drop_expands(graph, shapes(graph))
    use_relu(graph)
    add_biases(graph)
    prune(graph)


def shapes(graph) -> dict[str, tuple[int, ...]]:
    """The shape of every value of a graph, and of the graphs inside, that is known."""
    known = {}
    for value in (*graph.input, *graph.output, *graph.value_info):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.dim_value > 0 for dim in dims):
            known[value.name] = tuple(dim.dim_value for dim in dims)
    known |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        for body in bodies(node):
            known |= shapes(body)
    return known


def fold_constants(graph, outer: Mapping[str, np.ndarray] | None = None) -> None:
    """Stores the results of nodes that depend on constants alone, except for those larger than what they come from.

    outer: {name: value} of constants around the graph.
    """
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator

    known = dict(outer or {}) | {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    results = {value.name for value in graph.output}
    nodes, folded = [], []
    for node in graph.node:
        nodes.append(node)
        inner = list(bodies(node))
        for body in inner:
            fold_constants(body, known)
        names = [name for name in node.input if name]
        if inner or not results.isdisjoint(node.output) or not known.keys() >= set(names):
            continue
        values = ReferenceEvaluator(node).run(None, {name: known[name] for name in names})
        values = dict(zip(node.output, map(np.asarray, values), strict=True))
        size = sum(known[name].nbytes for name in names)
        if sum(value.nbytes for value in values.values()) <= max(size, REPEATED_BYTES):
            known |= values
            folded += [numpy_helper.from_array(value, name) for name, value in values.items()]
            nodes.pop()
    _replace(graph, nodes, [*graph.initializer, *folded])


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


def drop_expands(graph, known: Mapping[str, tuple[int, ...]]) -> None:
    """Feeds element-wise nodes with what an Expand repeats where they repeat it themselves; known: from `shapes`."""
    sources = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Expand"}
    for node in graph.node:
        for body in bodies(node):
            drop_expands(body, known)
        if node.op_type not in BROADCASTING:
            continue
        for i, name in enumerate(node.input):
            inputs = [*node.input[:i], sources.get(name, name), *node.input[i + 1 :]]
            if name not in sources or not known.keys() >= {*inputs, node.output[0]}:
                continue
            if np.broadcast_shapes(*(known[x] for x in inputs)) == known[node.output[0]]:
                node.input[i] = sources[name]


def use_relu(graph, outer: Mapping[str, np.ndarray] | None = None) -> None:
    """Replaces Max(x, 0) by Relu, which runtimes fuse with the product before it; outer: as in `fold_constants`."""
    from onnx import numpy_helper

    known = dict(outer or {}) | {
        tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if not tensor.dims
    }
    for node in graph.node:
        for body in bodies(node):
            use_relu(body, known)
        zeros = [x for x in node.input if x in known and known[x].dtype == np.float32 and known[x] == 0.0]
        if node.op_type == "Max" and len(node.input) == 2 and len(zeros) == 1:
            node.op_type = "Relu"
            node.input.remove(zeros[0])


def add_biases(graph) -> None:
    """Makes the addition of a stored vector after a Conv, whose result is transposed to channels last, its bias."""
    from onnx import numpy_helper

    stored = {tensor.name: tensor for tensor in graph.initializer}
    readers = Counter(name for node in all_nodes(graph) for name in node.input)
    convs = {node.output[0]: node for node in graph.node if node.op_type == "Conv" and len(node.input) == 2}
    last = {node.output[0]: node for node in graph.node if node.op_type == "Transpose" and node.input[0] in convs}
    nodes, biases = [], {}
    for node in graph.node:
        nodes.append(node)
        moved = [name for name in node.input if name in last and readers[name] == readers[last[name].input[0]] == 1]
        vectors = [
            name for name in node.input if name in stored and stored[name].dims[-1:] == [np.prod(stored[name].dims)]
        ]
        if node.op_type != "Add" or len(moved) != 1 or len(vectors) != 1:
            continue
        transpose, vector = last[moved[0]], numpy_helper.to_array(stored[vectors[0]]).reshape(-1)
        conv = convs[transpose.input[0]]
        if list(transpose.attribute[0].ints) == [0, 2, 3, 1] and len(vector) == stored[conv.input[1]].dims[0]:
            bias = f"{conv.output[0]}_bias"
            biases[bias] = numpy_helper.from_array(vector, bias)
            conv.input.append(bias)
            transpose.output[0] = node.output[0]
            nodes.pop()
    _replace(graph, nodes, [*graph.initializer, *biases.values()])


def use_matmul(graph, known: Mapping[str, tuple[int, ...]]) -> None:
    """Replaces each Einsum that is a product of two matrices, or of two stacks of them, by MatMul, for which runtimes
    have their best kernels and pack stored weights once; known: from `shapes`.
    """
    nodes, dims = [], []
    for node in graph.node:
        for body in bodies(node):
            use_matmul(body, known)
        product = None
        if node.op_type == "Einsum" and len(node.input) == 2 and known.keys() >= set(node.input):
            product = as_matmul(node, *(known[name] for name in node.input))
        new_nodes, new_dims = product or ([node], [])
        nodes += new_nodes
        dims += new_dims
    _replace(graph, nodes, [*graph.initializer, *dims])


def as_matmul(einsum, left_shape: tuple[int, ...], right_shape: tuple[int, ...]) -> tuple[list, list] | None:
    """(nodes, constants for them) that compute an Einsum of two operands with one MatMul; None if that cannot be."""
    from onnx import helper, numpy_helper

    inputs, _, result = einsum.attribute[0].s.decode().replace(" ", "").partition("->")
    left, _, right = inputs.partition(",")
    batch = [x for x in left if x in right and x in result]
    inner = [x for x in left if x in right and x not in result]
    rows, columns = [x for x in left if x not in right], [x for x in right if x not in left]
    size = dict(zip(left + right, left_shape + right_shape, strict=True))
    is_repeated = any(len(set(letters)) < len(letters) for letters in (left, right, result))
    if is_repeated or not inner or sorted(result) != sorted(batch + rows + columns):
        return None
    name, nodes, constants = einsum.output[0], [], []

    def add(operator: str, *inputs: str, **attributes) -> str:
        nodes.append(helper.make_node(operator, inputs, [f"{name}_step{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    def reshape(x: str, *groups: list[str]) -> str:
        dims = np.array([np.prod([size[letter] for letter in group]) for group in groups], np.int64)
        constants.append(numpy_helper.from_array(dims, f"{name}_dims{len(nodes)}"))
        return add("Reshape", x, constants[-1].name)

    def transpose(x: str, letters: list[str], order: list[str]) -> str:
        return x if letters == order else add("Transpose", x, perm=[letters.index(letter) for letter in order])

    def operand(x: str, letters: str, *groups: list[str]) -> str:
        x = transpose(x, list(letters), [letter for group in groups for letter in group])
        return x if all(len(group) == 1 for group in groups) else reshape(x, *groups)

    stack, by_row = [[x] for x in batch], [[x] for x in rows]
    row_groups = by_row if rows and not batch else [rows]  # one matrix on the right: a stack on the left stays
    x = add(
        "MatMul",
        operand(einsum.input[0], left, *stack, *row_groups, inner),
        operand(einsum.input[1], right, *stack, inner, columns),
    )
    order = batch + rows + columns
    if len(columns) != 1 or any(len(group) != 1 for group in row_groups):
        x = reshape(x, *([letter] for letter in order))
    transpose(x, order, list(result))
    nodes[-1].output[0] = name
    return nodes, constants


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
