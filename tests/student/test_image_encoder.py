"""Pooling, upsampling and the folded norm, each against its plain definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax import sharding, weights
from dima_jax.student import image_encoder


@pytest.mark.parametrize("shape", [(2, 8, 10, 3), (1, 7, 9, 2)])
def test_max_pooling(shape):
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    ours = image_encoder.max_pool(x)
    with sharding.tracing_for("onnx"):
        np.testing.assert_array_equal(ours, image_encoder.max_pool(x))
    np.testing.assert_array_equal(ours[0, 1, 1], x[0, 1:4, 1:4].max((0, 1)))
    np.testing.assert_array_equal(ours[0, 0, 0], x[0, :2, :2].max((0, 1)))


def test_nearest_upsampling_of_odd_sizes():
    x = jnp.arange(6.0).reshape(1, 2, 3, 1)
    up = image_encoder.resize_nearest(x, (3, 6))[0, :, :, 0]
    np.testing.assert_array_equal(up, [[0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]])


def test_norm_is_folded_exactly():
    rng = np.random.default_rng(0)
    layer, norm = image_encoder.conv(3, 4, 3, nnx.Rngs(0), stride=2), image_encoder.FrozenNorm(4)
    for name in ("scale", "bias", "mean", "var"):
        getattr(norm, name)[...] = jnp.asarray(rng.uniform(0.5, 2.0, 4), jnp.float32)
    x = jnp.asarray(rng.normal(size=(1, 8, 8, 3)), jnp.float32)
    expected = (layer(x) - norm.mean[...]) / jnp.sqrt(norm.var[...] + 1e-5) * norm.scale[...] + norm.bias[...]
    np.testing.assert_allclose(image_encoder.conv_norm(layer, norm, x), expected, atol=1e-5)


def test_1x1_convolutions_are_products_but_in_exported_programs():
    layer, norm = image_encoder.conv(3, 4, 1, nnx.Rngs(0), stride=2), image_encoder.FrozenNorm(4, 0.5)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 8, 3)), jnp.float32)
    expected = image_encoder.conv_norm(layer, norm, x)
    assert "conv_general_dilated" not in str(jax.make_jaxpr(lambda x: image_encoder.conv_norm(layer, norm, x))(x))
    with sharding.tracing_for("onnx"):
        assert "dot_general" not in str(jax.make_jaxpr(lambda x: image_encoder.conv_norm(layer, norm, x))(x))
        np.testing.assert_allclose(image_encoder.conv_norm(layer, norm, x), expected, atol=1e-6)


def test_blocks_are_not_scanned_on_cpus_with_the_same_features():
    encoder = image_encoder.ImageEncoder(
        stage_blocks=(3, 2), stage_width=4, out_stages=(1,), width=8, extra_levels=0, rngs=nnx.Rngs(0)
    )
    graph, params = weights.split(encoder)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, 24, 3)), jnp.float32)

    def features(params):
        return weights.bind(graph, params)(x)[0]

    def in_loop(params):
        with sharding.tracing_for("tpu"):
            return features(params)

    assert "scan" not in str(jax.make_jaxpr(features)(params))
    assert "scan" in str(jax.make_jaxpr(in_loop)(params))
    np.testing.assert_allclose(jax.jit(features)(params), jax.jit(in_loop)(params), atol=1e-4)
