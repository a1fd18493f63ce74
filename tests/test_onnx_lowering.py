"""Our rules for ONNX: one standard node for a primitive, which computes what JAX computes."""

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from jax2onnx import to_onnx

from dima_jax import onnx_export, onnx_graph, onnx_lowering
from dima_jax.onnx_student import open_session
from dima_jax.student import grid_sampling, image_encoder
from dima_jax.student.deformable_attention import sample_cameras
from dima_jax.student.exported_operations import scatter_in_rows, softmax
from dima_jax.student.grid_sampling import grid_sample


def test_grid_sample():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 3, 5, 7)).astype(np.float32)
    grid = rng.uniform(-1.5, 1.5, (2, 4, 6, 2)).astype(np.float32)
    specs = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (images, grid)]
    onnx_lowering.register()
    onnx_lowering.register()
    model = to_onnx(grid_sample, specs, model_name="test", opset=onnx_export.OPSET)
    onnx.checker.check_model(model, full_check=True)
    (node,) = model.graph.node
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    assert node.op_type == "GridSample"
    assert attributes == {"mode": b"bilinear", "padding_mode": b"zeros", "align_corners": 0}
    session = open_session(model.SerializeToString())
    got = session.run(None, dict(zip([x.name for x in session.get_inputs()], (images, grid), strict=True)))[0]
    np.testing.assert_allclose(got, grid_sample(jnp.asarray(images), jnp.asarray(grid)), atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 8, 10, 3), (1, 7, 9, 2)])
def test_max_pool(shape):
    images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    model = onnx_export.plain_model(image_encoder.max_pool, {"images": images}, ["pooled"])
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Transpose", "MaxPool", "Transpose"]
    got = open_session(model.SerializeToString()).run(None, {"images": images})[0]
    np.testing.assert_array_equal(got, image_encoder.max_pool(jnp.asarray(images)))


def test_other_pooling_is_left_to_jax2onnx():
    vectors = np.random.default_rng(0).normal(size=(7, 9)).astype(np.float32)

    def pool(x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (2, 3), (1, 2), "VALID")

    model = onnx_export.plain_model(pool, {"vectors": vectors}, ["pooled"])
    got = open_session(model.SerializeToString()).run(None, {"vectors": vectors})[0]
    np.testing.assert_array_equal(got, pool(jnp.asarray(vectors)))


def test_softmax():
    scores = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    scores[0, 0, :2] = -np.inf
    model = onnx_export.plain_model(softmax, {"scores": scores}, ["weights"])
    assert [node.op_type for node in model.graph.node] == ["Softmax"]
    got = open_session(model.SerializeToString()).run(None, {"scores": scores})[0]
    np.testing.assert_allclose(got, jax.nn.softmax(scores), atol=1e-6)


def test_scatter_in_rows():
    rng = np.random.default_rng(0)
    x, place = rng.integers(0, 99, (3, 5), np.int32), np.stack([rng.permutation(5) for _ in range(3)]).astype(np.int32)
    model = onnx_export.plain_model(scatter_in_rows, {"x": x, "place": place}, ["y"])
    assert [node.op_type for node in model.graph.node] == ["ScatterElements"]
    got = open_session(model.SerializeToString()).run(None, {"x": x, "place": place})[0]
    np.testing.assert_array_equal(np.take_along_axis(got, place, axis=1), x)
    np.testing.assert_array_equal(got, scatter_in_rows(jnp.asarray(x), jnp.asarray(place)))


@pytest.fixture(scope="module")
def cameras():
    """(model, a function of `visible` to (its result, JAX's)) of `sample_cameras` with two levels and four cameras."""
    rng, shapes = np.random.default_rng(0), ((5, 7), (3, 4))
    value = rng.normal(size=(2, 4, 47, 2, 3)).astype(np.float32)
    references = rng.uniform(-0.2, 1.2, (2, 4, 9, 4, 2)).astype(np.float32)
    offsets = rng.normal(size=(2, 9, 2, 2, 8, 2)).astype(np.float32)
    weights = rng.random((2, 9, 2, 2, 8)).astype(np.float32)

    def sample(value, references, visible, offsets, weights):
        return sample_cameras(value, shapes, references, visible, offsets, weights)

    specs = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (value, references, np.ones((2, 4, 9), bool))]
    specs += [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (offsets, weights)]
    with grid_sampling.traced():
        traced = jax.make_jaxpr(lambda *arrays: sample(*arrays))(*specs)
    onnx_lowering.register()
    model = to_onnx(jax.extend.core.jaxpr_as_fun(traced), specs, model_name="test", opset=onnx_export.OPSET)
    onnx_graph.tidy(model.graph)
    onnx.checker.check_model(model, full_check=True)
    session = open_session(model.SerializeToString())
    names, gathers = [x.name for x in session.get_inputs()], jax.jit(sample)

    def both(visible):
        arrays = (value, references, visible, offsets, weights)
        return session.run(None, dict(zip(names, arrays, strict=True)))[0], gathers(*arrays)

    return model, both


@pytest.mark.parametrize(
    "share", [0.0, 0.2, 1.0]
)  # of the queries that a camera sees: passes that are skipped, all four
def test_the_cameras_of_two_levels(cameras, share):
    model, both = cameras
    nodes = [node.op_type for node in onnx_graph.all_nodes(model.graph)]
    assert nodes.count("GridSample") == 2 * (1 + 6) and nodes.count("If") == 6 and "Loop" not in nodes
    got, expected = both(np.random.default_rng(1).random((2, 4, 9)) < share)
    np.testing.assert_allclose(got, expected, atol=3e-5)
