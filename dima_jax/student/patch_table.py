"""Tables whose rows are 2x2 patches of cells, for hardware that reads rows of 128 numbers: a sample is one row.

The row of a patch holds one head's channels of its four cells, one after the other. A level of R rows and C columns has
(R + 1) * (C + 1) patches, those over its edge with zeros beyond it, so that no sample needs a mask (`tile_sampling.py`).

Axis letters here: h heads, d channels of a head, L levels, p points, n = L * p, T queries, S = h * T, wide = 4 * d.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, BFloat16, Float, Int

Shapes = list[tuple[int, int]]  # (rows, columns) of each level
UNROLL = 4  # points whose rows are added at once
HIGHEST = jax.lax.Precision.HIGHEST


def num_patches(rows: int, columns: int) -> int:
    """Of a level."""
    return (rows + 1) * (columns + 1)


def pack(cells: Float[Array, "c h d"], shapes: Shapes) -> Float[Array, "rows wide"]:
    """The patches of all levels, row by row of a level, by head: above left, above right, below left, below right."""
    tables, start = [], 0
    for rows, columns in shapes:
        level = cells[start : start + rows * columns].reshape(rows, columns, *cells.shape[1:])
        level = jnp.pad(level, ((1, 1), (1, 1), (0, 0), (0, 0)))
        corners = [level[:-1, :-1], level[:-1, 1:], level[1:, :-1], level[1:, 1:]]
        tables.append(jnp.concatenate(corners, axis=-1).reshape(-1, 4 * cells.shape[-1]))
        start += rows * columns
    return jnp.concatenate(tables)


def locate(
    shapes: Shapes, x: Float[Array, "h L p T"], y: Float[Array, "h L p T"], weights: Float[Array, "h L p T"]
) -> tuple[Float[Array, "n 4 S"], Int[Array, "n S"]]:
    """(factors of a patch's cells, its row in the table) of every sample. x, y: in cells, 0 at the middle of the first."""
    heads, tile = x.shape[0], x.shape[-1]
    rows, columns = (np.array(size, np.float32)[:, None, None] for size in zip(*shapes, strict=True))
    starts = np.cumsum([0, *(num_patches(*shape) for shape in shapes)])[:-1].astype(np.int32)[:, None, None]
    x, y = jnp.clip(x, -1.0, columns), jnp.clip(y, -1.0, rows)  # beyond, every cell is outside anyway
    left, above = jnp.minimum(jnp.floor(x), columns - 1.0), jnp.minimum(jnp.floor(y), rows - 1.0)
    right_share, below_share = x - left, y - above
    factors = [
        down * across * weights
        for down in (1.0 - below_share, below_share)
        for across in (1.0 - right_share, right_share)
    ]
    patch = starts + (above.astype(jnp.int32) + 1) * (columns.astype(np.int32) + 1) + left.astype(jnp.int32) + 1
    row = patch * heads + np.arange(heads, dtype=np.int32)[:, None, None, None]
    factors = jnp.moveaxis(jnp.stack(factors), 1, 3).reshape(4, -1, heads * tile)
    return jnp.swapaxes(factors, 0, 1), jnp.moveaxis(row, 0, 2).reshape(-1, heads * tile)


def patch_sum(
    table: Float[Array, "rows wide"],
    shapes: Shapes,
    x: Float[Array, "h L p T"],
    y: Float[Array, "h L p T"],
    weights: Float[Array, "h L p T"],
) -> Float[Array, "h d T"]:
    """Weighted sum over levels and points of bilinear samples; not differentiated, see `patch_sum_gradients`."""
    channels = table.shape[1] // 4

    def add(total, point):
        parts, row = point
        return total + _rows(table, row) * _over_channels(parts, channels), None

    factors, row = locate(shapes, x, y, weights)
    total, _ = jax.lax.scan(add, jnp.zeros((row.shape[1], 4 * channels)), (in_three(factors), row), unroll=UNROLL)
    total = total.reshape(len(x), x.shape[-1], 4, channels).sum(axis=2)
    return jnp.swapaxes(total, 1, 2)


def patch_sum_gradients(
    to_table: Float[Array, "rows wide"],
    table: Float[Array, "rows wide"],
    shapes: Shapes,
    x: Float[Array, "h L p T"],
    y: Float[Array, "h L p T"],
    weights: Float[Array, "h L p T"],
    gradient: Float[Array, "h d T"],
) -> tuple[Float[Array, "rows wide"], list[Float[Array, "h L p T"]]]:
    """(`to_table` plus the gradient of the table, those of x, y and weights)."""
    channels = table.shape[1] // 4
    four_times = np.tile(np.eye(channels, dtype=np.float32), 4)
    wide = jnp.einsum("hdt,dl->htl", gradient, four_times, precision=HIGHEST).reshape(-1, 4 * channels)

    def add(to_table, point):
        parts, row = point
        to_factors = jnp.einsum("sl,kl->ks", _rows(table, row) * wide, _corners(channels), precision=HIGHEST)
        to_rows = _over_channels(parts, channels) * wide
        return to_table.at[row].add(to_rows, mode="promise_in_bounds"), to_factors

    factors, pullback, row = jax.vjp(lambda *numbers: locate(shapes, *numbers), x, y, weights, has_aux=True)
    to_table, to_factors = jax.lax.scan(add, to_table, (in_three(factors), row), unroll=UNROLL)
    return to_table, list(pullback(to_factors))


def _rows(table: Float[Array, "rows wide"], row: Int[Array, " S"]) -> Float[Array, "S wide"]:
    return table.at[row].get(mode="promise_in_bounds").astype(jnp.float32)


def _corners(channels: int) -> Float[np.ndarray, "4 wide"]:
    """1 at the numbers of a row that belong to each cell of a patch."""
    return np.repeat(np.eye(4, dtype=np.float32), channels, axis=1)


def in_three(factors: Float[Array, "n 4 S"]) -> BFloat16[Array, "n 12 S"]:
    """Three numbers of 8 bits for each one, whose sum it is."""
    parts = []
    for _ in range(3):
        parts.append(jax.lax.reduce_precision(factors, exponent_bits=8, mantissa_bits=7))
        factors = factors - parts[-1]
    return jnp.concatenate(parts, axis=1).astype(jnp.bfloat16)


def _over_channels(parts: BFloat16[Array, "12 S"], channels: int) -> Float[Array, "S wide"]:
    """Each cell's factor (of `in_three`) beside all its channels.

    A product, since TPUs spread numbers over lanes best so: exact in one pass of bfloat16, where float32 takes six.
    """
    corners = np.tile(_corners(channels), (3, 1)).astype(jnp.bfloat16)
    return jnp.einsum("ks,kl->sl", parts, corners, preferred_element_type=jnp.float32)
