"""Multi-scale deformable attention without a compiled op: bilinear sampling at predicted points, weighted and summed.

Samples outside a level are zero and pixel centres lie at (i + 0.5) / size (grid_sample with align_corners=False).
The same sum is computed in one of two ways, chosen by static shapes:

* few cells: the samples of one query are one row of an interpolation matrix (product of two hat functions), so
  sampling is a matrix product, and so is its gradient;
* many cells: the four neighbours of a sample are packed into one row of a table, so a sample is one gather of a
  contiguous row and the gradient is one scatter.

Axis letters here: G grids (cameras) of the same level shapes, c cells of all levels together, h heads, d channels of a
head, L levels, p points.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from dima_jax.student.layers import direction_grid, dropout, linear, xavier, zeros

MATRIX_CELLS = 1024  # up to this many cells per query the interpolation matrix is the faster way

Shapes = tuple[tuple[int, int], ...]  # (rows, columns) of each level


def cell_count(shapes: Shapes) -> int:
    return sum(rows * columns for rows, columns in shapes)


class Projections(nnx.Module):
    """The four linear maps of a deformable attention. `sets`: independent point sets (2 in temporal attention)."""

    def __init__(self, d_query: int, width: int, heads: int, points: int, rngs: nnx.Rngs, *, levels=1, sets=1):
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
    way = sample_by_matrix if cell_count(shapes) <= MATRIX_CELLS else sample_by_gather
    return way(value, shapes, locations, weights)


def sample_by_matrix(value, shapes: Shapes, locations, weights) -> Float[Array, "B Q D"]:
    out = jnp.einsum("bqhc,bchd->bqhd", interpolation_matrix(shapes, locations, weights), value)
    return out.reshape(*out.shape[:2], -1)


def sample_by_gather(value, shapes: Shapes, locations, weights) -> Float[Array, "B Q D"]:
    grid = jnp.zeros(locations.shape[:2], jnp.int32)
    return gather_samples(neighbour_table(value[:, None], shapes), shapes, locations, weights, grid)


def sample_grids(
    value: Float[Array, "B G c h d"],
    shapes: Shapes,
    references: Float[Array, "B G Q Z 2"],
    hits: Bool[Array, "B G Q"],
    offsets: Float[Array, "B Q h L p 2"],
    weights: Float[Array, "B Q h L p"],
) -> Float[Array, "B Q D"]:
    """Sum over the grids that each query hits of its samples there, around that grid's reference points."""
    few = hits.shape[1] * cell_count(shapes) <= MATRIX_CELLS
    way = sample_grids_by_matrix if few else sample_grids_by_gather
    return way(value, shapes, references, hits, offsets, weights)


def sample_grids_by_matrix(value, shapes: Shapes, references, hits, offsets, weights) -> Float[Array, "B Q D"]:
    locations = around(references, offsets[:, None], shapes)
    matrix = interpolation_matrix(shapes, locations, weights[:, None] * hits[..., None, None, None])
    out = jnp.einsum("bgqhc,bgchd->bqhd", matrix, value)
    return out.reshape(*out.shape[:2], -1)


def sample_grids_by_gather(value, shapes: Shapes, references, hits, offsets, weights) -> Float[Array, "B Q D"]:
    """Each pass visits one hit grid of every query, its first, its second, ...

    Passes in which no query has a grid left are skipped, so the cost follows the hits, not G.
    """
    table = neighbour_table(value, shapes)
    order = jnp.cumsum(hits.astype(jnp.int32), axis=1)  # 1 at a query's first hit grid, 2 at its second, ...

    def visit(nth):
        chosen = hits & (order == nth)  # at most one grid per query
        grid = jnp.argmax(chosen, axis=1).astype(jnp.int32)
        reference = jnp.take_along_axis(references, grid[:, None, :, None, None], axis=1)[:, 0]
        masked = weights * chosen.any(axis=1)[..., None, None, None]
        return gather_samples(table, shapes, around(reference, offsets, shapes), masked, grid)

    out = visit(1)
    for nth in range(2, hits.shape[1] + 1):
        more = (order[:, -1] >= nth).any()
        out = jax.lax.cond(more, lambda x, nth=nth: x + visit(nth), lambda x: x, out)
    return out


