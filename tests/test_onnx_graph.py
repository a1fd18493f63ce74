"""What is repaired in an exported graph, on graphs small enough to see through."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from dima_jax import onnx_export, onnx_graph
from dima_jax.onnx_student import open_session


def stored(name: str, value) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)


def of_floats(name: str, *shape: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def checked(graph: onnx.GraphProto) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", onnx_export.OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


@pytest.fixture
def loop() -> onnx.GraphProto:
    """total = start + 3 (one + outer), with constants and a node that nothing needs, inside the loop and outside."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["one", "outer"], ["step"]),
            helper.make_node("Add", ["idle", "idle"], ["idle2"]),
            helper.make_node("Add", ["sum", "step"], ["next"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, ()),
            helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
            of_floats("sum", 2),
        ],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, ()), of_floats("next", 2)],
        [stored("one", np.ones(2, np.float32)), stored("idle", np.ones(2, np.float32)), stored("unused", np.ones(3))],
    )
    return helper.make_graph(
        [
            helper.make_node("Mul", ["two", "two"], ["outer"]),  # read by the body alone
            helper.make_node("Loop", ["count", "", "start"], ["total"], body=body),
            helper.make_node("Neg", ["lonely"], ["idle3"]),
        ],
        "g",
        [of_floats("start", 2)],
        [of_floats("total", 2)],
        [
            stored("two", np.float32([2, 2])),
            stored("count", np.int64(3)),
            stored("lonely", np.float32([7])),
            stored("unused2", np.zeros(5)),
        ],
    )


def test_what_nothing_needs_is_removed(loop, capfd):
    onnxruntime.InferenceSession(checked(loop))
    assert capfd.readouterr().err.count("Removing initializer") >= 2  # so this test would see one
    assert onnx_graph.prune(loop) == set()
    nodes = [node.op_type for node in onnx_graph.all_nodes(loop)]
    assert nodes == ["Mul", "Loop", "Add", "Add", "Identity"]
    (body,) = onnx_graph.bodies(loop.node[1])
    assert [tensor.name for tensor in loop.initializer] == ["two", "count"]
    assert [tensor.name for tensor in body.initializer] == ["one"]
    session = onnxruntime.InferenceSession(checked(loop))
    assert capfd.readouterr() == ("", "")
    np.testing.assert_array_equal(session.run(None, {"start": np.float32([1, 2])})[0], [16, 17])


@pytest.fixture
def network() -> onnx.GraphProto:
    """y = x w + b; far = 1e6 x table."""
    weight = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    return helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["y"]),
            helper.make_node("MatMul", ["queries", "w"], ["table"]),  # of constants alone
            helper.make_node("MatMul", ["x", "table"], ["z"]),  # of no stored weight
            helper.make_node("Mul", ["z", "large"], ["far"]),
        ],
        "g",
        [of_floats("x", 2, 3)],
        [of_floats("y", 2, 3), of_floats("far", 2, 3)],
        [
            stored("w", weight),
            stored("b", np.float32([0.1, 1, -1])),
            stored("queries", np.eye(3, dtype=np.float32)),
            stored("large", np.float32(1e6)),  # more than float16 can hold
        ],
    )


def test_half_precision_rounds_products_with_stored_weights_alone(network):
    graph = network
    x = np.float32([[1, 2, 3], [0.1, -5, 0.3]])
    expected = open_session(checked(graph)).run(None, {"x": x})
    onnx_graph.use_half_precision(graph)
    onnx_graph.prune(graph)
    y, far = open_session(checked(graph)).run(None, {"x": x})
    np.testing.assert_allclose(y, expected[0], atol=2e-2)
    assert np.abs(y - expected[0]).max() > 1e-5
    np.testing.assert_array_equal(far, expected[1])
    halves = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    assert halves == {"w_float16", "b_float16"}


