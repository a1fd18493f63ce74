"""The language loss: cross-entropy of the next token, on answer tokens only (docs/decisions.md#d12)."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from dima_jax.types import Term


def next_token(logits: Float[Array, "B S V"], tokens: Int[Array, "B S"], answer_mask: Bool[Array, "B S"]) -> Term:
    """Sum of -log p(token) over the answer's tokens; count = answer tokens.

    logits: at every position, of the token after it; so position s - 1 scores token s, and the first token has no score.
    answer_mask: True at the tokens to predict. The logits are the largest array of a step, so they are not sliced: the
    last position is computed against an arbitrary token and masked.
    """
    scored = jnp.roll(answer_mask, -1, axis=1).at[:, -1].set(False)
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(
        logits.astype(jnp.float32), jnp.roll(tokens, -1, axis=1)
    )
    return Term(jnp.where(scored, losses, 0.0).sum(), scored.sum().astype(jnp.float32))
