"""Greedy decoding with a key-value cache: the prompt is read once (prefill), then one token at a time (step).

The cache holds the keys and values of all layers in a fixed number of slots: the prompt's positions first, right padding
included but masked, then one slot for each new token. The rotary position of a new token continues its own row's real
length, so rows of different lengths share one cache.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from dima_jax.teacher.attention import prefix_attention
from dima_jax.teacher.llama import Llama, positions
from dima_jax.teacher.lora import Lora


class Cache(NamedTuple):
    """What decoding carries from token to token. l: layers, n: key-value heads, h: head width.

    filled: True for slots that may be attended to. length: rotary position of each row's next token.
    slot: where the next token's keys and values are written.
    """

    keys: Float[Array, "l B slots n h"]
    values: Float[Array, "l B slots n h"]
    filled: Bool[Array, "B slots"]
    length: Int[Array, " B"]
    slot: Int[Array, ""]


def prefill(
    llm: Llama,
    x: Float[Array, "B S E"],
    mask: Bool[Array, "B S"],
    *,
    prefix: int,
    max_new_tokens: int,
    lora: Lora | None,
) -> tuple[Float[Array, "B V"], Cache]:
    """Reads the prompt: (float32 logits of each row's first new token, cache with `max_new_tokens` free slots).

    x, mask, prefix, lora: as in `Llama.__call__`.
    """

    def attend(q, k, v, cache):
        del cache
        return prefix_attention(q, k, v, mask, prefix), (k, v)

    states, (keys, values) = llm.scan_layers(x, attend, positions(mask), None, lora)
    length = mask.sum(axis=1)
    last = jnp.take_along_axis(states, (length - 1)[:, None, None], axis=1)
    add_slots = functools.partial(jnp.pad, pad_width=((0, 0), (0, 0), (0, max_new_tokens), (0, 0), (0, 0)))
    cache = Cache(
        keys=add_slots(keys),
        values=add_slots(values),
        filled=jnp.pad(mask, ((0, 0), (0, max_new_tokens))),
        length=length,
        slot=jnp.int32(mask.shape[1]),
    )
    return llm.logits(llm.final_norm(last))[:, 0], cache


def step(llm: Llama, tokens: Int[Array, " B"], cache: Cache, lora: Lora | None) -> tuple[Float[Array, "B V"], Cache]:
    """Appends one token to every row: (float32 logits of the token after it, the cache with one more slot filled)."""
    filled = cache.filled.at[:, cache.slot].set(True)

    def attend(q, k, v, layer_cache):
        keys = jax.lax.dynamic_update_slice_in_dim(layer_cache[0], k, cache.slot, axis=1)
        values = jax.lax.dynamic_update_slice_in_dim(layer_cache[1], v, cache.slot, axis=1)
        out = jax.nn.dot_product_attention(q, keys, values, mask=filled[:, None, None])
        return out, (keys, values)

    x = llm.embed_tokens(tokens[:, None])
    states, (keys, values) = llm.scan_layers(x, attend, cache.length[:, None], (cache.keys, cache.values), lora)
    return llm.logits(llm.final_norm(states))[:, 0], Cache(keys, values, filled, cache.length + 1, cache.slot + 1)


def greedy(
    llm: Llama,
    x: Float[Array, "B S E"],
    mask: Bool[Array, "B S"],
    *,
    prefix: int,
    max_new_tokens: int,
    end: int | Int[Array, ""],
    lora: Lora | None,
) -> Int[Array, "B max_new_tokens"]:
    """The most likely continuation of each row's prompt, token by token.

    x, mask, prefix, lora: the prompt, as in `Llama.__call__`. end: id of the end token; after it a row repeats it. An id
    outside the vocabulary never ends a row.
    """
    logits, cache = prefill(llm, x, mask, prefix=prefix, max_new_tokens=max_new_tokens, lora=lora)

    def body(carry, _):
        logits, cache, ended = carry
        tokens = jnp.where(ended, end, jnp.argmax(logits, axis=-1))
        logits, cache = step(llm, tokens, cache, lora)
        return (logits, cache, ended | (tokens == end)), tokens

    ended = jnp.zeros(mask.shape[0], bool)
    _, tokens = jax.lax.scan(body, (logits, cache, ended), length=max_new_tokens)
    return tokens.T