def test_half_precision_in_loops(loop):
    (body,) = onnx_graph.bodies(loop.node[1])
    body.initializer.append(stored("w", np.eye(2, dtype=np.float32)))
    body.node[2].input[1] = "product"
    body.node.insert(2, helper.make_node("MatMul", ["step", "w"], ["product"]))
    onnx_graph.use_half_precision(loop)
    onnx_graph.prune(loop)
    assert [node.op_type for node in onnx_graph.all_nodes(loop)].count("Cast") == 0  # of constants alone
    (body,) = onnx_graph.bodies(loop.node[1])
    body.node[0].input[0] = "sum"
    onnx_graph.use_half_precision(loop)
    onnx_graph.prune(loop)
    assert [node.op_type for node in onnx_graph.all_nodes(loop)].count("Cast") == 2
    (total,) = open_session(checked(loop)).run(None, {"start": np.float32([1, 2])})
    np.testing.assert_array_equal(total, [36, 44])


def test_stores_no_repeated_values():
    """A large constant of one value becomes a node; varied ones stay."""
    zeros = stored("zeros", np.zeros((100, 100), np.float32))
    varied = stored("varied", np.arange(10000, dtype=np.float32).reshape(100, 100))
    node = helper.make_node("Add", ["zeros", "varied"], ["sum"])
    graph = helper.make_graph([node], "g", [], [of_floats("sum", 100, 100)], [zeros, varied])
    onnx_graph.shrink(graph)
    assert {tensor.name for tensor in graph.initializer} == {"zeros_shape", "varied"}
    session = open_session(checked(graph))
    np.testing.assert_array_equal(session.run(None, {})[0], np.arange(10000).reshape(100, 100))


@pytest.mark.parametrize(
    ("equation", "left", "right", "operators"),
    [
        ("abc,cd->abd", (2, 3, 4), (4, 5), ["MatMul"]),
        ("abc,dc->abd", (2, 3, 4), (5, 4), ["Transpose", "MatMul"]),
        ("zyab,zbyc->zyac", (2, 3, 4, 5), (2, 5, 3, 6), ["Transpose", "MatMul"]),
        (
            "zabyc,zdyc->zyabd",
            (2, 3, 4, 5, 6),
            (2, 7, 5, 6),
            ["Transpose", "Reshape", "Transpose", "MatMul", "Reshape"],
        ),
        ("azb,cdzb->zacd", (2, 3, 4), (5, 6, 3, 4), ["Transpose", "Transpose", "Reshape", "MatMul", "Reshape"]),
        ("abc,cd->dab", (2, 3, 4), (4, 5), ["MatMul", "Transpose"]),
        ("abcd,cde->abe", (2, 3, 4, 5), (4, 5, 6), ["Reshape", "Reshape", "MatMul"]),
        ("abc,c->ab", (2, 3, 4), (4,), ["Reshape", "MatMul", "Reshape"]),
        ("abc,cde->abd", (2, 3, 4), (4, 5, 6), ["Einsum"]),  # sums over e as well
        ("ab,cd->abcd", (2, 3), (4, 5), ["Einsum"]),  # no product
        ("aab,bc->ac", (2, 2, 3), (3, 4), ["Einsum"]),  # a diagonal
    ],
)
def test_products_of_matrices_are_matmul(equation, left, right, operators):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=left).astype(np.float32), rng.normal(size=right).astype(np.float32)
    expected = np.einsum(equation, x, y)
    graph = helper.make_graph(
        [helper.make_node("Einsum", ["x", "y"], ["z"], equation=equation)],
        "g",
        [of_floats("x", *left), of_floats("y", *right)],
        [of_floats("z", *expected.shape)],
    )
    onnx_graph.use_matmul(graph, onnx_graph.shapes(graph))
    assert [node.op_type for node in graph.node] == operators
    got = open_session(checked(graph)).run(None, {"x": x, "y": y})[0]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_what_depends_on_constants_alone_is_stored_unless_it_is_larger(loop):
    loop.node.append(helper.make_node("Expand", ["lonely", "size"], ["large"]))
    loop.initializer.append(stored("size", np.int64([onnx_graph.REPEATED_BYTES])))
    loop.node.append(helper.make_node("Neg", ["idle3"], ["idle4"]))
    onnx_graph.fold_constants(loop)
    assert [node.op_type for node in loop.node] == ["Loop", "Expand"]
    values = {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in loop.initializer}
    assert values["outer"] == [4, 4] and values["idle3"] == [-7] and values["idle4"] == [7]
    (body,) = onnx_graph.bodies(loop.node[0])
    assert [node.op_type for node in body.node] == ["Add", "Identity"]  # what it adds in each turn is known: 5
    assert {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in body.initializer}["step"] == [5, 5]
    np.testing.assert_array_equal(open_session(checked(loop)).run(None, {"start": np.float32([1, 2])})[0], [16, 17])


