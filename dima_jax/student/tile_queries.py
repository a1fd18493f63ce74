"""The queries of a tile of `tile_sampling`: some that a camera sees, by their numbers, or a run of all of them.

A TPU reads and writes a run of rows many times as fast as it gathers and scatters them one by one.

Axis letters here: N cameras, G of all samples together, B samples, T queries of a tile, K numbers of a query.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


class Run(NamedTuple):
    """Queries start, ..., start + length - 1."""

    start: Int[Array, ""]
    length: int


Queries = Int[Array, " T"] | Run  # padded with the number of queries where they are listed


def list_queries(
    visible: Bool[Array, "B N Q"] | None, tile: int
) -> tuple[Int[Array, "G padded"] | None, Int[Array, " G"] | None]:
    """(the queries that each camera sees in order, padded with Q to whole tiles; how many they are); None where every camera
    sees every query.
    """
    if visible is None:
        return None, None
    queries = visible.shape[2]
    visible = visible.reshape(-1, queries)
    length = -(-queries // tile) * tile
    place = jnp.where(visible, jnp.cumsum(visible, axis=1, dtype=jnp.int32) - 1, length)
    number = jnp.broadcast_to(np.arange(queries, dtype=np.int32), visible.shape)
    blank = jnp.full((len(visible), length), queries, jnp.int32)
    listed = jax.vmap(lambda row, place, number: row.at[place].set(number, mode="drop"))(blank, place, number)
    return listed, visible.sum(axis=1, dtype=jnp.int32)


def padded(visible: Bool[Array, "B N Q"] | None, tile: int, rows: Float[Array, "G Q K"]) -> Float[Array, "G rows K"]:
    """Zeros behind the rows, to whole tiles, where these are runs."""
    return rows if visible is not None else jnp.pad(rows, ((0, 0), (0, -rows.shape[1] % tile), (0, 0)))


def take(rows: Float[Array, "B Q K"], which, query: Queries) -> Float[Array, "K T"]:
    """Of the sample (or camera) `which`, those of some queries; zeros for padding."""
    if isinstance(query, Run):
        return jax.lax.dynamic_slice(rows, (which, query.start, 0), (1, query.length, rows.shape[2]))[0].T
    return rows.at[which, query].get(mode="fill", fill_value=0).T


def add(
    total: Float[Array, "*lead Q K"], lead: tuple, query: Queries, own: Float[Array, "T K"]
) -> Float[Array, "*lead Q K"]:
    """`total` plus the rows of some queries, at `lead` of the axes before them."""
    if not isinstance(query, Run):
        return total.at[(*lead, query)].add(own, mode="drop", unique_indices=True)
    start, shape = (*lead, query.start, 0), (1,) * len(lead) + own.shape
    return jax.lax.dynamic_update_slice(total, jax.lax.dynamic_slice(total, start, shape) + own.reshape(shape), start)
