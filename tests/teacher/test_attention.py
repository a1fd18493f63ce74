"""Attention in blocks of queries against all keys under a mask (jax.nn), and which keys a block is multiplied with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.plan_run import jaxpr_flops
from dima_jax.teacher.attention import BLOCK, block_mask, prefix_attention, query_blocks

HEADS, KV_HEADS, WIDTH = 6, 2, 8


def scene_mask(real, prefix):
    """[B, 1, query, key], True = may attend."""
    length = real.shape[1]
    allowed = np.tril(np.ones((length, length), bool))
    allowed[:prefix, :prefix] = True
    return allowed & np.asarray(real)[:, None, None]


def inputs(length, prefix, dtype=jnp.float32):
    """Random q, k, v and a mask with padding in the scene of the first row and in the text of the second."""
    rng = np.random.default_rng(0)
    q, k, v = (jnp.asarray(rng.normal(size=(2, length, n, WIDTH)), dtype) for n in (HEADS, KV_HEADS, KV_HEADS))
    real = np.ones((2, length), bool)
    real[0, prefix // 2 : prefix - 1] = False
    real[1, length - (length - prefix) // 3 :] = False
    return q, k, v, jnp.asarray(real)


@pytest.mark.parametrize(("length", "prefix"), [(12, 5), (12, 0), (12, 12), (2 * BLOCK + 31, 37), (BLOCK + 1, 0)])
def test_values_and_gradients_are_those_of_all_keys_under_a_mask(length, prefix):
    *qkv, real = inputs(length, prefix)
    seen = (
        jnp.asarray(np.random.default_rng(1).normal(size=(2, length, HEADS, WIDTH)), jnp.float32)
        * real[..., None, None]
    )
    expected, expected_vjp = jax.vjp(
        lambda q, k, v: jax.nn.dot_product_attention(q, k, v, mask=jnp.asarray(scene_mask(real, prefix))), *qkv
    )
    y, vjp = jax.vjp(lambda q, k, v: prefix_attention(q, k, v, real, prefix), *qkv)
    np.testing.assert_allclose(y * real[..., None, None], expected * real[..., None, None], atol=2e-6)
    for ours, theirs in zip(vjp(seen), expected_vjp(seen), strict=True):
        assert np.abs(theirs).max() > 0.1
        np.testing.assert_allclose(ours, theirs, atol=5e-6)


def test_bfloat16_keeps_its_type_and_precision():
    *qkv, real = inputs(40, 9, jnp.bfloat16)
    y, vjp = jax.vjp(lambda *x: prefix_attention(*x, real, 9), *qkv)
    exact, exact_vjp = jax.vjp(lambda *x: prefix_attention(*x, real, 9), *(x.astype(jnp.float32) for x in qkv))
    for ours, theirs in zip((y, *vjp(jnp.ones_like(y))), (exact, *exact_vjp(jnp.ones_like(exact))), strict=True):
        assert ours.dtype == jnp.bfloat16
        np.testing.assert_allclose(ours.astype(jnp.float32), theirs, rtol=0.01, atol=0.05)


def test_a_row_without_any_key_is_finite():
    *qkv, real = inputs(12, 5)
    y, vjp = jax.vjp(lambda *x: prefix_attention(*x, jnp.zeros_like(real), 5), *qkv)
    assert all(np.isfinite(x).all() for x in (y, *vjp(y)))


def test_blocks_by_hand():
    assert query_blocks(5, 5) == [(0, 5)]
    assert query_blocks(5, 0) == [(0, 5)]
    assert query_blocks(5, 2) == [(0, 2), (2, 5)]
    assert query_blocks(400 + 2 * BLOCK + 1, 400) == [(0, 400), (400, 485), (485, 571), (571, 657)]


def test_the_mask_by_hand():
    """Two scene positions and three of text, of which the last is padding in the second row."""
    real = jnp.array([[True] * 5, [True] * 4 + [False]])
    np.testing.assert_array_equal(block_mask(real, 2, 0, 2), np.ones((2, 2, 2), bool))
    text = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], bool)
    np.testing.assert_array_equal(block_mask(real, 2, 2, 5)[0], text)
    text[2, 4] = False
    np.testing.assert_array_equal(block_mask(real, 2, 2, 5)[1], text)


def test_no_key_after_a_block_is_computed():
    """Two products of each query and key: the scene's 300 with themselves, 128 of text with 428, and 128 with all."""
    length, prefix = 300 + 2 * BLOCK, 300
    *qkv, real = inputs(length, prefix)
    counted = jaxpr_flops.of_function(lambda q, k, v: prefix_attention(q, k, v, real, prefix), *qkv)
    pairs = 300 * 300 + BLOCK * (300 + BLOCK) + BLOCK * length
    np.testing.assert_allclose(counted, 2 * 2 * 2 * HEADS * WIDTH * pairs, rtol=0.01)
