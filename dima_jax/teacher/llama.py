"""LLaMA as a function of embeddings: the LLM between the scene adapter and the teacher's heads (D3, D4, D14).

    x = x + O(attention(rope(Q n(x)), rope(K n(x)), V n(x)))        n = RMSNorm
    x = x + Down(silu(Gate n(x)) * Up n(x))

The weights of all layers are stacked on a leading axis and the depth is one `lax.scan`, so compile time and code do not
grow with it; with `remat` each layer is recomputed in the backward pass. The sequence is a scene prefix, inside which
attention is bidirectional, then text, which is causal (D3); padding is on the right. Matrices and activations have the
configured dtype; norms, rotary angles, softmax and logits are float32. LoRA is written where it acts, in `_layer`.

Source: transformers `models/llama/modeling_llama.py` (rotary halves, not pairs; grouped key-value heads).
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from dima_jax.sharding import constrain_batch
from dima_jax.teacher.lora import PROJECTIONS, Lora, project

INIT_STD = 0.02  # initializer_range of LLaMA


class Stack(nnx.Module):
    """A linear map of every layer, without bias: kernel [layers, in, out]."""

    def __init__(self, layers: int, shape: tuple[int, int], dtype: jnp.dtype, rngs: nnx.Rngs):
        self.kernel = nnx.Param(INIT_STD * jax.random.normal(rngs.params(), (layers, *shape), dtype))


class Scale(nnx.Module):
    """The gain of an RMSNorm; float32 whatever the base's dtype."""

    def __init__(self, shape: tuple[int, ...]):
        self.scale = nnx.Param(jnp.ones(shape))


