"""GridMask: in training, a random grid of rectangles is set to 0 in all images (VAD models/utils/grid_mask.py).

VAD's setting: no rotation, ratio 0.5, and mode 1, which keeps the pixels of the row strips and those of the column
strips and sets the rest to 0.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def grid_mask(images: Float[Array, "n H W C"], probability: float, key: jax.Array) -> Float[Array, "n H W C"]:
    """All images under one mask; unchanged with probability 1 - `probability`.

    The period of the strips is uniform in [2, H), their width half a period, their offsets random.
    """
    rows, columns = images.shape[1:3]
    key_apply, key_period, key_row, key_column = jax.random.split(key, 4)
    period = jax.random.randint(key_period, (), 2, rows)
    width = jnp.clip((period * 0.5 + 0.5).astype(jnp.int32), 1, period - 1)
    keep_rows = strips(rows, period, width, key_row)
    keep_columns = strips(columns, period, width, key_column)
    keep = keep_rows[:, None] | keep_columns[None, :]
    applied = jax.random.bernoulli(key_apply, probability)
    return images * jnp.where(applied, keep, True)[None, :, :, None]


def strips(size: int, period: Int[Array, ""], width: Int[Array, ""], key: jax.Array) -> Bool[Array, " size"]:
    """True for the pixels of an image axis that lie on a strip.

    Strips of `width` pixels, one per period, start at a random offset on a canvas of 1.5 * size pixels, whose middle is
    the image; the canvas holds whole periods only.
    """
    canvas = int(1.5 * size)
    start = jax.random.randint(key, (), 0, period)
    position = jnp.arange(size) + (canvas - size) // 2 - start
    return (position >= 0) & (position // period < canvas // period) & (position % period < width)
