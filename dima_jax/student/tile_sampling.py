"""Deformable attention's sampling for TPUs: in tiles of queries that sample one table, whose rows fill all lanes.

A TPU reads rows of 128 numbers. `deformable_attention` gathers the four cells around a sample as four rows of one head's
channels, often 32: a quarter of the lanes, from a table that holds every camera and so lies in HBM. Here

* a table holds one camera (or BEV), and of it only as many heads as fit into `TABLE_BYTES`, so that it can stay in the
  memory beside the arithmetic (VMEM);
* a row of it is the 2x2 patch around a sample: one gather instead of four (`patch_table`);
* levels of at most `DENSE_CELLS` cells are not gathered at all: the shares of all cells are a matrix, and the samples are
  a product with it (`dense_sampling.py`);
* only pairs of a camera and a query that it sees are visited, in tiles of queries, forward and backward. A loop over the
  tiles of a camera ends with its pairs, so nothing bounds their number and nothing is visited in vain.

Queries lie along the last axis, the lanes, of most arrays. On a mesh every device works on its own samples. The results
are those of `deformable_attention` up to the order of additions.

Axis letters here: N cameras, c cells of all levels together, h heads, d channels of a head, L levels, p points, z
reference points of a query, G tables, T queries of a tile, K rows of numbers of a query.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from dima_jax import expected_work
from dima_jax.student import patch_table, tile_queries
from dima_jax.student.dense_sampling import dense_sum
from dima_jax.types import LevelShapes

SAMPLES = 8192  # gathered at once: the queries of a tile, times a table's heads
DENSE_TILE = 512  # queries of a tile where every level is a product of matrices
LANES = 128  # numbers that a row fills; a tile is so many queries, or a multiple
DENSE_CELLS = 320  # a level of so many cells or fewer is a product of matrices
TABLE_BYTES = 48 * 2**20  # of one table: VMEM holds it beside a tile's numbers


class Layout(NamedTuple):
    """What is known before anything runs. groups: groups of heads, each with tables of its own; heads: of a group."""

    shapes: LevelShapes
    groups: int
    heads: int
    points: int
    tile: int

    @property
    def dense(self) -> list[int]:
        """Levels that are products of matrices."""
        return [i for i, (rows, columns) in enumerate(self.shapes) if rows * columns <= DENSE_CELLS]

    @property
    def gathered(self) -> list[int]:
        """Levels whose patches are gathered."""
        return [i for i in range(len(self.shapes)) if i not in self.dense]

    def shapes_of(self, levels: list[int]) -> list[tuple[int, int]]:
        return [self.shapes[i] for i in levels]


class Tile(NamedTuple):
    """The numbers of a tile's queries. x, y: in cells, 0 at the middle of a level's first cell."""

    x: Float[Array, "h L p T"]
    y: Float[Array, "h L p T"]
    weights: Float[Array, "h L p T"]

    def of(self, levels: list[int]) -> "Tile":
        """Of some levels alone."""
        return Tile(*(numbers[:, np.array(levels)] for numbers in self))


def layout(shapes: LevelShapes, heads: int, points: int, channels: int, item_bytes: int, queries: int) -> Layout:
    """Groups of heads as large as `TABLE_BYTES` allows."""
    cells = sum(patch_table.num_patches(*shape) for shape in shapes if shape[0] * shape[1] > DENSE_CELLS)
    row_bytes = -(-4 * channels // LANES) * LANES * item_bytes
    fitting = [size for size in range(1, heads + 1) if heads % size == 0 and cells * size * row_bytes <= TABLE_BYTES]
    size = max(fitting, default=1)
    tile = max(SAMPLES // size // LANES, 1) * LANES if cells else DENSE_TILE
    tile = min(tile, -(-queries // LANES) * LANES)
    return Layout(tuple(shapes), heads // size, size, points, tile)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def sample_tables(
    value: Float[Array, "B N c h d"],
    shapes: LevelShapes,
    references: Float[Array, "B N Q z 2"],
    visible: Bool[Array, "B N Q"] | None,
    offsets: Float[Array, "B Q h L p 2"],
    weights: Float[Array, "B Q h L p"],
) -> Float[Array, "B Q D"]:
    """As `deformable_attention.sample_cameras`; visible: None where every camera sees every query. No gradient flows into the
    references.
    """
    return _forward(value, shapes, references, visible, offsets, weights)[0]


class _Work(NamedTuple):
    """The tables in order, one scanned axis of G = B * N * groups: their values, and whose they are.

    camera: of the B * N. sample: of the batch. group: of heads.
    """

    table: Float[Array, "G c h d"]
    camera: Int[np.ndarray, " G"]
    sample: Int[np.ndarray, " G"]
    group: Int[np.ndarray, " G"]


class _Numbers(NamedTuple):
    """What tiles are made of; C = B * N cameras. queries: those that a camera sees, padded with Q; count: how many;
    None and None where they are all of them, and the rows of all queries are padded to whole tiles.
    """

    references: Float[Array, "C Q z2"]
    queries: Int[Array, "C padded"] | None
    count: Int[Array, " C"] | None
    offsets: Float[Array, "B Q hLp2"]
    weights: Float[Array, "B Q hLp"]


def _prepare(value, shapes, references, visible, offsets, weights) -> tuple[Layout, _Work, _Numbers]:
    batch, cameras, cells, heads, channels = value.shape
    queries, points = offsets.shape[1], offsets.shape[4]
    plan = layout(shapes, heads, points, channels, value.dtype.itemsize, queries)
    table = value.reshape(batch, cameras, cells, plan.groups, plan.heads, channels)
    table = jnp.moveaxis(table, 3, 2).reshape(-1, cells, plan.heads, channels)
    numbers = np.arange(len(table), dtype=np.int32)
    camera = numbers // plan.groups
    listed, count = tile_queries.list_queries(visible, plan.tile)
    padded = partial(tile_queries.padded, visible, plan.tile)
    return (
        plan,
        _Work(table, camera, camera // cameras, numbers % plan.groups),
        _Numbers(
            padded(references.reshape(batch * cameras, queries, -1)),
            listed,
            count,
            padded(offsets.reshape(batch, queries, -1)),
            padded(weights.reshape(batch, queries, -1)),
        ),
    )


def expected_tiles(plan: Layout, cameras: int, queries: int) -> int:
    """Of a table, where every camera sees as much as in nuScenes; a BEV, which stands for one camera, is seen whole."""
    return math.ceil(queries * expected_work.cameras_per_query(cameras) / cameras / plan.tile)


def _of_group(plan: Layout, work: _Work, rows: Float[Array, "hK T"]) -> Float[Array, "h K T"]:
    """Rows by head, those of the table's heads alone."""
    by_head = rows.reshape(plan.groups, plan.heads, -1, rows.shape[-1])
    return jax.lax.dynamic_index_in_dim(by_head, work.group, keepdims=False)


