"""Convolutions of [images, rows, columns, channels]: XLA's own, and forms that its CPU compiler is fast with.

`conv_3x3` needs half of the products: Winograd's minimal filtering F(4, 3), along rows. Four rows of the output are made
of six products of rows instead of twelve, each of a sum of input rows and a sum of kernel rows, both with fixed factors.
Rounding errors are about four times those of the direct form: 1e-5 where results are about 1. Source: Lavin and Gray,
Fast Algorithms for Convolutional Neural Networks (CVPR 2016), section 4, in one dimension.

`conv_7x7` is the stem's. With as many results a pixel as a ResNet-50's it is computed in groups of rows, since XLA makes
one task of a convolution of so few channels; with few results, those of neighboring pixels of a row are computed as the
results of one, which fill vector units, and no pixel is moved.
"""

import functools
import operator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

OUTPUT_ROWS = 4  # of a group
INPUT_ROWS = 6  # that a group reads
# Of each of a group's six products: the factors of the input rows, of the kernel's rows, of the product in the output rows.
INPUT_FACTORS = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
KERNEL_FACTORS = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
OUTPUT_FACTORS = ((1, 0, 0, 0), (1, 1, 1, 1), (1, -1, 1, -1), (1, 2, 4, 8), (1, -2, 4, -8), (0, 0, 0, 1))
MOST_OF_ONE_TASK = 64  # channels up to which XLA makes one task of a convolution, unless its rows are long
FEWEST_FOR_3X3 = 32  # results a pixel
FEWEST_FOR_7X7 = 32  # likewise; with fewer, neighboring pixels have so many together
ROW_GROUPS = 4  # of a stem


