"""The exported student (docs/decisions.md#exported-student) equals JAX over frames with its own previous BEV."""

import numpy as np
import onnx
import pytest
from flax import nnx
from onnx import TensorProto, helper, numpy_helper

from dima_jax import __version__, export, fake_frames, interface, jax_student, onnx_export, weights
from dima_jax.jax_student import JaxStudent
from dima_jax.onnx_student import OnnxStudent, open_session
from dima_jax.student import student as student_lib
from tests.mini import mini_config


@pytest.fixture(scope="module")
def config():
    return mini_config()


@pytest.fixture(scope="module")
def student(config):
    return JaxStudent(config, weights.split(student_lib.build(config, nnx.Rngs(3)))[1])


@pytest.fixture(scope="module")
def file(student, tmp_path_factory):
    return onnx_export.export_student(student, tmp_path_factory.mktemp("export") / "student.onnx", batch_size=2)


def test_equals_jax_over_frames(config, student, file):
    worst = onnx_export.compare(student, file, fake_frames.drive(config.data.image_shape, 3, batch_size=2))
    assert set(worst) == set(interface.Outputs._fields)
    assert worst["waypoints"] <= export.TOLERANCE == 1e-4
    assert max(worst.values()) <= 1e-3


def test_outputs_follow_the_inputs(config, file):
    """The file computes: what it plans depends on images, previous BEV and command."""
    session = open_session(str(file))
    frame = fake_frames.drive(config.data.image_shape, 2, batch_size=2)[1]
    shape = jax_student.input_specs(config, 2)["prev_bev"].shape
    feed = dict(
        images=frame.images,
        lidar2img=np.asarray(frame.lidar2img),
        can_bus=frame.can_bus,
        command=np.eye(3, dtype=np.float32)[:2],
        prev_bev=np.random.default_rng(0).normal(size=shape).astype(np.float32),
        has_prev_bev=np.array([True, True]),
    )
    waypoints, everything = session.run(["waypoints", "waypoints_all"], feed)
    np.testing.assert_array_equal(waypoints, everything[[0, 1], [0, 1]])
    for name, value in (("images", frame.images[:, ::-1]), ("has_prev_bev", np.array([True, False]))):
        changed = session.run(["waypoints_all"], {**feed, name: value})[0]
        assert np.abs(changed - everything)[1].max() > 1e-6, name


def test_is_plain_onnx_with_the_documented_interface(config, file):
    model = onnx.load(file)
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": onnx_export.OPSET}
    assert {node.domain for node in model.graph.node} == {""}
    shapes = {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in (*model.graph.input, *model.graph.output)
    }
    cells, s = config.student.bev_shape[0] * config.student.bev_shape[1], config.student
    assert [value.name for value in model.graph.input] == list(interface.INPUTS)
    assert [value.name for value in model.graph.output] == list(interface.Outputs._fields)
    assert shapes["images"] == (2, 6, *config.data.image_shape, 3)
    assert shapes["prev_bev"] == shapes["bev"] == (2, cells, s.width)
    assert shapes["waypoints"] == (2, 6, 2)
    assert shapes["waypoints_all"] == (2, 3, 6, 2)
    assert shapes["map_lines"] == (2, s.num_map, s.num_points, 2)


def test_stores_no_repeated_values():
    """A large constant of one value becomes a node; varied ones stay."""
    zeros = numpy_helper.from_array(np.zeros((100, 100), np.float32), "zeros")
    varied = numpy_helper.from_array(np.arange(10000, dtype=np.float32).reshape(100, 100), "varied")
    output = helper.make_tensor_value_info("sum", TensorProto.FLOAT, (100, 100))
    node = helper.make_node("Add", ["zeros", "varied"], ["sum"])
    graph = helper.make_graph([node], "g", [], [output], [zeros, varied])
    onnx_export.shrink(graph)
    assert {tensor.name for tensor in graph.initializer} == {"zeros_shape", "varied"}
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", onnx_export.OPSET)], ir_version=8)
    session = open_session(model.SerializeToString())
    np.testing.assert_array_equal(session.run(None, {})[0], np.arange(10000).reshape(100, 100))


def test_metadata_says_what_the_student_reads(config, file):
    properties = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    info = interface.ModelInfo.from_metadata(properties, "file")
    assert info == interface.ModelInfo.from_config(config)
    assert info.image_shape == tuple(config.data.image_shape) and info.commands == ("right", "left", "straight")
    assert properties["dima_jax.version"] == __version__
    assert OnnxStudent(file).info == info and OnnxStudent(file).batch_size == 2


def test_products_with_a_matrix_are_found():
    assert onnx_export.is_product("abc,cd->abd")
    assert onnx_export.is_product("abcd, de -> abce")
    assert not onnx_export.is_product("zyab,zbyc->zyac")
    assert not onnx_export.is_product("abc,dc->abd")
    assert not onnx_export.is_product("abc,cd->adb")
    assert not onnx_export.is_product("abc,cde->abd")  # sums over e as well
    assert not onnx_export.is_product("abc,c->ab") and not onnx_export.is_product("abc->ab")
