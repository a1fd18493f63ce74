"""Sampling as a product of matrices, for small levels: the share that each cell has in each query's samples, times the cells.

A product with all cells of a level costs a TPU less than gathering four of them wherever the level is small
(`tile_sampling.py`).

Axis letters here: c cells of all levels together, h heads, d channels of a head, L levels, p points, T queries.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def dense_sum(
    cells: Float[Array, "c h d"],
    shapes: list[tuple[int, int]],
    x: Float[Array, "h L p T"],
    y: Float[Array, "h L p T"],
    weights: Float[Array, "h L p T"],
) -> Float[Array, "h d T"]:
    """Weighted sum over levels and points of bilinear samples. x, y: in cells, 0 at the middle of the first cell.

    shapes: (rows, columns) of each level. Samples outside a level are zero.
    """
    shares = []
    for level, (rows, columns) in enumerate(shapes):
        down = cell_shares(y[:, level], rows)
        across = cell_shares(x[:, level], columns) * weights[:, level, :, None]
        both = (down[:, :, :, None] * across[:, :, None]).sum(axis=1)  # [h, rows, columns, T]
        shares.append(both.reshape(both.shape[0], -1, both.shape[-1]))
    return jnp.einsum(
        "chd,hct->hdt",
        cells,
        jnp.concatenate(shares, axis=1),
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=jnp.float32,
    )


def cell_shares(position: Float[Array, "h p T"], size: int) -> Float[Array, "h p size T"]:
    """The share of each cell along an axis of `size` cells; positions in cells."""
    position = jnp.clip(position, -1.0, float(size))  # beyond, no cell has a share anyway
    low = jnp.floor(position)
    part = (position - low)[:, :, None]
    cell = np.arange(size, dtype=np.float32)[:, None]
    low = low[:, :, None]
    return jnp.where(cell == low, 1.0 - part, jnp.where(cell == low + 1.0, part, 0.0))