def direct(
    x: Float[Array, "n H W C"],
    kernel: Float[Array, "_ _ C c"],
    stride: int = 1,
    border: tuple[int, int] | None = None,
) -> Float[Array, "n h w c"]:
    """XLA's own convolution. border: zeros above and below, left and right; half of the kernel's size by default."""
    rows, columns = border or (kernel.shape[0] // 2, kernel.shape[1] // 2)
    padding = ((rows, rows), (columns, columns))
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def convolve_on_cpu(
    x: Float[Array, "n H W C"], kernel: Float[Array, "k k C c"], stride: int
) -> Float[Array, "n h w c"]:
    """The convolution with a border of k // 2 zeros, in the form that is fastest for its sizes."""
    size, _, channels, results = kernel.shape
    if (size, stride) == (7, 2):
        return conv_7x7(x, kernel)
    if (size, stride) == (3, 1) and min(channels, results) >= FEWEST_FOR_3X3 and x.dtype == jnp.float32:
        return conv_3x3(x, kernel)
    return direct(x, kernel, stride)


@jax.custom_vjp
def conv_3x3(x: Float[Array, "n H W C"], kernel: Float[Array, "3 3 C c"]) -> Float[Array, "n H W c"]:
    """The convolution of stride 1 with a border of zeros. Exact gradients; the kernel's is computed directly."""
    n, height, width, channels = x.shape
    join_rows = channels <= MOST_OF_ONE_TASK
    groups = -(-height // OUTPUT_ROWS)
    below = (groups + 1) * OUTPUT_ROWS - height - 1
    x = jnp.pad(x, ((0, 0), (1, below), (1, 1) if join_rows else (0, 0), (0, 0)))
    x = x.reshape(n, groups + 1, OUTPUT_ROWS, *x.shape[2:])
    rows = [x[:, :-1, i] for i in range(OUTPUT_ROWS)] + [x[:, 1:, i] for i in range(INPUT_ROWS - OUTPUT_ROWS)]
    convolve_rows = _convolve_joined_rows if join_rows else direct
    products = [
        convolve_rows(_weighted_sum(factors, rows), _weighted_sum(kernel_factors, kernel)[None])
        for factors, kernel_factors in zip(INPUT_FACTORS, KERNEL_FACTORS, strict=True)
    ]
    outputs = [_weighted_sum(factors, products) for factors in zip(*OUTPUT_FACTORS, strict=True)]
    return jnp.stack(outputs, axis=2).reshape(n, groups * OUTPUT_ROWS, width, -1)[:, :height]


def _weighted_sum(factors, arrays) -> Array:
    terms = [x if factor == 1 else factor * x for factor, x in zip(factors, arrays, strict=True) if factor]
    return functools.reduce(operator.add, terms)


def _convolve_joined_rows(x: Float[Array, "n h W C"], kernel: Float[Array, "1 3 C c"]) -> Float[Array, "n h w c"]:
    """The same of rows that have their border, all rows of an image as one, which is many tasks."""
    n, height, width, channels = x.shape
    x = direct(x.reshape(n, 1, height * width, channels), kernel)
    return x.reshape(n, height, width, -1)[:, :, 1:-1]


def _gradients_3x3(saved, gradient):
    x, kernel = saved
    (to_kernel,) = jax.linear_transpose(lambda kernel: direct(x, kernel), kernel)(gradient)
    return conv_3x3(gradient, kernel[::-1, ::-1].swapaxes(2, 3)), to_kernel


conv_3x3.defvjp(lambda x, kernel: (conv_3x3(x, kernel), (x, kernel)), _gradients_3x3)


@jax.custom_vjp
def conv_7x7(x: Float[Array, "n H W C"], kernel: Float[Array, "7 7 C c"]) -> Float[Array, "n h w c"]:
    """The convolution of stride 2 with a border of zeros. Its gradients are computed directly: they are faster so."""
    if kernel.shape[3] >= FEWEST_FOR_7X7:
        return _conv_7x7_in_groups_of_rows(x, kernel)
    return _conv_7x7_of_neighbors(x, kernel)


def _conv_7x7_in_groups_of_rows(x, kernel):
    outputs = -(-x.shape[1] // 2)
    size = -(-outputs // ROW_GROUPS)
    x = jnp.pad(x, ((0, 0), (3, 3), (0, 0), (0, 0)))
    groups = [(start, min(start + size, outputs)) for start in range(0, outputs, size)]
    parts = [direct(x[:, 2 * start : 2 * end + 5], kernel, stride=2, border=(0, 3)) for start, end in groups]
    return jnp.concatenate(parts, axis=1)


def _conv_7x7_of_neighbors(x, kernel):
    """Pairs of columns are a column of twice the channels. `size` outputs of a row read the same columns, each with a
    kernel of its own: the kernel, shifted. The convolution adds the border: to pad images of three channels takes as long.
    """
    n, height, width, channels = x.shape
    outputs, results = -(-width // 2), kernel.shape[3]
    size = -(-FEWEST_FOR_7X7 // results)
    groups, pairs = -(-outputs // size), size + 3
    x = jnp.pad(x, ((0, 0), (0, 0), (0, 2 * outputs - width), (0, 0)))
    x = x.reshape(n, height, outputs, 2 * channels)
    shifted = [jnp.pad(kernel, ((0, 0), (2 * i + 1, 2 * (size - 1 - i)), (0, 0), (0, 0))) for i in range(size)]
    kernel = jnp.stack(shifted, axis=3).reshape(7, pairs, 2 * channels, size * results)
    after = (groups - 1) * size + pairs - 2 - outputs
    x = jax.lax.conv_general_dilated(
        x, kernel, (2, size), ((3, 3), (2, after)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return x.reshape(n, -1, groups * size, results)[:, :, :outputs]


def _gradients_7x7(saved, gradient):
    return jax.vjp(lambda x, kernel: direct(x, kernel, stride=2), *saved)[1](gradient)


conv_7x7.defvjp(lambda x, kernel: (conv_7x7(x, kernel), (x, kernel)), _gradients_7x7)
