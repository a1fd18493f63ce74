"""The language loss (D12): cross-entropy of the next token, on answer tokens only (dima-paper 2.2)."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from dima_jax.types import Term


def next_token(logits: Float[Array, "B S V"], tokens: Int[Array, "B S"], answer_mask: Bool[Array, "B S"]) -> Term:
    """Sum of -log p(token) over the answer's tokens, and how many they are.

    logits: at every position, of the token after it; so token s is scored by position s - 1 and the first never.
    answer_mask: True at the tokens to predict. The logits, the largest array of a step, are not cut: the last row is
    scored against any token and left out.
    """
    scored = jnp.roll(answer_mask, -1, axis=1).at[:, -1].set(False)
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(
        logits.astype(jnp.float32), jnp.roll(tokens, -1, axis=1)
    )
    return Term(jnp.where(scored, losses, 0.0).sum(), scored.sum().astype(jnp.float32))
