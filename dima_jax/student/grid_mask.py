"""GridMask: in training, blank a random grid of squares in all images of the batch (VAD models/utils/grid_mask.py).

VAD's setting: no rotation, ratio 0.5, and mode 1, which keeps the pixels of the row strips and of the column strips
and blanks the rest.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def grid_mask(images: Float[Array, "n H W 3"], probability: float, key: jax.Array) -> Float[Array, "n H W 3"]:
    """The images under one common mask, or, with 1 - probability, unchanged.

    Period uniform in [2, H), strips half a period wide, at random offsets on a canvas 1.5 times the image.
    """
    rows, columns = images.shape[1:3]
    key_apply, key_period, key_row, key_column = jax.random.split(key, 4)
    period = jax.random.randint(key_period, (), 2, rows)
    length = jnp.clip((period * 0.5 + 0.5).astype(jnp.int32), 1, period - 1)
    keep_rows = strips(rows, period, length, key_row)
    keep_columns = strips(columns, period, length, key_column)
    keep = keep_rows[:, None] | keep_columns[None, :]
    applied = jax.random.bernoulli(key_apply, probability)
    return images * jnp.where(applied, keep, True)[None, :, :, None]


def strips(size: int, period: Array, length: Array, key: jax.Array) -> Array:
    """True on the strips that cross the middle `size` pixels of a canvas of 1.5 * size pixels."""
    canvas = int(1.5 * size)
    start = jax.random.randint(key, (), 0, period)
    position = jnp.arange(size) + (canvas - size) // 2 - start
    return (position >= 0) & (position // period < canvas // period) & (position % period < length)