class Table(nnx.Module):
    """One row per token of the vocabulary: table [V, E]."""

    def __init__(self, vocab: int, width: int, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.table = nnx.Param(INIT_STD * jax.random.normal(rngs.params(), (vocab, width), dtype))


class Layers(nnx.Module):
    """The weights of all decoder layers."""

    def __init__(self, layers: int, width: int, shapes: dict[str, tuple[int, int]], dtype: jnp.dtype, rngs: nnx.Rngs):
        for name in PROJECTIONS:
            setattr(self, name, Stack(layers, shapes[name], dtype, rngs))
        self.attn_norm = Scale((layers, width))
        self.ffn_norm = Scale((layers, width))


class Llama(nnx.Module):
    """A LLaMA decoder of any size. Paths: `layers/{q,k,v,o,gate,up,down}/kernel`, `layers/{attn,ffn}_norm/scale`,
    `embed/table`, `norm/scale` and, unless tied, `head/table`.
    """

    def __init__(
        self,
        *,
        layers: int,
        width: int,
        heads: int,
        kv_heads: int,
        ffn_width: int,
        vocab: int,
        rope_theta: float,
        rms_eps: float,
        tied: bool,
        dtype: str,
        remat: bool,
        rngs: nnx.Rngs,
    ):
        if width % heads or heads % kv_heads or (width // heads) % 2:
            raise ValueError(f"width {width}, heads {heads}, kv_heads {kv_heads}: heads must divide, head width even")
        self.depth, self.width, self.heads, self.kv_heads = layers, width, heads, kv_heads
        self.head_width = width // heads
        self.rope_theta, self.rms_eps, self.remat = rope_theta, rms_eps, remat
        self.dtype = jnp.dtype(dtype)
        kv_width = kv_heads * self.head_width
        self.shapes = {
            "q": (width, width),
            "k": (width, kv_width),
            "v": (width, kv_width),
            "o": (width, width),
            "gate": (width, ffn_width),
            "up": (width, ffn_width),
            "down": (ffn_width, width),
        }
        self.layers = Layers(layers, width, self.shapes, self.dtype, rngs)
        self.embed = Table(vocab, width, self.dtype, rngs)
        self.norm = Scale((width,))
        self.head = None if tied else Table(vocab, width, self.dtype, rngs)

    def embed_tokens(self, tokens: Int[Array, "B S"]) -> Float[Array, "B S E"]:
        return self.embed.table[...][tokens]

    def logits(self, states: Float[Array, "B S E"]) -> Float[Array, "B S V"]:
        """Next-token logits, float32, of states that went through the final norm."""
        table = (self.embed if self.head is None else self.head).table[...]
        return jnp.einsum("bse,ve->bsv", states, table.astype(states.dtype), preferred_element_type=jnp.float32)

    def __call__(
        self, x: Float[Array, "B S E"], mask: Bool[Array, "B S"], *, prefix: int, lora: Lora | None
    ) -> Float[Array, "B S E"]:
        """Last-layer states after the final norm, in the base's dtype.

        x: embeddings; the first `prefix` positions are the scene (bidirectional), the rest causal text. mask: True =
        real; states at padded positions are meaningless. lora: None runs the frozen base alone.
        """
        x, _ = self.scan_layers(x, masked_attention(scene_mask(mask, prefix)), positions(mask), None, lora)
        return self.final_norm(x)

    def final_norm(self, x: Float[Array, "B S E"]) -> Float[Array, "B S E"]:
        """The final norm."""
        return rms_norm(x, self.norm.scale[...], self.rms_eps)

    def scan_layers(
        self, x: Float[Array, "B S E"], attend: Callable, position: Int[Array, "B S"], cache, lora: Lora | None
    ) -> tuple[Float[Array, "B S E"], tuple]:
        """All layers, before the final norm; the loop that training and generation share.

        attend: (q, k, v, cache of the layer) -> (attention output, what to keep of the layer). cache: pytree with a
        leading layer axis, or None. Returns the states and what was kept, stacked over layers.
        """
        angles = rope_angles(position, self.head_width, self.rope_theta)
        rotation = jnp.cos(angles)[:, :, None], jnp.sin(angles)[:, :, None]
        weights = {name: getattr(self.layers, name).kernel[...] for name in PROJECTIONS}
        gains = (self.layers.attn_norm.scale[...], self.layers.ffn_norm.scale[...])
        updates = None if lora is None else lora.stacked()

        def body(rows, layer):
            return self._layer(rows, *layer, rotation, attend)

        if self.remat:
            body = jax.checkpoint(body, prevent_cse=False)
        rows = x.astype(self.dtype).reshape(-1, self.width)
        rows, kept = jax.lax.scan(body, rows, (weights, gains, updates, cache))
        return rows.reshape(x.shape), kept

    def _layer(self, rows, weights, gains, updates, cache, rotation, attend):
        """One decoder layer: rows [B * S, E], one per token, to (the same, what `attend` keeps)."""

        def linear(names, x, spread):
            low_rank = None if updates is None else [updates[n] for n in names]
            return [constrain_batch(y, spread) for y in project(x, [weights[n] for n in names], low_rank)]

        def split_heads(y):
            return y.reshape(*rotation[0].shape[:2], -1, self.head_width)

        q, k, v = map(split_heads, linear(("q", "k", "v"), rms_norm(rows, gains[0], self.rms_eps), "model"))
        y, kept = attend(rotate(q, *rotation), rotate(k, *rotation), v, cache)
        rows = rows + linear(("o",), y.reshape(rows.shape), None)[0]
        gate, up = linear(("gate", "up"), rms_norm(rows, gains[1], self.rms_eps), "model")
        return rows + linear(("down",), swiglu(gate, up), None)[0], kept


@jax.checkpoint
def swiglu(gate: Float[Array, "*n F"], up: Float[Array, "*n F"]) -> Float[Array, "*n F"]:
    """silu(gate) * up. The backward pass keeps the two factors alone, not silu's inner steps."""
    return jax.nn.silu(gate) * up


@functools.partial(jax.checkpoint, static_argnums=2)
def rms_norm(x: Float[Array, "*n E"], scale: Float[Array, " E"], eps: float) -> Float[Array, "*n E"]:
    """x over its root mean square, in float32, back in x's dtype. The backward pass keeps x alone."""
    y = x.astype(jnp.float32)
    y = y * jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + eps)
    return (y * scale).astype(x.dtype)


def rope_angles(position: Int[Array, "B S"], head_width: int, theta: float) -> Float[Array, "B S h"]:
    """Rotary angles of half the head's width: position / theta^(2 i / head_width), radians, float32."""
    inverse = theta ** (-jnp.arange(0, head_width, 2, dtype=jnp.float32) / head_width)
    return position[..., None].astype(jnp.float32) * inverse


def rotate(
    x: Float[Array, "B S n h"], cos: Float[Array, "B S 1 h2"], sin: Float[Array, "B S 1 h2"]
) -> Float[Array, "B S n h"]:
    """Rotary position code on (first half, second half) of each head, transformers' convention."""
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)


def positions(mask: Bool[Array, "B S"]) -> Int[Array, "B S"]:
    """0, 1, 2, ... in every row (padding is on the right)."""
    return jnp.broadcast_to(jnp.arange(mask.shape[1]), mask.shape)


def scene_mask(mask: Bool[Array, "B S"], prefix: int) -> Bool[Array, "B 1 S S"]:
    """Who sees whom (D3): [b, 0, query, key]. Text sees the scene and earlier text; the scene sees the whole scene."""
    length = mask.shape[1]
    query, key = jnp.arange(length)[:, None], jnp.arange(length)[None, :]
    allowed = (key <= query) | (key < prefix) & (query < prefix)
    return (allowed & mask[:, None, :])[:, None]


def masked_attention(allowed: Bool[Array, "B 1 S S"]) -> Callable:
    """An `attend` for `Llama.scan_layers` that keeps nothing: softmax attention under a mask, grouped key-value heads. The
    backward pass keeps the products, q with k and weights with v, and redoes the softmax.
    """
    policy = jax.checkpoint_policies.dots_saveable
    attention = jax.checkpoint(functools.partial(jax.nn.dot_product_attention, mask=allowed), policy=policy)

    def attend(q, k, v, cache):
        del cache
        return attention(q, k, v), None

    return attend
