"""Greedy decoding with a cache: the same tokens as without one, whatever the padding. Parity: golden/llama."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.teacher import generate
from tests.teacher.conftest import LENGTH, PREFIX, embeddings


def test_cached_decoding_is_rereading(llm, lora):
    """Greedy with the cache equals running the whole sequence again for every token, in rows of unequal length."""
    lengths, max_new_tokens = (LENGTH, 8), 5
    x = embeddings(llm.width, seed=1)
    mask = jnp.arange(LENGTH)[None] < jnp.array(lengths)[:, None]
    tokens = jax.jit(
        lambda: generate.greedy(llm, x, mask, prefix=PREFIX, max_new_tokens=max_new_tokens, end=-1, lora=lora)
    )()
    reread = jax.jit(lambda x, mask: llm.logits(llm(x, mask, prefix=PREFIX, lora=lora)))
    for row, length in enumerate(lengths):
        sequence = jnp.zeros((1, LENGTH + max_new_tokens, llm.width)).at[:, :length].set(x[row, :length])
        for i in range(max_new_tokens):
            logits = reread(sequence, jnp.arange(LENGTH + max_new_tokens)[None] < length + i)
            expected = int(logits[0, length + i - 1].argmax())
            assert int(tokens[row, i]) == expected
            sequence = sequence.at[0, length + i].set(llm.embed_tokens(jnp.array(expected)))


@pytest.fixture(scope="module")
def two_logits(llm, lora):
    """jitted (embeddings, mask, a token of each row) -> (logits of prefill and of one step, cache after them)."""

    def run(x, mask, tokens):
        first, cache = generate.prefill(llm, x, mask, prefix=PREFIX, max_new_tokens=2, lora=lora)
        second, cache = generate.step(llm, tokens, cache, lora)
        return jnp.stack([first, second]), cache

    return jax.jit(run)


def test_what_stands_in_the_padding_changes_no_logit(llm, two_logits):
    """The second row has 8 real positions; its new token is the ninth, behind the padding in the cache."""
    mask = jnp.arange(LENGTH)[None] < jnp.array([[LENGTH], [8]])
    x, tokens = embeddings(llm.width, seed=2), jnp.array([3, 7])
    logits, cache = two_logits(x, mask, tokens)
    np.testing.assert_array_equal(two_logits(jnp.where(mask[..., None], x, 5.0), mask, tokens)[0], logits)
    np.testing.assert_array_equal(cache.length, [LENGTH + 1, 9])
    np.testing.assert_array_equal(cache.filled[1], [*[True] * 8, *[False] * 4, True, False])
    assert int(cache.slot) == LENGTH + 1


def test_prefill_gives_the_logits_of_the_last_real_position(llm, two_logits, llm_states, teacher):
    x, mask = embeddings(llm.width, seed=1), jnp.arange(LENGTH)[None] < jnp.array([[LENGTH], [8]])
    last = llm_states(teacher[1], x, mask)[jnp.arange(2), jnp.array([LENGTH - 1, 7])]
    first = two_logits(x, mask, jnp.array([0, 0]))[0][0]
    np.testing.assert_allclose(first, llm.logits(last[:, None])[:, 0], atol=1e-4)


def test_after_the_end_a_row_repeats_it(llm, lora):
    x, mask = embeddings(llm.width, seed=1), jnp.ones((2, LENGTH), bool)
    decode = jax.jit(lambda end: generate.greedy(llm, x, mask, prefix=PREFIX, max_new_tokens=5, end=end, lora=lora))
    free = decode(-1)
    end = int(free[0, 1])
    first = int(jnp.argmax(free[0] == end))
    stopped = decode(end)
    np.testing.assert_array_equal(stopped[0, :first], free[0, :first])
    assert bool(jnp.all(stopped[0, first:] == end))