def around(references: Float[Array, "*lead Q Z 2"], offsets: Float[Array, "*lead Q h L p 2"], shapes: Shapes):
    """Sampling locations: references plus offsets, which count cells of their level; point p takes reference p % Z."""
    sizes = jnp.asarray([(columns, rows) for rows, columns in shapes], jnp.float32)
    points, anchors = offsets.shape[-2], references.shape[-2]
    repeated = jnp.concatenate([references] * (points // anchors), axis=-2)
    return repeated[..., None, None, :, :] + offsets / sizes[:, None, :]


def interpolation_matrix(
    shapes: Shapes, locations: Float[Array, "*lead L p 2"], weights: Float[Array, "*lead L p"]
) -> Float[Array, "*lead c"]:
    """Rows of the matrix that takes the cells of all levels to the weighted sum of samples."""
    parts = []
    for i, (rows, columns) in enumerate(shapes):
        x = locations[..., i, :, 0] * columns - 0.5
        y = locations[..., i, :, 1] * rows - 0.5
        near_x = jax.nn.relu(1.0 - jnp.abs(x[..., None] - jnp.arange(columns, dtype=x.dtype)))
        near_y = jax.nn.relu(1.0 - jnp.abs(y[..., None] - jnp.arange(rows, dtype=y.dtype)))
        part = jnp.einsum("...py,...px->...yx", weights[..., i, :, None] * near_y, near_x)
        parts.append(part.reshape(*part.shape[:-2], rows * columns))
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=-1)


def neighbour_table(value: Float[Array, "B G c h d"], shapes: Shapes) -> Float[Array, "R 4d"]:
    """Rows holding the 2x2 neighbourhood of every corner between cells, zero outside the level.

    Corner (i, j) of a level has the cells (i-1, j-1), (i-1, j), (i, j-1), (i, j); a level has (rows+1) x (columns+1).
    Row index: ((batch * G + grid) * corners + corner) * h + head.
    """
    batch, grids, _, heads, channels = value.shape
    tables, start = [], 0
    for rows, columns in shapes:
        level = value[:, :, start : start + rows * columns].reshape(batch, grids, rows, columns, heads, channels)
        start += rows * columns
        padded = jnp.pad(level, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0), (0, 0)))
        corners = [padded[:, :, i : i + rows + 1, j : j + columns + 1] for i in (0, 1) for j in (0, 1)]
        packed = jnp.concatenate(corners, axis=-1)
        tables.append(packed.reshape(batch, grids, (rows + 1) * (columns + 1), heads, 4 * channels))
    joined = tables[0] if len(tables) == 1 else jnp.concatenate(tables, axis=2)
    return joined.reshape(-1, 4 * channels)


def gather_samples(
    table: Float[Array, "R 4d"],
    shapes: Shapes,
    locations: Float[Array, "B Q h L p 2"],
    weights: Float[Array, "B Q h L p"],
    grid: Int[Array, "B Q"],
) -> Float[Array, "B Q D"]:
    """Samples of each query in its own grid, by rows of `neighbour_table`."""
    batch, queries, heads = weights.shape[:3]
    corners = sum((rows + 1) * (columns + 1) for rows, columns in shapes)
    grids = table.shape[0] // (batch * corners * heads)
    image = jnp.arange(batch, dtype=jnp.int32)[:, None] * grids + grid
    head = jnp.arange(heads, dtype=jnp.int32)
    indices, factors, start = [], [], 0
    for i, (rows, columns) in enumerate(shapes):
        low_x, frac_x = corner(locations[..., i, :, 0], columns)
        low_y, frac_y = corner(locations[..., i, :, 1], rows)
        cell = start + low_y * (columns + 1) + low_x  # B Q h p
        indices.append((image[:, :, None, None] * corners + cell) * heads + head[:, None])
        along_y, along_x = jnp.stack([1.0 - frac_y, frac_y], -1), jnp.stack([1.0 - frac_x, frac_x], -1)
        factors.append(weights[..., i, :, None, None] * along_y[..., :, None] * along_x[..., None, :])
        start += (rows + 1) * (columns + 1)
    index = jnp.stack(indices, axis=3)  # B Q h L p
    factor = jnp.stack(factors, axis=3).reshape(*index.shape, 4, 1)
    rows = table.at[index].get(mode="promise_in_bounds").reshape(*index.shape, 4, -1)
    return (rows * factor).sum(axis=(3, 4, 5)).reshape(batch, queries, -1)


def corner(location: Float[Array, "..."], size: int) -> tuple[Int[Array, "..."], Float[Array, "..."]]:
    """Index (0 to size) of the corner left of a sample among `size` cells, and how far the sample is beyond it.

    Samples more than half a cell outside move to where they get nothing, from cells that do not exist.
    """
    position = jnp.clip(location * size - 0.5, -1.0, float(size))
    low = jnp.minimum(jnp.floor(position), float(size - 1))
    return (low + 1.0).astype(jnp.int32), position - low


class DeformableAttention(nnx.Module):
    """Queries sample one BEV map around one reference point each (VAD's `CustomMSDeformableAttention`)."""

    def __init__(self, width: int, heads: int, points: int, rate: float, rngs: nnx.Rngs):
        self.rate = rate
        self.maps = Projections(width, width, heads, points, rngs)

    def __call__(
        self,
        query: Float[Array, "B Q D"],
        query_pos: Float[Array, "B Q D"],
        value: Float[Array, "B YX D"],
        reference: Float[Array, "B Q 2"],
        bev_shape: tuple[int, int],
        rng: jax.Array | None = None,
    ) -> Float[Array, "B Q D"]:
        """query + output of the attention; reference is (x, y) in [0, 1]."""
        offsets, weights = self.maps.points(query + query_pos)
        shapes = (bev_shape,)
        locations = around(reference[:, :, None], offsets[:, :, :, 0], shapes)
        out = sample(self.maps.values(value), shapes, locations, weights[:, :, :, 0])
        return query + dropout(self.maps.output(out), self.rate, rng)
