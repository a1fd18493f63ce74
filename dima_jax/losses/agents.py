"""Agents: class, box and motion losses of the matched queries (VAD_head.py `loss_single`; docs/vad.md#losses).

Every decoder layer is matched on its own and has class and box losses; motion is predicted once and follows the
match of the last layer. All terms are divided by the number of matched targets in the whole batch, at least 1.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from dima_jax import geometry
from dima_jax.losses import focal, matching
from dima_jax.losses.l1 import absolute
from dima_jax.types import AgentTargets, StudentOutput, Term

CODE_WEIGHTS = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 0.2)  # velocity counts less
MATCHED_CODES = 8  # the matcher ignores the velocity


def assign(
    output: StudentOutput, targets: AgentTargets, *, class_weight: float, box_weight: float
) -> Int[Array, "Z B G"]:
    """The query of each target in every decoder layer, -1 where the target is padding.

    class_weight, box_weight: the loss weights of the config (VAD asserts that they are the matcher's).
    """
    codes, _ = _target_codes(targets)
    difference = codes[:, :, None, :MATCHED_CODES] - output.agent_codes[:, :, None, :, :MATCHED_CODES]
    cost = class_weight * focal.focal_cost(output.agent_logits, targets.labels)
    cost = cost + box_weight * jnp.abs(difference).sum(-1)
    return matching.match(cost, targets.mask)


def agent_terms(output: StudentOutput, targets: AgentTargets, query_of_target: Int[Array, "Z B G"]) -> dict[str, Term]:
    """The terms of `box_terms`, agent_motion and agent_mode. query_of_target: from `assign`."""
    last = query_of_target[-1]
    return {
        **box_terms(output, targets, query_of_target),
        "agent_motion": motion_term(output.agent_future_offsets, targets, last),
        "agent_mode": _mode_term(output.agent_future_offsets, output.agent_mode_logits, targets, last),
    }


def box_terms(output: StudentOutput, targets: AgentTargets, query_of_target: Int[Array, "Z B G"]) -> dict[str, Term]:
    """The terms agent_class and agent_box, both summed over decoder layers. query_of_target: from `assign`."""
    num_queries = output.agent_logits.shape[2]
    target_of_query = matching.target_of_query(query_of_target, num_queries)  # [Z, B, A]
    labels = jnp.take_along_axis(targets.labels[None], jnp.maximum(target_of_query, 0), axis=-1)
    labels = jnp.where(target_of_query >= 0, labels, -1)
    codes, usable = _target_codes(targets)
    predicted = matching.gather_queries(output.agent_codes, query_of_target)  # [Z, B, G, 10]
    error = absolute(predicted - codes) * jnp.asarray(CODE_WEIGHTS)
    count = _num_positive(targets)
    return {
        "agent_class": Term(focal.focal_sum(output.agent_logits, labels), count),
        "agent_box": Term(jnp.where(usable[..., None], error, 0.0).sum(), count),
    }


def motion_term(
    future_offsets: Float[Array, "B A K F 2"], targets: AgentTargets, query_of_target: Int[Array, "B G"]
) -> Term:
    """L1 of the winning mode's per-step offsets over the real steps of the matched targets.

    future_offsets: meters per step. query_of_target: the last layer's match.
    """
    offsets = matching.gather_queries(future_offsets, query_of_target)  # [B, G, K, F, 2]
    winner = winning_mode(offsets, targets)
    best = jnp.take_along_axis(offsets, winner[..., None, None, None], axis=2)[:, :, 0]
    _, usable = _target_codes(targets)
    mask = targets.future_mask & usable[..., None]
    error = absolute(best - targets.future_offsets)
    return Term(jnp.where(mask[..., None], error, 0.0).sum(), _num_positive(targets))


def winning_mode(offsets: Float[Array, "B G K F 2"], targets: AgentTargets) -> Int[Array, "B G"]:
    """The motion mode whose last position is nearest to the target's; offsets: meters per step.

    Quirk Q6: only the last step decides, and if that step is not real every distance is 0 and mode 0 wins.
    """
    ends, target_ends = offsets.sum(-2), targets.future_offsets.sum(-2)
    distance = jnp.square(ends - target_ends[:, :, None]).sum(-1)
    return jnp.argmin(jnp.where(targets.future_mask[..., -1:], distance, 0.0), axis=-1)


def _mode_term(
    future_offsets: Float[Array, "B A K F 2"],
    mode_logits: Float[Array, "B A K"],
    targets: AgentTargets,
    query_of_target: Int[Array, "B G"],
) -> Term:
    """Focal loss of all queries' mode logits: the winner is the positive class, unmatched queries have none."""
    winner = winning_mode(matching.gather_queries(future_offsets, query_of_target), targets)  # [B, G]
    target_of_query = matching.target_of_query(query_of_target, mode_logits.shape[1])  # [B, A]
    labels = jnp.take_along_axis(winner, jnp.maximum(target_of_query, 0), axis=-1)
    labels = jnp.where(target_of_query >= 0, labels, -1)
    return Term(focal.focal_sum(mode_logits, labels), _num_positive(targets))


def _target_codes(targets: AgentTargets) -> tuple[Float[Array, "B G 10"], Bool[Array, "B G"]]:
    """(box codes, which of them are real and finite); the others are zeros."""
    sizes = targets.boxes[..., 3:6]
    usable = targets.mask & jnp.isfinite(targets.boxes).all(-1) & (sizes > 0).all(-1)
    boxes = jnp.where(usable[..., None], targets.boxes, 1.0)
    return jnp.where(usable[..., None], geometry.encode_boxes(boxes), 0.0), usable


def _num_positive(targets: AgentTargets) -> Float[Array, ""]:
    return jnp.maximum(targets.mask.sum(), 1).astype(jnp.float32)
