"""Optimal one-to-one matching of predictions to padded ground truth, inside the jitted step
(docs/vad.md#matching).

VAD calls scipy on the host. Here the assignment is solved on the device by shortest augmenting paths (Jonker and
Volgenant, 1987; Crouse, 2016, the algorithm of scipy), in three steps that fit padded targets of a trained detector:

1. targets are the rows (there are fewer of them than queries); padded rows never enter the search;
2. every row first claims its cheapest column; where no two rows claim the same column this is already optimal,
   which holds for most rows;
3. the rows that lost their claim are inserted one after the other: a Dijkstra search over columns finds an augmenting
   path, which is then flipped. Search and flip are two phases of *one* loop, so a batch of problems under `vmap` runs as many
   iterations as its hardest member, and not the sum of the maxima of nested loops. Each device of a mesh does so for its
   own samples.

Row potentials are never stored: a matched row's is `cost[row, col] - v[col]`, and a free row's does not matter.
`optax.assignment.hungarian_algorithm` gives the same answer, but is 2 to 30 times slower on CPU (48 problems of 96 x
300: 25 ms against 690 ms): it visits the padded rows and nests its loops.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from dima_jax import sharding

FREE = -1
WORST_COST = 1e6  # stands for a NaN or infinite cost: a diverged run must reach its loss, not hang in a search


class _Search(NamedTuple):
    """State of one assignment problem with G rows and A columns."""

    column_of_row: Int[Array, " G"]  # FREE = not assigned (yet)
    row_of_column: Int[Array, " A"]  # FREE = not assigned
    v: Float[Array, " A"]  # column potentials, <= 0, and 0 for free columns
    start: Int[Array, ""]  # the row being inserted
    row: Int[Array, ""]  # the row from which columns are reached now
    column: Int[Array, ""]  # the column reached last; while flipping, the column to be handed over
    distance: Float[Array, ""]  # length of the shortest path to `column`
    shortest: Float[Array, " A"]  # length of the shortest path to each column known so far
    reached_from: Int[Array, " A"]  # row before each column on that path
    closed: Bool[Array, " A"]  # columns whose shortest path is final
    flipping: Bool[Array, ""]  # False: searching a free column, True: flipping the path that ends in one


def match(cost: Float[Array, "*n G A"], row_mask: Bool[Array, "... G"]) -> Int[Array, "*n G"]:
    """The cheapest assignment of every real row to a column of its own: column_of_row, -1 for padded rows.

    cost: NaN and infinity count as very expensive. row_mask: True = real row; its leading axes broadcast. The axis
    before G is the batch. No gradient flows through the assignment.
    Raises ValueError if there are more (padded) rows than columns.
    """
    *batch, rows, columns = cost.shape
    if rows > columns:
        raise ValueError(f"matching needs at least as many queries as padded targets, got {columns} < {rows}")
    if rows == 0:
        return jnp.zeros((*batch, 0), jnp.int32)
    cost = jnp.nan_to_num(jax.lax.stop_gradient(cost).astype(jnp.float32), nan=WORST_COST, posinf=WORST_COST)
    solve = _match_one
    for _ in batch:  # one vmap per axis, not a reshape: a sharded batch axis stays where it is
        solve = jax.vmap(solve)
    if batch:
        solve = sharding.on_own_samples(solve, in_axes=len(batch) - 1, out_axes=len(batch) - 1)
    return solve(cost, jnp.broadcast_to(row_mask, (*batch, rows)))


def target_of_query(query_of_target: Int[Array, "*n G"], num_queries: int) -> Int[Array, "*n {num_queries}"]:
    """The inverse of `match`: the target of each query, -1 = background."""
    claims = query_of_target[..., :, None] == jnp.arange(num_queries)
    return jnp.where(claims.any(-2), claims.argmax(-2), FREE)


def gather_queries(values: Shaped[Array, "..."], query_of_target: Int[Array, "*n G"]) -> Shaped[Array, "..."]:
    """Rows of values [..., A, *rest] of the matched queries: [..., G, *rest] (row 0 where unmatched)."""
    index = jnp.maximum(query_of_target, 0)
    index = index.reshape(*index.shape, *[1] * (values.ndim - index.ndim))
    return jnp.take_along_axis(values, index, axis=query_of_target.ndim - 1)


def _match_one(cost: Float[Array, "G A"], row_mask: Bool[Array, " G"]) -> Int[Array, " G"]:
    column_of_row, row_of_column = _claim_cheapest(cost, row_mask)
    columns = cost.shape[1]
    state = _Search(
        column_of_row,
        row_of_column,
        v=jnp.zeros(columns),
        start=jnp.int32(0),
        row=jnp.int32(0),
        column=jnp.int32(0),
        distance=jnp.float32(0),
        shortest=jnp.zeros(columns),
        reached_from=jnp.zeros(columns, jnp.int32),
        closed=jnp.zeros(columns, bool),
        flipping=jnp.bool_(False),
    )

    def unfinished(state: _Search) -> Bool[Array, ""]:
        return (row_mask & (state.column_of_row == FREE)).any()

    def step(state: _Search) -> _Search:
        searched, flipped = _search(cost, state), _flip(row_mask, state)
        return jax.tree.map(lambda flip, search: jnp.where(state.flipping, flip, search), flipped, searched)

    state = _restart(row_mask, state)
    # While a path is flipped its start row is the last to get a column, so it is `unfinished` until then.
    return jax.lax.while_loop(unfinished, step, state).column_of_row


def _claim_cheapest(
    cost: Float[Array, "G A"], row_mask: Bool[Array, " G"]
) -> tuple[Int[Array, " G"], Int[Array, " A"]]:
    """Each column goes to the first real row whose cheapest column it is."""
    claims = (jnp.argmin(cost, axis=1)[:, None] == jnp.arange(cost.shape[1])) & row_mask[:, None]
    claims &= jnp.cumsum(claims, axis=0) == 1
    column_of_row = jnp.where(claims.any(1), claims.argmax(1), FREE).astype(jnp.int32)
    row_of_column = jnp.where(claims.any(0), claims.argmax(0), FREE).astype(jnp.int32)
    return column_of_row, row_of_column


def _restart(row_mask: Bool[Array, " G"], state: _Search) -> _Search:
    """Starts the search for a column of the next free row."""
    start = jnp.argmax(row_mask & (state.column_of_row == FREE)).astype(jnp.int32)
    return state._replace(
        start=start,
        row=start,
        distance=jnp.float32(0),
        shortest=jnp.full_like(state.shortest, jnp.inf),
        closed=jnp.zeros_like(state.closed),
        flipping=jnp.bool_(False),
    )


def _search(cost: Float[Array, "G A"], state: _Search) -> _Search:
    """One Dijkstra step: reach all open columns from `row`, close the nearest; if it is free, the path is found."""
    costs = cost[state.row]
    assigned = state.column_of_row[state.row]
    u = jnp.where(assigned == FREE, 0.0, costs[assigned] - state.v[assigned])
    length = state.distance + costs - u - state.v
    nearer = ~state.closed & (length < state.shortest)
    shortest = jnp.where(nearer, length, state.shortest)
    reached_from = jnp.where(nearer, state.row, state.reached_from)
    column = jnp.argmin(jnp.where(state.closed, jnp.inf, shortest)).astype(jnp.int32)
    distance = shortest[column]
    closed = state.closed | (jnp.arange(costs.shape[0]) == column)
    next_row = state.row_of_column[column]
    found = next_row == FREE
    return state._replace(
        v=jnp.where(found & closed, state.v - (distance - shortest), state.v),
        row=jnp.where(found, state.row, next_row),
        column=column,
        distance=distance,
        shortest=shortest,
        reached_from=reached_from,
        closed=closed,
        flipping=found,
    )


def _flip(row_mask: Bool[Array, " G"], state: _Search) -> _Search:
    """Gives `column` to the row before it on the path; that row's old column is next, until the start row has one."""
    row = state.reached_from[state.column]
    handed_over = state.column_of_row[row]
    state = state._replace(
        column_of_row=state.column_of_row.at[row].set(state.column),
        row_of_column=state.row_of_column.at[state.column].set(row),
    )
    done = row == state.start
    restarted, continued = _restart(row_mask, state), state._replace(column=handed_over)
    return jax.tree.map(lambda new, old: jnp.where(done, new, old), restarted, continued)
