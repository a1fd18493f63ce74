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


def test_products_with_a_matrix_are_found():
    assert onnx_graph.is_product("abc,cd->abd")
    assert onnx_graph.is_product("abcd, de -> abce")
    assert not onnx_graph.is_product("zyab,zbyc->zyac")
    assert not onnx_graph.is_product("abc,dc->abd")
    assert not onnx_graph.is_product("abc,cd->adb")
    assert not onnx_graph.is_product("abc,cde->abd")  # sums over e as well
    assert not onnx_graph.is_product("abc,c->ab") and not onnx_graph.is_product("abc->ab")
