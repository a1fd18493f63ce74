"""The exported student: plain ONNX, named as the design says, equal to JAX over frames with its own previous BEV."""

import numpy as np
import onnx
import pytest
from flax import nnx
from onnx import TensorProto, helper, numpy_helper

from dima_jax import export
from dima_jax.student import student
from tests.mini import mini_config


@pytest.fixture(scope="module")
def config():
    return mini_config()


@pytest.fixture(scope="module")
def model(config):
    return student.build(config, nnx.Rngs(3))


@pytest.fixture(scope="module")
def file(config, model, tmp_path_factory):
    return export.export_student(model, config, tmp_path_factory.mktemp("export") / "student.onnx", batch_size=2)


def test_equals_jax_over_frames(config, model, file):
    worst = export.compare(model, config, file, export.made_up_frames(config, 3, batch_size=2))
    assert set(worst) == set(export.Exported._fields)
    assert worst["waypoints"] <= 1e-4
    assert max(worst.values()) <= 1e-3


def test_outputs_follow_the_inputs(config, file):
    """The file computes: what it plans depends on images, previous BEV and command."""
    session = export.open_session(str(file))
    frame = export.made_up_frames(config, 2, batch_size=2)[1]
    shape = export.input_specs(config, 2)["prev_bev"].shape
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
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": export.OPSET}
    assert {node.domain for node in model.graph.node} == {""}
    shapes = {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in (*model.graph.input, *model.graph.output)
    }
    cells, s = config.student.bev_shape[0] * config.student.bev_shape[1], config.student
    assert [value.name for value in model.graph.input] == list(export.INPUTS)
    assert [value.name for value in model.graph.output] == list(export.Exported._fields)
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
    export.shrink(graph)
    assert {tensor.name for tensor in graph.initializer} == {"zeros_shape", "varied"}
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", export.OPSET)], ir_version=8)
    session = export.open_session(model.SerializeToString())
    np.testing.assert_array_equal(session.run(None, {})[0], np.arange(10000).reshape(100, 100))


def test_made_up_cameras_see_the_ground_around(config):
    frame = export.made_up_frames(config, 1, batch_size=1)[0]
    height, width = config.data.image_shape
    for camera, yaw in enumerate(np.deg2rad(export.CAMERA_YAWS_DEG)):
        ahead = np.array([-10 * np.sin(yaw), 10 * np.cos(yaw), 0.0, 1.0])
        u, v, depth = (np.asarray(frame.lidar2img[0, camera]) @ ahead)[:3]
        np.testing.assert_allclose((u / depth, v / depth, depth), (width / 2, height / 2, 10.0), rtol=1e-4)


def test_products_with_a_matrix_are_found():
    assert export.is_product("abc,cd->abd")
    assert export.is_product("abcd, de -> abce")
    assert not export.is_product("zyab,zbyc->zyac")
    assert not export.is_product("abc,dc->abd")
    assert not export.is_product("abc,cd->adb")
    assert not export.is_product("abc,cde->abd")  # sums over e as well
    assert not export.is_product("abc,c->ab") and not export.is_product("abc->ab")
