"""Spatial attention's sampling for CPUs: only the (camera, query) pairs that see each other, in tiles.

`deformable_attention.sample_cameras` makes one pass over all queries for every camera that some query sees, and computes
each pass again for the gradient: regular work, which an exported program can do. A CPU pays for every row that it gathers. Here
the visible pairs of each sample are listed, and a loop that ends with the longest list takes a tile of them at a time,
forward and backward, so the cost follows the number of pairs: 1.2 per query in nuScenes' rig. The results are the same
up to the order of additions. Devices of a mesh list and sample pairs of their own samples, without waiting for each other.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from dima_jax import expected_work, sharding
from dima_jax.student.deformable_attention import (
    sampling_locations,
    sum_of_samples,
    sum_of_samples_gradients,
)
from dima_jax.types import LevelShapes

TILES = 4  # the queries are this many tiles
EXPECTED_TILES = math.ceil(TILES * expected_work.PAIRS_PER_QUERY)  # of pairs


class Pairs(NamedTuple):
    """The visible pairs of each sample, padded with invalid ones. tiles: how many hold a pair of any sample."""

    camera: Int[Array, "B K"]
    query: Int[Array, "B K"]
    valid: Bool[Array, "B K"]
    tiles: Int[Array, ""]
    tile_size: int


def list_pairs(visible: Bool[Array, "B N Q"]) -> Pairs:
    """The visible pairs, camera by camera."""
    queries = visible.shape[2]
    size = -(-queries // TILES)
    flat = visible.reshape(len(visible), -1)
    length = -(-flat.shape[1] // size) * size
    place = jnp.where(flat, jnp.cumsum(flat, axis=1) - 1, length)
    number = jnp.broadcast_to(np.arange(flat.shape[1], dtype=np.int32), flat.shape)
    pair = jax.vmap(lambda place, number: jnp.zeros(length, jnp.int32).at[place].set(number, mode="drop"))(
        place, number
    )
    count = flat.sum(axis=1)
    valid = np.arange(length) < count[:, None]
    return Pairs(pair // queries, pair % queries, valid, -(-count.max() // size), size)


def sample_pairs(
    value: Float[Array, "B N c h d"],
    shapes: LevelShapes,
    references: Float[Array, "B N Q z 2"],
    visible: Bool[Array, "B N Q"],
    offsets: Float[Array, "B Q h L p 2"],
    weights: Float[Array, "B Q h L p"],
) -> Float[Array, "B Q D"]:
    """As `deformable_attention.sample_cameras`. No gradient flows into the references."""
    sample = sharding.on_own_samples(partial(_sample, shapes))
    return sample(value, references, visible, offsets, weights)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _sample(shapes, value, references, visible, offsets, weights):
    return _forward(shapes, value, references, visible, offsets, weights)[0]


class _Tile(NamedTuple):
    """One tile of pairs: query indices, first rows in the table, sampling locations, weights (0 where invalid)."""

    query: Int[Array, "B T"]
    first_row: Int[Array, "B T h"]
    locations: Float[Array, "B T h L p 2"]
    weights: Float[Array, "B T h L p"]


def _tile(pairs: Pairs, t, shapes, value_shape, references, offsets, weights) -> _Tile:
    _, _, cells, heads, _ = value_shape
    camera, query, valid = (
        jax.lax.dynamic_slice_in_dim(x, t * pairs.tile_size, pairs.tile_size, axis=1)
        for x in (pairs.camera, pairs.query, pairs.valid)
    )
    reference = jax.vmap(lambda x, camera, query: x[camera, query])(references, camera, query)
    locations = sampling_locations(reference, _rows(offsets, query), shapes)
    weights = _rows(weights, query) * valid[..., None, None, None]
    first_row = camera[..., None] * (cells * heads) + jnp.arange(heads, dtype=jnp.int32)
    return _Tile(query, first_row, locations, weights)


def _rows(x: Float[Array, "B Q ..."], query: Int[Array, "B T"]) -> Float[Array, "B T ..."]:
    return jax.vmap(lambda x, query: x.at[query].get(mode="promise_in_bounds"))(x, query)


def _add_rows(total: Float[Array, "B Q ..."], query: Int[Array, "B T"], rows) -> Float[Array, "B Q ..."]:
    return jax.vmap(lambda x, query, rows: x.at[query].add(rows, mode="promise_in_bounds"))(total, query, rows)


def _forward(shapes, value, references, visible, offsets, weights):
    pairs = list_pairs(visible)
    batch, heads, channels = value.shape[0], *value.shape[3:]
    tables = value.reshape(batch, -1, channels)
    sample = jax.vmap(partial(sum_of_samples, shapes, heads))

    def add(t, total):
        tile = _tile(pairs, t, shapes, value.shape, references, offsets, weights)
        return _add_rows(total, tile.query, sample(tables, tile.first_row, tile.locations, tile.weights))

    total = jnp.zeros((batch, visible.shape[2], heads, channels))
    with expected_work.turns(EXPECTED_TILES):
        total = jax.lax.fori_loop(0, pairs.tiles, add, total)
    saved = (value, references, visible, offsets, weights)
    return total.reshape(*total.shape[:2], -1), saved


def _backward(shapes, saved, gradient):
    value, references, visible, offsets, weights = saved
    pairs = list_pairs(visible)
    batch, heads, channels = value.shape[0], *value.shape[3:]
    tables = value.reshape(batch, -1, channels)
    gradient = gradient.reshape(*gradient.shape[:2], heads, channels)
    sizes = jnp.asarray([(columns, rows) for rows, columns in shapes], jnp.float32)
    gradients = jax.vmap(partial(sum_of_samples_gradients, shapes, heads))

    def add(t, carry):
        to_tables, to_offsets, to_weights = carry
        tile = _tile(pairs, t, shapes, value.shape, references, offsets, weights)
        to_tables, to_locations, of_weights = gradients(
            to_tables, tables, tile.first_row, tile.locations, tile.weights, _rows(gradient, tile.query)
        )
        valid = (tile.weights != 0).any((-1, -2, -3))
        of_weights = of_weights * valid[..., None, None, None]
        to_offsets = _add_rows(to_offsets, tile.query, to_locations / sizes[:, None, :])
        return to_tables, to_offsets, _add_rows(to_weights, tile.query, of_weights)

    start = (jnp.zeros(tables.shape), jnp.zeros_like(offsets), jnp.zeros_like(weights))
    with expected_work.turns(EXPECTED_TILES):
        to_tables, to_offsets, to_weights = jax.lax.fori_loop(0, pairs.tiles, add, start)
    return to_tables.reshape(value.shape).astype(value.dtype), None, None, to_offsets, to_weights


_sample.defvjp(_forward, _backward)