def test_expands_are_left_to_element_wise_nodes():
    """Not where the Expand makes the shape of the result, and not for other readers."""
    graph = helper.make_graph(
        [
            helper.make_node("Expand", ["row", "shape"], ["rows"]),
            helper.make_node("Add", ["x", "rows"], ["sum"]),
            helper.make_node("Mul", ["rows", "rows"], ["square"]),
            helper.make_node("MatMul", ["rows", "x"], ["product"]),
        ],
        "g",
        [of_floats("x", 3, 3), of_floats("row", 1, 3)],
        [of_floats("sum", 3, 3), of_floats("square", 3, 3), of_floats("product", 3, 3)],
        [stored("shape", np.int64([3, 3]))],
        value_info=[of_floats("rows", 3, 3)],
    )
    feed = {"x": np.eye(3, dtype=np.float32), "row": np.float32([[1, 2, 3]])}
    expected = open_session(checked(graph)).run(None, feed)
    onnx_graph.drop_expands(graph, onnx_graph.shapes(graph))
    assert [list(node.input) for node in graph.node[1:]] == [["x", "row"], ["row", "rows"], ["rows", "x"]]
    for got, before in zip(open_session(checked(graph)).run(None, feed), expected, strict=True):
        np.testing.assert_array_equal(got, before)


def test_the_maximum_of_a_number_and_zero_is_relu():
    nodes = [
        helper.make_node("Max", ["x", "zero"], ["a"]),
        helper.make_node("Max", ["zero", "a"], ["b"]),
        helper.make_node("Max", ["b", "one"], ["c"]),
    ]
    constants = [stored("zero", np.float32(0)), stored("one", np.float32(1))]
    graph = helper.make_graph(nodes, "g", [of_floats("x", 2)], [of_floats("c", 2)], constants)
    onnx_graph.use_relu(graph)
    assert [(node.op_type, list(node.input)) for node in graph.node] == [
        ("Relu", ["x"]),
        ("Relu", ["a"]),
        ("Max", ["b", "one"]),
    ]


@pytest.mark.parametrize("read_twice", [False, True])
def test_vectors_that_are_added_to_convolutions_are_their_biases(read_twice):
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"]),
        helper.make_node("Transpose", ["y"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Add", ["vector", "last"], ["sum"]),
        helper.make_node("Neg", ["last" if read_twice else "sum"], ["z"]),
    ]
    shape = (1, 4, 5, 3)
    graph = helper.make_graph(
        nodes,
        "g",
        [of_floats("x", 1, 2, 4, 5)],
        [of_floats("sum", *shape), of_floats("z", *shape)],
        [
            stored("w", rng.normal(size=(3, 2, 1, 1)).astype(np.float32)),
            stored("vector", rng.normal(size=(1, 1, 1, 3)).astype(np.float32)),
        ],
    )
    feed = {"x": rng.normal(size=(1, 2, 4, 5)).astype(np.float32)}
    expected = open_session(checked(graph)).run(None, feed)
    onnx_graph.add_biases(graph)
    assert len(graph.node[0].input) == (2 if read_twice else 3) and len(graph.node) == (4 if read_twice else 3)
    for got, before in zip(open_session(checked(graph)).run(None, feed), expected, strict=True):
        np.testing.assert_allclose(got, before, atol=1e-6)
