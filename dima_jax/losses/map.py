"""Map lines: class, point and direction losses, independent of the order of a line's vertices.

A line read backwards is the same line, and a closed one may start at any vertex: targets hold all equivalent orders,
the matcher takes the cheapest, and the winning order gives the points to regress (MapTR; VAD
map_hungarian_assigner_3d.py, VAD_head.py `map_loss_single`; docs/vad.md#losses). Every decoder layer counts; terms are
divided by the number of matched targets in the whole batch, at least 1.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from dima_jax import geometry, sharding
from dima_jax.losses import focal, matching
from dima_jax.losses.l1 import absolute
from dima_jax.types import MapTargets, StudentOutput, Term

NO_ORDER = 1e6  # L1 of an order that the target does not have; any real one is below 40 * the extent of the map


def assign(
    output: StudentOutput, targets: MapTargets, *, class_weight: float, points_weight: float
) -> tuple[Int[Array, "Z B L"], Int[Array, "Z B L"]]:
    """(query_of_target, order_of_target) in every decoder layer; the query is -1 where the target is padding.

    class_weight, points_weight: the loss weights of the config (VAD asserts that they are the matcher's).
    """
    distance, order = _nearest_order(jax.lax.stop_gradient(output.map_points), targets)  # [Z, B, L, M]
    cost = class_weight * focal.focal_cost(output.map_logits, targets.labels)
    query_of_target = matching.match(cost + points_weight * distance, targets.mask)
    matched = jnp.maximum(query_of_target, 0)[..., None]
    return query_of_target, jnp.take_along_axis(order, matched, axis=-1)[..., 0]


def map_terms(
    output: StudentOutput,
    targets: MapTargets,
    pc_range: Sequence[float],
    query_of_target: Int[Array, "Z B L"],
    order_of_target: Int[Array, "Z B L"],
) -> dict[str, Term]:
    """The terms map_class, map_points (normalized units) and map_direction (1 - cosine of each segment, in meters).

    query_of_target, order_of_target: from `assign`.
    """
    target_of_query = matching.target_of_query(query_of_target, output.map_logits.shape[2])  # [Z, B, M]
    labels = jnp.take_along_axis(targets.labels[None], jnp.maximum(target_of_query, 0), axis=-1)
    labels = jnp.where(target_of_query >= 0, labels, -1)
    predicted = matching.gather_queries(output.map_points, query_of_target)  # [Z, B, L, P, 2]
    mask = targets.mask[..., None]
    error = absolute(predicted - _in_order(targets.normalized_points, order_of_target)).sum(-1)
    in_meters = geometry.denormalize_xy(predicted, pc_range)
    direction_error = 1.0 - _segment_cosine(in_meters, _in_order(targets.points, order_of_target))
    count = jnp.maximum(targets.mask.sum(), 1).astype(jnp.float32)
    return {
        "map_class": Term(focal.focal_sum(output.map_logits, labels), count),
        "map_points": Term(jnp.where(mask, error, 0.0).sum(), count),
        "map_direction": Term(jnp.where(mask, direction_error, 0.0).sum(), count),
    }


def _in_order(points: Float[Array, "B L O P 2"], order: Int[Array, "Z B L"]) -> Float[Array, "Z B L P 2"]:
    """The points of each target in the given vertex order."""
    return jnp.take_along_axis(points[None], order[..., None, None, None], axis=3)[:, :, :, 0]


def _nearest_order(
    map_points: Float[Array, "Z B M P 2"], targets: MapTargets
) -> tuple[Float[Array, "Z B L M"], Int[Array, "Z B L M"]]:
    """For every target and query the vertex order of least L1 over the 2P normalized numbers: (L1, order).

    One order after the other, as many as any target of a device's samples has: most have two, few the 19 of a polygon.
    """
    compare = sharding.on_own_samples(_compare_orders, in_axes=(1, 0, 0), out_axes=1)
    return compare(map_points, targets.normalized_points, targets.order_mask)


def _compare_orders(
    map_points: Float[Array, "Z B M P 2"], orders: Float[Array, "B L O P 2"], order_mask: Bool[Array, "B L O"]
) -> tuple[Float[Array, "Z B L M"], Int[Array, "Z B L M"]]:
    flat_targets = orders.reshape(*orders.shape[:3], -1)  # [B, L, O, 2P]
    flat_points = map_points.reshape(*map_points.shape[:3], -1)[:, :, None]  # [Z, B, 1, M, 2P]
    layers, batch, queries = map_points.shape[:3]
    shape = (layers, batch, orders.shape[1], queries)

    def compare(i: Int[Array, ""], best: tuple[Array, Array]) -> tuple[Array, Array]:
        distance, order = best
        target = jax.lax.dynamic_index_in_dim(flat_targets, i, axis=2)  # [B, L, 1, 2P]
        has_order = jax.lax.dynamic_index_in_dim(order_mask, i, axis=2)  # [B, L, 1]
        candidate = jnp.where(has_order, jnp.abs(target - flat_points).sum(-1), NO_ORDER)
        nearer = candidate < distance
        return jnp.where(nearer, candidate, distance), jnp.where(nearer, i, order)

    count = order_mask.sum(-1).max()
    return jax.lax.fori_loop(0, count, compare, (jnp.full(shape, NO_ORDER), jnp.zeros(shape, jnp.int32)))


def _segment_cosine(points: Float[Array, "*n P 2"], target_points: Float[Array, "*n P 2"]) -> Float[Array, "*n P-1"]:
    """Cosine between the segments of two lines (torch's cosine_embedding_loss, eps 1e-12)."""
    a, b = jnp.diff(points, axis=-2), jnp.diff(target_points, axis=-2)
    norms = (jnp.square(a).sum(-1) + 1e-12) * (jnp.square(b).sum(-1) + 1e-12)
    return (a * b).sum(-1) / jnp.sqrt(norms)