def _every_group(plan: Layout, work: _Work, own: Float[Array, "h K T"]) -> Float[Array, "hK T"]:
    """The inverse: zeros for the heads of other tables."""
    every = jnp.zeros((plan.groups, *own.shape))
    return jax.lax.dynamic_update_index_in_dim(every, own, work.group, 0).reshape(-1, own.shape[-1])


def _tiles(plan: Layout, work: _Work, numbers: _Numbers) -> Int[Array, ""] | int:
    """How many tiles a table has."""
    count = numbers.weights.shape[1] if numbers.count is None else numbers.count[work.camera]
    return -(-count // plan.tile)


def _tile(plan: Layout, work: _Work, numbers: _Numbers, t) -> tuple[tile_queries.Queries, Tile]:
    """(queries of tile t of a table; their numbers). Padding has weight 0."""
    take, start = tile_queries.take, t * plan.tile
    if numbers.queries is None:
        query = tile_queries.Run(start, plan.tile)
    else:
        query = jax.lax.dynamic_slice(numbers.queries, (work.camera, start), (1, plan.tile))[0]
    by_level = (plan.heads, len(plan.shapes), plan.points)
    offsets = _of_group(plan, work, take(numbers.offsets, work.sample, query)).reshape(*by_level, 2, -1)
    weights = _of_group(plan, work, take(numbers.weights, work.sample, query)).reshape(*by_level, -1)
    anchors = take(numbers.references, work.camera, query).reshape(-1, 2, plan.tile)
    anchors = jnp.concatenate([anchors] * (plan.points // len(anchors)))
    rows, columns = np.asarray(plan.shapes, np.float32).T[..., None, None]
    x = anchors[:, 0] * columns + offsets[..., 0, :] - 0.5
    y = anchors[:, 1] * rows + offsets[..., 1, :] - 0.5
    return query, Tile(x, y, weights)


def _sum_of_samples(plan: Layout, table, patches, tile: Tile) -> Float[Array, "h d T"]:
    """The weighted sums of a tile: products over small levels, patches of the others."""
    total = 0.0
    if dense := plan.dense:
        total = dense_sum(_levels(plan, table, dense), plan.shapes_of(dense), *tile.of(dense))
    if gathered := plan.gathered:
        total += patch_table.patch_sum(patches, plan.shapes_of(gathered), *tile.of(gathered))
    return total


def _levels(plan: Layout, table: Float[Array, "c h d"], levels: list[int]) -> Float[Array, "cells h d"]:
    """The cells of these levels, one level after the other."""
    starts = np.cumsum([0, *(rows * columns for rows, columns in plan.shapes)])
    return jnp.concatenate([table[starts[i] : starts[i + 1]] for i in levels])


def _patches(plan: Layout, table: Float[Array, "c h d"]) -> Float[Array, "rows wide"] | None:
    if not plan.gathered:
        return None
    return patch_table.pack(_levels(plan, table, plan.gathered), plan.shapes_of(plan.gathered))


def _forward(value, shapes, references, visible, offsets, weights):
    plan, all_work, numbers = _prepare(value, shapes, references, visible, offsets, weights)
    batch, queries, channels = len(value), offsets.shape[1], value.shape[-1]
    expected = expected_tiles(plan, value.shape[1], queries)

    def add_table(total, work: _Work):
        patches = _patches(plan, work.table)

        def add_tile(t, total):
            query, tile = _tile(plan, work, numbers, t)
            out = _sum_of_samples(plan, work.table, patches, tile).reshape(-1, plan.tile).T
            return tile_queries.add(total, (work.sample, work.group), query, out)

        with expected_work.turns(expected):
            return jax.lax.fori_loop(0, _tiles(plan, work, numbers), add_tile, total), None

    total = jnp.zeros((batch, plan.groups, numbers.weights.shape[1], plan.heads * channels))
    total, _ = jax.lax.scan(add_table, total, all_work)
    total = jnp.moveaxis(total[:, :, :queries], 1, 2).reshape(batch, queries, -1)
    return total, (value, references, visible, offsets, weights)


def _backward(shapes, saved, gradient):
    value, references, visible, offsets, weights = saved
    plan, all_work, numbers = _prepare(value, shapes, references, visible, offsets, weights)
    channels, queries = value.shape[-1], offsets.shape[1]
    expected = expected_tiles(plan, value.shape[1], queries)
    gradient = tile_queries.padded(visible, plan.tile, gradient)

    def add_table(carry, work: _Work):
        patches = _patches(plan, work.table)

        def add_tile(t, carry):
            to_table, to_patches, (to_offsets, to_weights) = carry
            query, tile = _tile(plan, work, numbers, t)
            own = _of_group(plan, work, tile_queries.take(gradient, work.sample, query))
            parts = []
            if dense := plan.dense:
                to_table, to_dense = _dense_gradients(plan, to_table, work.table, tile, own)
                parts.append((dense, to_dense))
            if gathered := plan.gathered:
                to_patches, to_gathered = patch_table.patch_sum_gradients(
                    to_patches, patches, plan.shapes_of(gathered), *tile.of(gathered), own
                )
                parts.append((gathered, to_gathered))
            x, y, of_weights = _in_order(parts)

            def add(total, of_tile):
                rows = _every_group(plan, work, of_tile.reshape(plan.heads, -1, plan.tile)).T
                return tile_queries.add(total, (work.sample,), query, rows)

            return to_table, to_patches, (add(to_offsets, jnp.stack([x, y], axis=3)), add(to_weights, of_weights))

        start = (jnp.zeros(work.table.shape), jax.tree.map(lambda x: jnp.zeros(x.shape), patches), carry)
        with expected_work.turns(expected):
            tiles = _tiles(plan, work, numbers)
            to_table, to_patches, carry = jax.lax.fori_loop(0, tiles, add_tile, start)
        if patches is not None:
            to_table += jax.linear_transpose(partial(_patches, plan), to_table)(to_patches)[0]
        return carry, to_table.astype(value.dtype)

    start = (jnp.zeros(numbers.offsets.shape), jnp.zeros(numbers.weights.shape))
    (to_offsets, to_weights), to_tables = jax.lax.scan(add_table, start, all_work)
    to_tables = to_tables.reshape(*value.shape[:2], plan.groups, value.shape[2], plan.heads, channels)
    to_value = jnp.moveaxis(to_tables, 2, 3).reshape(value.shape)
    to_offsets, to_weights = (rows[:, :queries] for rows in (to_offsets, to_weights))
    return to_value, None, None, to_offsets.reshape(offsets.shape), to_weights.reshape(weights.shape)


def _dense_gradients(plan: Layout, to_table, table, tile: Tile, gradient: Float[Array, "h d T"]):
    """(`to_table` plus the gradient of the table, those of x, y and weights of the dense levels)."""

    def total(table, *numbers):
        return dense_sum(_levels(plan, table, plan.dense), plan.shapes_of(plan.dense), *numbers)

    _, pullback = jax.vjp(total, table.astype(jnp.float32), *tile.of(plan.dense))
    of_table, *of_numbers = pullback(gradient)
    return to_table + of_table, of_numbers


def _in_order(parts: list[tuple[list[int], list[Float[Array, "h _ p T"]]]]) -> list[Float[Array, "h L p T"]]:
    """The gradients of x, y and weights, given for some levels each, in the order of the levels."""
    order = np.argsort([level for levels, _ in parts for level in levels])
    return [jnp.concatenate(of, axis=1)[:, order] for of in zip(*(numbers for _, numbers in parts), strict=True)]


sample_tables.defvjp(_forward, _backward)
