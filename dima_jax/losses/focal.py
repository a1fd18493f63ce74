"""Sigmoid focal loss (gamma 2, alpha 0.25) as a loss and as a matching cost (mmdet 2.14; docs/vad.md#losses)."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Shaped

ALPHA = 0.25
GAMMA = 2


def focal_sum(logits: Float[Array, "*n C"], labels: Int[Array, "*n"]) -> Float[Array, ""]:
    """The focal loss of logits against labels, summed over every axis, float32.

    A label outside [0, C) means background: no class is positive.
    """
    return focal_sum_of_targets(logits, jax.nn.one_hot(labels, logits.shape[-1]))


def focal_sum_of_targets(logits: Float[Array, "*n C"], targets: Shaped[Array, "*n C"]) -> Float[Array, ""]:
    """As `focal_sum`, for targets in which any number of classes may be positive (1 or True)."""
    logits, targets = logits.astype(jnp.float32), targets.astype(jnp.float32)
    return optax.losses.sigmoid_focal_loss(logits, targets, alpha=ALPHA, gamma=GAMMA).sum()


def focal_cost(logits: Float[Array, "... A C"], labels: Int[Array, "... G"]) -> Float[Array, "... G A"]:
    """Cost of giving target g to query a. Leading axes broadcast.

    The loss of the target's class as a positive minus its loss as a negative (mmdet FocalLossCost).
    """
    p = jax.nn.sigmoid(logits.astype(jnp.float32))
    positive = -jnp.log(p + 1e-12) * ALPHA * (1 - p) ** GAMMA
    negative = -jnp.log(1 - p + 1e-12) * (1 - ALPHA) * p**GAMMA
    cost = jnp.swapaxes(positive - negative, -1, -2)  # [..., C, A]
    batch = jnp.broadcast_shapes(cost.shape[:-2], labels.shape[:-1])
    cost = jnp.broadcast_to(cost, (*batch, *cost.shape[-2:]))
    labels = jnp.broadcast_to(labels, (*batch, labels.shape[-1]))
    return jnp.take_along_axis(cost, labels[..., None], axis=-2)
