"""Multi-scale deformable attention without a compiled op: bilinear sampling at predicted points, weighted and summed.

Samples outside a level are zero and pixel centers lie at (i + 0.5) / size (grid_sample with align_corners=False).
A bilinear sample is the weighted sum of four rows of a value table; a row holds one head's channels of one cell.
`sum_of_samples` scans over the points of all levels and adds four rows per query and head at a time, so no array of the
size queries x points x channels is ever made, and the program does not grow with levels and points.

Axis letters here: N cameras, c cells of all levels together, h heads, d channels of a head, s sets of points, L levels,
p points, n = L * p, z reference points of a query.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from dima_jax import sharding
from dima_jax.student import grid_sampling
from dima_jax.student.exported_operations import softmax
from dima_jax.student.kernel_sampling import sample_in_kernel
from dima_jax.student.layers import Rngs, dropout, linear, xavier, zeros
from dima_jax.student.tile_sampling import sample_tables
from dima_jax.types import LevelShapes

BY_PLATFORM = {"tpu": sample_tables, "gpu": sample_in_kernel}  # what samples there in place of `sum_of_samples`


def num_cells(shapes: LevelShapes) -> int:
    """Cells of all levels together."""
    return sum(rows * columns for rows, columns in shapes)


def initial_offsets(heads: int, levels: int, points: int) -> np.ndarray:
    """Initial sampling offsets [heads, levels, points, 2] in cells: one direction per head, 1, 2, ... cells away."""
    angle = np.arange(heads, dtype=np.float32) * np.float32(2.0 * math.pi / heads)
    unit = np.stack([np.cos(angle), np.sin(angle)], -1)
    unit = unit / np.abs(unit).max(-1, keepdims=True)
    steps = np.arange(1, points + 1, dtype=np.float32)
    return np.broadcast_to(unit[:, None, None] * steps[:, None], (heads, levels, points, 2)).astype(np.float32)


class DeformableProjections(nnx.Module):
    """The four linear layers of a deformable attention: sampling offsets, attention weights, values and output.

    query_width: of the vector from which offsets and weights are predicted. points: per head, set and level. sets:
    independent sets of points; temporal attention has one for the previous BEV and one for the current one.
    """

    def __init__(
        self, query_width: int, width: int, num_heads: int, points: int, rngs: Rngs, *, levels: int = 1, sets: int = 1
    ):
        self.shape = (num_heads, sets, levels, points)
        count = math.prod(self.shape)
        start = initial_offsets(num_heads, sets * levels, points).reshape(-1)

        def offsets_bias(key, shape, dtype=jnp.float32, **_):
            return jnp.asarray(start, dtype)

        self.offsets = linear(query_width, count * 2, rngs, zeros, offsets_bias, dtype=jnp.float32)
        self.weights = linear(query_width, count, rngs, zeros, zeros, dtype=jnp.float32)
        self.value = linear(width, width, rngs, xavier, zeros)
        self.output = linear(width, width, rngs, xavier, zeros)

    def points(self, query: Float[Array, "B Q I"]) -> tuple[Float[Array, "B Q h s L p 2"], Float[Array, "B Q h s L p"]]:
        """Offsets (x, y) in cells, and weights that sum to 1 over the levels and points of a set."""
        heads, sets, levels, points = self.shape
        lead = query.shape[:-1]
        offsets = self.offsets(query).reshape(*lead, heads, sets, levels, points, 2)
        weights = softmax(self.weights(query).reshape(*lead, heads, sets, levels * points))
        return offsets, weights.reshape(*lead, heads, sets, levels, points)

    def values(self, x: Float[Array, "*lead c D"]) -> Float[Array, "*lead c h d"]:
        """Cells to values, by head."""
        return self.value(x).reshape(*x.shape[:-1], self.shape[0], -1)


def sampling_locations(
    references: Float[Array, "*lead Q z 2"], offsets: Float[Array, "*lead Q h L p 2"], shapes: LevelShapes
) -> Float[Array, "*lead Q h L p 2"]:
    """Reference points (x, y) in [0, 1] plus offsets in cells of their level; point p has reference point p % z."""
    sizes = np.asarray([(columns, rows) for rows, columns in shapes], np.float32)
    sizes = np.broadcast_to(sizes[:, None], offsets.shape[-4:])  # ONNX runtimes are slow at operands of short rows
    repeats = offsets.shape[-2] // references.shape[-2]
    repeated = jnp.concatenate([references] * repeats, axis=-2)
    return repeated[..., None, None, :, :] + offsets / sizes


def sample_levels(
    value: Float[Array, "B c h d"],
    shapes: LevelShapes,
    locations: Float[Array, "B Q h L p 2"],
    weights: Float[Array, "B Q h L p"],
) -> Float[Array, "B Q D"]:
    """Weighted sum of bilinear samples; locations are (x, y) in [0, 1] of each level."""
    if grid_sampling.is_traced():
        return grid_sampling.sample_levels(value, shapes, locations, weights)
    if sharding.platform() in BY_PLATFORM:  # one camera that sees every query; locations are offsets from its corner
        batch, queries = locations.shape[:2]
        sizes = np.asarray([(columns, rows) for rows, columns in shapes], np.float32)
        corner = jnp.zeros((batch, 1, queries, 1, 2))
        return sample_cameras(value[:, None], shapes, corner, None, locations * sizes[:, None], weights)
    camera = jnp.zeros(locations.shape[:2], jnp.int32)
    return sample_one_camera(camera, value[:, None], shapes, locations, weights)


def sample_cameras(
    value: Float[Array, "B N c h d"],
    shapes: LevelShapes,
    references: Float[Array, "B N Q z 2"],
    visible: Bool[Array, "B N Q"] | None,
    offsets: Float[Array, "B Q h L p 2"],
    weights: Float[Array, "B Q h L p"],
) -> Float[Array, "B Q D"]:
    """Sum, over the cameras in which a query is visible, of its samples around its reference points in that camera.

    TPUs and GPUs have forms of their own (`BY_PLATFORM`; visible: None for them where every camera sees every query), CPUs
    for cameras, too (`pair_sampling`). Elsewhere, as in exported programs, pass k visits the k-th such camera of every query.
    Passes in which no query has a camera left are skipped, so the cost follows the number of visible pairs, not N.
    """
    if grid_sampling.is_traced():
        return grid_sampling.sample_cameras(value, shapes, references, visible, offsets, weights)
    if form := BY_PLATFORM.get(sharding.platform()):
        sample = sharding.on_own_samples(lambda value, *arrays: form(value, shapes, *arrays))
        return sample(value, references, visible, offsets, weights)
    order = jnp.cumsum(visible.astype(jnp.int32), axis=1)  # 1 at the first camera that sees a query, 2 at its second

    def visit(nth):
        chosen = visible & (order == nth)  # at most one camera per query
        camera = jnp.argmax(chosen, axis=1).astype(jnp.int32)
        reference = jnp.take_along_axis(references, camera[:, None, :, None, None], axis=1)[:, 0]
        masked = weights * chosen.any(axis=1)[..., None, None, None]
        return sample_one_camera(camera, value, shapes, sampling_locations(reference, offsets, shapes), masked)

    def step(total, nth):
        more = (order[:, -1] >= nth).any()
        return jax.lax.cond(more, lambda x: x + jax.checkpoint(visit)(nth), lambda x: x, total), None

    passes = jnp.arange(2, visible.shape[1] + 1)
    return jax.lax.scan(step, visit(1), passes)[0]


def sample_one_camera(
    camera: Int[Array, "B Q"],
    value: Float[Array, "B N c h d"],
    shapes: LevelShapes,
    locations: Float[Array, "B Q h L p 2"],
    weights: Float[Array, "B Q h L p"],
) -> Float[Array, "B Q D"]:
    """Weighted sum of the samples of each query in the camera given for it.

    Each sample of the batch has a value table of its own, under `vmap`: a table of the whole batch would be gathered on
    every device of a mesh.
    """
    batch, _, cells, heads, channels = value.shape
    first_row = camera[..., None] * (cells * heads) + jnp.arange(heads, dtype=jnp.int32)
    tables = value.reshape(batch, -1, channels)
    out = jax.vmap(partial(sum_of_samples, shapes, heads))(tables, first_row, locations, weights)
    return out.reshape(batch, -1, heads * channels)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def sum_of_samples(
    shapes: LevelShapes,
    row_stride: int,
    table: Float[Array, "R d"],
    first_row: Int[Array, "Q h"],
    locations: Float[Array, "Q h L p 2"],
    weights: Float[Array, "Q h L p"],
) -> Float[Array, "Q h d"]:
    """Weighted sum over levels and points; cell i of a query's camera is row `first_row + i * row_stride`.

    The backward pass scans over the points again instead of keeping what was gathered. Sums are float32, of the table's
    gradient too, whatever the table's type.
    """

    def add(total, point):
        location, weight, level = point
        factors, cells = corner_cells(location, weight, level)
        rows = (gather_rows(table, first_row + cell * row_stride) for cell in cells)
        return total + sum(row * factors[..., k, None] for k, row in enumerate(rows)), None

    zero = jnp.zeros((*first_row.shape, table.shape[-1]))
    return jax.lax.scan(add, zero, points_first(shapes, locations, weights))[0]


def _sum_of_samples_forward(shapes, row_stride, table, first_row, locations, weights):
    out = sum_of_samples(shapes, row_stride, table, first_row, locations, weights)
    return out, (table, first_row, locations, weights)


def _sum_of_samples_backward(shapes, row_stride, saved, gradient):
    empty = jnp.zeros(saved[0].shape)
    to_table, to_locations, to_weights = sum_of_samples_gradients(shapes, row_stride, empty, *saved, gradient)
    return to_table.astype(saved[0].dtype), None, to_locations, to_weights


def sum_of_samples_gradients(
    shapes: LevelShapes,
    row_stride: int,
    to_table: Float[Array, "R d"],
    table: Float[Array, "R d"],
    first_row: Int[Array, "Q h"],
    locations: Float[Array, "Q h L p 2"],
    weights: Float[Array, "Q h L p"],
    gradient: Float[Array, "Q h d"],
) -> tuple[Float[Array, "R d"], Float[Array, "Q h L p 2"], Float[Array, "Q h L p"]]:
    """Gradients of `sum_of_samples`: (`to_table` plus that of the table, that of the locations, that of the weights)."""

    def add(to_table, point):
        location, weight, level = point
        factors, pullback, cells = jax.vjp(lambda x, w: corner_cells(x, w, level), location, weight, has_aux=True)
        indices = [first_row + cell * row_stride for cell in cells]
        to_factors = [(gather_rows(table, index) * gradient).sum(axis=-1) for index in indices]
        to_rows = factors[..., None] * gradient[..., None, :]
        to_table = to_table.at[jnp.stack(indices, axis=-1)].add(to_rows, mode="promise_in_bounds")
        return to_table, pullback(jnp.stack(to_factors, axis=-1))

    points = points_first(shapes, locations, weights)
    to_table, (to_locations, to_weights) = jax.lax.scan(add, to_table, points)
    to_locations = jnp.moveaxis(to_locations, 0, -2).reshape(locations.shape)
    return to_table, to_locations, jnp.moveaxis(to_weights, 0, -1).reshape(weights.shape)


sum_of_samples.defvjp(_sum_of_samples_forward, _sum_of_samples_backward)


def points_first(
    shapes: LevelShapes, locations: Float[Array, "Q h L p 2"], weights: Float[Array, "Q h L p"]
) -> tuple[Float[Array, "n Q h 2"], Float[Array, "n Q h"], Int[Array, "n 3"]]:
    """The points of all levels as a leading axis: their locations, weights and levels (rows, columns, first cell)."""
    points = weights.shape[-1]
    starts = [num_cells(shapes[:i]) for i in range(len(shapes))]
    levels = np.repeat([(*shape, start) for shape, start in zip(shapes, starts, strict=True)], points, axis=0)
    locations = locations.reshape(*locations.shape[:2], -1, 2)
    weights = weights.reshape(*weights.shape[:2], -1)
    return jnp.moveaxis(locations, -2, 0), jnp.moveaxis(weights, -1, 0), jnp.asarray(levels, jnp.int32)


def corner_cells(
    location: Float[Array, "*n 2"], weight: Float[Array, "*n"], level: Int[Array, "3"]
) -> tuple[Float[Array, "*n 4"], list[Int[Array, "*n"]]]:
    """The four cells around a sample: their factors (0 outside the level) and their indices in the table of cells."""
    rows, columns, start = level[0], level[1], level[2]
    factors, cells = [], []
    for y, share_y in neighbor_cells(location[..., 1], rows):
        for x, share_x in neighbor_cells(location[..., 0], columns):
            cells.append(start + y * columns + x)
            factors.append(weight * share_y * share_x)
    return jnp.stack(factors, axis=-1), cells


def neighbor_cells(
    location: Float[Array, "*n"], size: Int[Array, ""]
) -> list[tuple[Int[Array, "*n"], Float[Array, "*n"]]]:
    """The two cells around a sample along an axis of `size` cells: their indices, and their shares (0 outside)."""
    size = size.astype(jnp.float32)
    position = jnp.clip(location * size - 0.5, -1.0, size)  # beyond, both cells are outside anyway
    low = jnp.floor(position)
    pairs = []
    for cell, share in ((low, 1.0 - (position - low)), (low + 1.0, position - low)):
        inside = (cell >= 0.0) & (cell < size)
        index = jnp.clip(cell, 0.0, size - 1.0).astype(jnp.int32)
        pairs.append((index, jnp.where(inside, share, 0.0)))
    return pairs


def gather_rows(table: Float[Array, "R d"], index: Int[Array, "*n"]) -> Float[Array, "*n d"]:
    """Rows of the table; every index must be valid."""
    return table.at[index].get(mode="promise_in_bounds")


class DeformableAttention(nnx.Module):
    """Queries sample a BEV map around one reference point each (VAD's `CustomMSDeformableAttention`).

    points: sampling points per head. dropout_rate: of the output.
    """

    def __init__(self, width: int, num_heads: int, points: int, dropout_rate: float, rngs: Rngs):
        self.dropout_rate = dropout_rate
        self.maps = DeformableProjections(width, width, num_heads, points, rngs)

    def __call__(
        self,
        query: Float[Array, "B Q D"],
        query_pos: Float[Array, "B Q D"],
        value: Float[Array, "B YX D"],
        reference: Float[Array, "B Q 2"],
        bev_shape: tuple[int, int],
        dropout_keys: jax.Array | None = None,
    ) -> Float[Array, "B Q D"]:
        """query + output of the attention; reference: (x, y) in [0, 1]."""
        offsets, weights = self.maps.points(query + query_pos)
        shapes = (bev_shape,)
        locations = sampling_locations(reference[:, :, None], offsets[:, :, :, 0], shapes)
        out = sample_levels(self.maps.values(value), shapes, locations, weights[:, :, :, 0])
        return query + dropout(self.maps.output(out), self.dropout_rate, dropout_keys)
