"""Multi-scale deformable attention without a compiled op: bilinear sampling at predicted points, weighted and summed.

Samples outside a level are zero and pixel centers lie at (i + 0.5) / size (grid_sample with align_corners=False).
A sample is four rows of the value table (a row: one head's channels of one cell) with four factors. `summed_samples`
walks over the points of all levels and adds four rows per query and head at a time, so nothing of the size
queries x points x channels is ever in memory, and the program does not grow with levels and points.

Axis letters here: G grids (cameras) of the same level shapes, c cells of all levels together, h heads, d channels of a
head, L levels, p points, n = L * p.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from dima_jax.student.layers import Keys, direction_grid, dropout, linear, xavier, zeros

Shapes = tuple[tuple[int, int], ...]  # (rows, columns) of each level


def cell_count(shapes: Shapes) -> int:
    return sum(rows * columns for rows, columns in shapes)


class Projections(nnx.Module):
    """The four linear maps of a deformable attention. `sets`: independent point sets (2 in temporal attention)."""

    def __init__(self, d_query: int, width: int, heads: int, points: int, rngs: Keys, *, levels=1, sets=1):
        self.shape = (heads, sets, levels, points)
        count = heads * sets * levels * points
        grid = direction_grid(heads, sets * levels, points).reshape(-1)

        def offsets_start(key, shape, dtype=jnp.float32, **_):
            return jnp.asarray(grid, dtype)

        self.offsets = linear(d_query, count * 2, rngs, zeros, offsets_start)
        self.weights = linear(d_query, count, rngs, zeros, zeros)
        self.value = linear(width, width, rngs, xavier, zeros)
        self.output = linear(width, width, rngs, xavier, zeros)

    def points(self, query: Float[Array, "B Q I"]) -> tuple[Float[Array, "B Q h s L p 2"], Float[Array, "B Q h s L p"]]:
        """Offsets in cells (x, y) and weights that sum to 1 over the levels and points of a set."""
        heads, sets, levels, points = self.shape
        lead = query.shape[:-1]
        offsets = self.offsets(query).reshape(*lead, heads, sets, levels, points, 2)
        weights = self.weights(query).reshape(*lead, heads, sets, levels * points)
        weights = jax.nn.softmax(weights, axis=-1).reshape(*lead, heads, sets, levels, points)
        return offsets, weights

    def values(self, x: Float[Array, "*lead c D"]) -> Float[Array, "*lead c h d"]:
        return self.value(x).reshape(*x.shape[:-1], self.shape[0], -1)


def sample(
    value: Float[Array, "B c h d"],
    shapes: Shapes,
    locations: Float[Array, "B Q h L p 2"],
    weights: Float[Array, "B Q h L p"],
) -> Float[Array, "B Q D"]:
    """Weighted sum of bilinear samples; locations are (x, y) in [0, 1] of each level."""
    grid = jnp.zeros(locations.shape[:2], jnp.int32)
    return sample_in(grid, value[:, None], shapes, locations, weights)


def sample_grids(
    value: Float[Array, "B G c h d"],
    shapes: Shapes,
    references: Float[Array, "B G Q Z 2"],
    hits: Bool[Array, "B G Q"],
    offsets: Float[Array, "B Q h L p 2"],
    weights: Float[Array, "B Q h L p"],
) -> Float[Array, "B Q D"]:
    """Sum over the grids that each query hits of its samples there, around that grid's reference points.

    Each pass visits one hit grid of every query: its first, its second, ... Passes in which no query has a grid left
    are skipped at run time, so the cost follows the hits (in practice two passes), not G.
    """
    order = jnp.cumsum(hits.astype(jnp.int32), axis=1)  # 1 at a query's first hit grid, 2 at its second, ...

    def visit(nth):
        chosen = hits & (order == nth)  # at most one grid per query
        grid = jnp.argmax(chosen, axis=1).astype(jnp.int32)
        reference = jnp.take_along_axis(references, grid[:, None, :, None, None], axis=1)[:, 0]
        masked = weights * chosen.any(axis=1)[..., None, None, None]
        return sample_in(grid, value, shapes, around(reference, offsets, shapes), masked)

    def step(total, nth):
        more = (order[:, -1] >= nth).any()
        return jax.lax.cond(more, lambda x: x + jax.checkpoint(visit)(nth), lambda x: x, total), None

    passes = jnp.arange(2, hits.shape[1] + 1)
    return jax.lax.scan(step, visit(1), passes)[0]


def around(references: Float[Array, "*lead Q Z 2"], offsets: Float[Array, "*lead Q h L p 2"], shapes: Shapes):
    """Sampling locations: references plus offsets, which count cells of their level; point p takes reference p % Z."""
    sizes = jnp.asarray([(columns, rows) for rows, columns in shapes], jnp.float32)
    points, anchors = offsets.shape[-2], references.shape[-2]
    repeated = jnp.concatenate([references] * (points // anchors), axis=-2)
    return repeated[..., None, None, :, :] + offsets / sizes[:, None, :]


def sample_in(
    grid: Int[Array, "B Q"],
    value: Float[Array, "B G c h d"],
    shapes: Shapes,
    locations: Float[Array, "B Q h L p 2"],
    weights: Float[Array, "B Q h L p"],
) -> Float[Array, "B Q D"]:
    """Weighted sum of the samples of each query in its own grid.

    One table for each element of the batch, under `vmap`: with one table for all, a mesh would gather it on every device.
    """
    batch, _, cells, heads, channels = value.shape
    first = grid[..., None] * (cells * heads) + jnp.arange(heads, dtype=jnp.int32)
    tables = value.reshape(batch, -1, channels)
    out = jax.vmap(partial(summed_samples, shapes, heads))(tables, first, locations, weights)
    return out.reshape(batch, -1, heads * channels)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def summed_samples(
    shapes: Shapes,
    stride: int,
    table: Float[Array, "R d"],
    first: Int[Array, "Q h"],
    locations: Float[Array, "Q h L p 2"],
    weights: Float[Array, "Q h L p"],
) -> Float[Array, "Q h d"]:
    """Sum over levels and points; cell i of a query's grid is row `first + i * stride` of the table.

    The gradient walks over the points again instead of keeping what was gathered.
    """

    def add(total, point):
        location, weight, level = point
        factors, cells = corners(location, weight, level)
        rows = (take(table, first + cell * stride) for cell in cells)
        return total + sum(row * factors[..., k, None] for k, row in enumerate(rows)), None

    return jax.lax.scan(add, jnp.zeros((*first.shape, table.shape[-1])), by_point(shapes, locations, weights))[0]


def _summed_samples_forward(shapes, stride, table, first, locations, weights):
    return summed_samples(shapes, stride, table, first, locations, weights), (table, first, locations, weights)


def _summed_samples_backward(shapes, stride, saved, gradient):
    table, first, locations, weights = saved

    def add(to_table, point):
        location, weight, level = point
        factors, pull, cells = jax.vjp(lambda x, w: corners(x, w, level), location, weight, has_aux=True)
        indices = [first + cell * stride for cell in cells]
        to_factors = [(take(table, index) * gradient).sum(axis=-1) for index in indices]
        to_rows = factors[..., None] * gradient[..., None, :]
        to_table = to_table.at[jnp.stack(indices, axis=-1)].add(to_rows, mode="promise_in_bounds")
        return to_table, pull(jnp.stack(to_factors, axis=-1))

    points = by_point(shapes, locations, weights)
    to_table, (to_locations, to_weights) = jax.lax.scan(add, jnp.zeros_like(table), points)
    to_locations = jnp.moveaxis(to_locations, 0, -2).reshape(locations.shape)
    return to_table, None, to_locations, jnp.moveaxis(to_weights, 0, -1).reshape(weights.shape)


summed_samples.defvjp(_summed_samples_forward, _summed_samples_backward)


def by_point(shapes: Shapes, locations: Float[Array, "Q h L p 2"], weights: Float[Array, "Q h L p"]):
    """The points one after the other: locations [n, Q, h, 2], weights [n, Q, h], levels [n, 3].

    A level is (rows, columns, first cell).
    """
    points = weights.shape[-1]
    starts = [cell_count(shapes[:i]) for i in range(len(shapes))]
    levels = np.repeat([(*shape, start) for shape, start in zip(shapes, starts, strict=True)], points, axis=0)
    locations = locations.reshape(*locations.shape[:2], -1, 2)
    weights = weights.reshape(*weights.shape[:2], -1)
    return jnp.moveaxis(locations, -2, 0), jnp.moveaxis(weights, -1, 0), jnp.asarray(levels, jnp.int32)


def corners(location: Float[Array, "... 2"], weight: Float[Array, "..."], level: Int[Array, "3"]):
    """The four cells around a sample: factors [..., 4], zero outside the level, and a list of their indices [...]."""
    rows, columns, start = level[0], level[1], level[2]
    factors, cells = [], []
    for y, share_y in neighbors(location[..., 1], rows):
        for x, share_x in neighbors(location[..., 0], columns):
            cells.append(start + y * columns + x)
            factors.append(weight * share_y * share_x)
    return jnp.stack(factors, axis=-1), cells


def neighbors(location: Float[Array, "..."], size: Int[Array, ""]) -> list[tuple[Int[Array, "..."], Array]]:
    """The two cells around a sample along one axis of `size` cells, with their shares, which are 0 outside."""
    size = size.astype(jnp.float32)
    position = jnp.clip(location * size - 0.5, -1.0, size)  # beyond, both cells are outside anyway
    low = jnp.floor(position)
    pairs = []
    for cell, share in ((low, 1.0 - (position - low)), (low + 1.0, position - low)):
        inside = (cell >= 0.0) & (cell < size)
        index = jnp.clip(cell, 0.0, size - 1.0).astype(jnp.int32)
        pairs.append((index, jnp.where(inside, share, 0.0)))
    return pairs


def take(table: Float[Array, "R d"], index: Int[Array, "..."]) -> Float[Array, "... d"]:
    return table.at[index].get(mode="promise_in_bounds")


class DeformableAttention(nnx.Module):
    """Queries sample one BEV map around one reference point each (VAD's `CustomMSDeformableAttention`)."""

    def __init__(self, width: int, heads: int, points: int, rate: float, rngs: Keys):
        self.rate = rate
        self.maps = Projections(width, width, heads, points, rngs)

    def __call__(
        self,
        query: Float[Array, "B Q D"],
        query_pos: Float[Array, "B Q D"],
        value: Float[Array, "B YX D"],
        reference: Float[Array, "B Q 2"],
        bev_shape: tuple[int, int],
        dropout_keys: jax.Array | None = None,
    ) -> Float[Array, "B Q D"]:
        """query + output of the attention; reference is (x, y) in [0, 1]."""
        offsets, weights = self.maps.points(query + query_pos)
        shapes = (bev_shape,)
        locations = around(reference[:, :, None], offsets[:, :, :, 0], shapes)
        out = sample(self.maps.values(value), shapes, locations, weights[:, :, :, 0])
        return query + dropout(self.maps.output(out), self.rate, dropout_keys)
