"""The forms of convolutions for CPUs against XLA's own: results and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import sharding
from dima_jax.student import convolutions, image_encoder

# images, rows, columns, input channels, results; kernel, stride: sizes that are no multiples of anything, one row alone
SIZES = {
    "half of the products": ((2, 13, 7, 40, 48), 3, 1),
    "four rows exactly": ((1, 8, 10, 80, 33), 3, 1),
    "one pixel": ((2, 1, 1, 64, 64), 3, 1),
    "joined rows": ((2, 6, 9, 64, 32), 3, 1),
    "few channels": ((2, 6, 9, 8, 64), 3, 1),
    "stride": ((2, 9, 8, 32, 32), 3, 2),
    "stem in groups of rows": ((2, 26, 20, 3, 64), 7, 2),
    "stem of odd sizes": ((1, 13, 11, 3, 32), 7, 2),
    "stem of fewer rows than groups": ((1, 2, 3, 3, 32), 7, 2),
    "stem of neighbors": ((2, 12, 20, 3, 5), 7, 2),
    "stem of neighbors, odd sizes": ((2, 13, 9, 3, 5), 7, 2),
    "stem of whole groups of neighbors": ((2, 12, 16, 3, 8), 7, 2),
    "stem of two neighbors, odd sizes": ((2, 13, 9, 3, 20), 7, 2),
    "stem of more neighbors than pixels": ((2, 2, 3, 3, 5), 7, 2),
}


@pytest.mark.parametrize("name", SIZES)
def test_forms_are_the_convolution(name):
    (n, height, width, channels, results), size, stride = SIZES[name]
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(n, height, width, channels)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(size, size, channels, results)) / size / channels**0.5, jnp.float32)
    got, pull = jax.vjp(lambda x, kernel: convolutions.convolve_on_cpu(x, kernel, stride), x, kernel)
    padding = ((size // 2, size // 2),) * 2
    expected, pull_expected = jax.vjp(
        lambda x, kernel: jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        ),
        x,
        kernel,
    )
    np.testing.assert_allclose(got, expected, atol=2e-5)
    gradient = jnp.asarray(rng.normal(size=got.shape), jnp.float32)
    for ours, theirs in zip(pull(gradient), pull_expected(gradient), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_rows_of_four_by_hand():
    """A kernel of one column adds the rows above, here and below: of 1, 2, 3, 4, 5 with factors 1, 10, 100."""
    column = jnp.asarray([1.0, 10.0, 100.0])[:, None, None, None]
    kernel = jnp.pad(column, ((0, 0), (1, 1), (0, 0), (0, 0)))
    x = jnp.arange(1.0, 6.0).reshape(1, 5, 1, 1)
    np.testing.assert_allclose(convolutions.conv_3x3(x, kernel).ravel(), [210, 321, 432, 543, 54], rtol=1e-6)


@pytest.mark.parametrize(
    ("channels", "dtype", "products"), [(32, "float32", 6), (16, "float32", 1), (32, "bfloat16", 1)]
)
def test_wide_float32_convolutions_take_six_products_of_rows(channels, dtype, products):
    x, kernel = jnp.zeros((1, 8, 8, channels), dtype), jnp.zeros((3, 3, channels, channels), dtype)
    program = str(jax.make_jaxpr(lambda: convolutions.convolve_on_cpu(x, kernel, 1))())
    assert program.count("conv_general_dilated[") == products


def test_other_platforms_have_their_own():
    from flax import nnx

    layer, norm = image_encoder.conv(32, 32, 3, nnx.Rngs(0)), image_encoder.FrozenNorm(32)
    x = jnp.zeros((1, 8, 8, 32))
    for platform, products in (("cpu", 6), ("gpu", 1), ("tpu", 1), ("onnx", 1)):
        with sharding.tracing_for(platform):
            program = str(jax.make_jaxpr(lambda: image_encoder.conv_norm(layer, norm, x))())
        assert program.count("conv_general_dilated[") == products
