"""Pooling, upsampling and the folded norm, each against its plain definition."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax.student import image_encoder


@pytest.mark.parametrize("shape", [(2, 8, 10, 3), (1, 7, 9, 2)])
def test_max_pooling(shape):
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    ours = image_encoder.max_pool_axis(image_encoder.max_pool_axis(x, axis=1), axis=2)
    np.testing.assert_array_equal(ours, nnx.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1))))


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
