"""Map lines: class, point and direction losses, blind to the order in which a line's points are told.

A line is the same line read backwards, and a closed one from any start: targets hold all equivalent orders, the
matcher takes the cheapest, and the winning order gives the points to regress (MapTR; VAD map_hungarian_assigner_3d.py,
VAD_head.py `map_loss_single`; vad-spec 8). Every decoder layer counts; terms are divided by the number of matched
targets in the whole batch, at least 1.
"""

import jax.numpy as jnp

from dima_jax import geometry
from dima_jax.losses import focal, matching
from dima_jax.types import MapTargets, StudentOutput, Term

NO_ORDER = 1e6  # L1 of an order that the target does not have; any real one is below 40 * the extent of the map


def assign(output: StudentOutput, targets: MapTargets, pc_range, *, class_weight, points_weight):
    """(query_of_target, order_of_target), both [Z, B, L] int32; the query is -1 where the target is padding.

    class_weight, points_weight: the loss weights of the config (VAD asserts that they are the matcher's).
    """
    distances = _order_distances(output.map_points, targets, pc_range)  # [Z, B, L, M, O]
    cost = class_weight * focal.focal_cost(output.map_logits, targets.labels)
    cost = cost + points_weight * distances.min(-1)
    query_of_target = matching.match(cost, targets.mask)
    matched = jnp.maximum(query_of_target, 0)[..., None, None]
    order = jnp.take_along_axis(distances, matched, axis=-2)[..., 0, :].argmin(-1)
    return query_of_target, order.astype(jnp.int32)


def map_terms(output: StudentOutput, targets: MapTargets, pc_range, query_of_target, order_of_target):
    """The terms map_class, map_points (normalized units) and map_direction (1 - cosine per segment, in meters).

    query_of_target, order_of_target [Z, B, L]: from `assign`. Returns dict[str, Term].
    """
    owner = matching.owner_of_query(query_of_target, output.map_logits.shape[2])  # [Z, B, M]
    labels = jnp.take_along_axis(targets.labels[None], jnp.maximum(owner, 0), axis=-1)
    labels = jnp.where(owner >= 0, labels, -1)
    predicted = matching.gather_queries(output.map_points, query_of_target)  # [Z, B, L, P, 2]
    index = order_of_target[..., None, None, None]
    points = jnp.take_along_axis(targets.points[None], index, axis=3)[:, :, :, 0]
    mask = targets.mask[..., None]
    error = jnp.abs(predicted - geometry.normalize_xy(points, pc_range)).sum(-1)
    turn = 1.0 - _segment_cosine(geometry.denormalize_xy(predicted, pc_range), points)
    count = jnp.maximum(targets.mask.sum(), 1).astype(jnp.float32)
    return {
        "map_class": Term(focal.focal_sum(output.map_logits, labels), count),
        "map_points": Term(jnp.where(mask, error, 0.0).sum(), count),
        "map_direction": Term(jnp.where(mask, turn, 0.0).sum(), count),
    }


def _order_distances(map_points, targets: MapTargets, pc_range):
    """L1 over the 2P normalized numbers between every target order and every query: [Z, B, L, M, O]."""
    orders = geometry.normalize_xy(targets.points, pc_range)
    flat_targets = orders.reshape(*orders.shape[:3], -1)[:, :, None]  # [B, L, 1, O, 2P]
    flat_points = map_points.reshape(*map_points.shape[:3], -1)[:, :, None, :, None]  # [Z, B, 1, M, 1, 2P]
    distances = jnp.abs(flat_targets - flat_points).sum(-1)
    return jnp.where(targets.order_mask[:, :, None], distances, NO_ORDER)


def _segment_cosine(points, target_points):
    """Cosine [..., P-1] between the segments of two lines [..., P, 2] (torch's cosine_embedding_loss, eps 1e-12)."""
    a, b = jnp.diff(points, axis=-2), jnp.diff(target_points, axis=-2)
    norms = (jnp.square(a).sum(-1) + 1e-12) * (jnp.square(b).sum(-1) + 1e-12)
    return (a * b).sum(-1) / jnp.sqrt(norms)
