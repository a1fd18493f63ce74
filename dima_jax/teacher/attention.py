"""The attention of a prefix language model (decision D3): the scene is read in both directions, the text causally.

Scene positions, the first `prefix`, attend to the whole scene and to no text. Text positions attend to the scene, to earlier
text and to themselves. No position attends to padding.

The queries are taken in blocks, the scene and then at most BLOCK positions of text at a time, and a block is multiplied with
the keys up to its own end alone: no later key may be attended to, so that the result is that of all keys under a mask.

Axis letters: n key-value heads, g query heads that share one of them, q queries of a block, k its keys, h head width.
Decision: docs/decisions.md#d3. The gradient by hand, from the kept weights, is that of Dao et al., FlashAttention (arXiv
2205.14135), appendix B.2.
"""

import itertools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

BLOCK = 128  # rows of a TPU's matrix unit; on a CPU 64 to 128 were fastest


def prefix_attention(
    q: Float[Array, "B S heads h"],
    k: Float[Array, "B S kv_heads h"],
    v: Float[Array, "B S kv_heads h"],
    mask: Bool[Array, "B S"],
    prefix: int,
) -> Float[Array, "B S heads h"]:
    """softmax(q k / sqrt(h)) v of every query over the keys that it may attend to, in q's dtype; the softmax is float32.

    Consecutive query heads share a key-value head. prefix: number of scene positions. mask: True = real; results at
    padded positions are meaningless.
    """
    q = jnp.moveaxis(q.reshape(*q.shape[:2], k.shape[2], -1, q.shape[3]), 1, 3)
    k, v = (jnp.swapaxes(x, 1, 2) for x in (k, v))
    blocks = []
    for start, stop in query_blocks(mask.shape[1], prefix):
        allowed = block_mask(mask, prefix, start, stop)[:, None, None]
        blocks.append(block_attention(q[..., start:stop, :], k[:, :, :stop], v[:, :, :stop], allowed))
    y = jnp.moveaxis(jnp.concatenate(blocks, axis=3), 3, 1)
    return y.reshape(*y.shape[:2], -1, y.shape[-1])


def query_blocks(length: int, prefix: int) -> list[tuple[int, int]]:
    """(first position, position after the last) of each block: the scene, then the text in equal parts."""
    parts = math.ceil((length - prefix) / BLOCK)
    ends = [prefix + (length - prefix) * i // parts for i in range(1, parts + 1)]
    ends = [prefix, *ends] if prefix else ends
    return list(itertools.pairwise([0, *ends]))


def block_mask(mask: Bool[Array, "B S"], prefix: int, start: int, stop: int) -> Bool[Array, "B q k"]:
    """Which of the keys before `stop` the queries from `start` to `stop` may attend to. start: 0 or at least `prefix`."""
    query, key = jnp.arange(start, stop)[:, None], jnp.arange(stop)[None, :]
    return ((key <= query) | (key < prefix)) & mask[:, None, :stop]


@jax.custom_vjp
def block_attention(
    q: Float[Array, "B n g q h"],
    k: Float[Array, "B n k h"],
    v: Float[Array, "B n k h"],
    allowed: Bool[Array, "B 1 1 q k"],
) -> Float[Array, "B n g q h"]:
    """The attention of some queries. For the backward pass the softmax is kept, in v's dtype, and nothing else as large."""
    return _forward(q, k, v, allowed)[0]


def _forward(q, k, v, allowed):
    scores = jnp.einsum("bngqh,bnkh->bngqk", q, k, preferred_element_type=jnp.float32) / math.sqrt(q.shape[-1])
    weights = jax.nn.softmax(jnp.where(allowed, scores, jnp.finfo(jnp.float32).min)).astype(v.dtype)
    y = jnp.einsum("bngqk,bnkh->bngqh", weights, v)
    return y, (q, k, v, weights, y)


def _backward(kept, dy):
    q, k, v, weights, y = kept
    # The softmax's gradient subtracts the mean of d_weights under the weights, which is dy times y.
    mean = jnp.sum(dy.astype(jnp.float32) * y, axis=-1, keepdims=True)
    d_weights = jnp.einsum("bngqh,bnkh->bngqk", dy, v, preferred_element_type=jnp.float32)
    d_scores = (weights * (d_weights - mean) / math.sqrt(q.shape[-1])).astype(q.dtype)
    dq = jnp.einsum("bngqk,bnkh->bngqh", d_scores, k)
    dk = jnp.einsum("bngqk,bngqh->bnkh", d_scores, q)
    dv = jnp.einsum("bngqk,bngqh->bnkh", weights, dy)
    return dq, dk, dv, None


block_attention.defvjp(_forward, _backward)
