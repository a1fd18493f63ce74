"""The language loss by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from dima_jax.losses.language import next_token


def test_scores_the_answer_from_the_position_before():
    """Vocabulary of 2; the answer is the last two tokens (1, 0). Only positions 1 and 2 may matter."""
    tokens = jnp.array([[0, 0, 1, 0]])
    answer = jnp.array([[False, False, True, True]])
    logits = jnp.log(jnp.array([[[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.9, 0.1]]]))
    term = next_token(logits, tokens, answer)
    np.testing.assert_allclose(term.sum, -np.log(0.8) - np.log(0.5), rtol=1e-6)
    assert float(term.count) == 2
    gradient = jax.grad(lambda x: next_token(x, tokens, answer).sum)(logits)
    assert np.asarray(gradient)[0].any(axis=-1).tolist() == [False, True, True, False]


def test_no_answer_is_finite():
    logits = jnp.full((2, 3, 4), 1e4)
    value, gradient = jax.value_and_grad(lambda x: next_token(x, jnp.zeros((2, 3), int), jnp.zeros((2, 3), bool)).sum)(
        logits
    )
    assert float(value) == 0.0 and not np.asarray(gradient).any()
