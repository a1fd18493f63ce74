"""LLaMA on embeddings: the LLM between the scene adapter and the teacher's heads (decisions D3, D4 and D14).

    x = x + O(attention(rope(Q n(x)), rope(K n(x)), V n(x)))        n = RMSNorm
    x = x + Down(silu(Gate n(x)) * Up n(x))

The weights of all layers are stacked on a leading axis and the layers are one `lax.scan`, so compile time and program
size do not grow with their number; with `remat` the backward pass recomputes each layer. The input is a scene prefix,
in which attention is bidirectional, then text, in which it is causal (D3); padding is on the right. Matrices and
activations have the configured dtype; norms, rotary angles, softmax and logits are float32. LoRA acts in `_layer`.

Axis letters besides those of `types.py`: n attention heads, h head width, h2 = h / 2, i and o a layer's inputs and
outputs. Decisions: docs/decisions.md#d3, #d4, #d14. Source: transformers `models/llama/modeling_llama.py` (rotary
embedding on halves of a head, not on pairs; grouped key-value heads).
"""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PyTree

from dima_jax.sharding import constrain_batch
from dima_jax.teacher.attention import prefix_attention
from dima_jax.teacher.lora import PROJECTIONS, Lora, project

INIT_STD = 0.02  # initializer_range of LLaMA

# (q [B, S, n, h], k and v [B, S, kv_heads, h], cache of the layer) -> (attention output [B, S, n, h], what to keep)
Attend = Callable[[Array, Array, Array, PyTree], tuple[Array, PyTree]]


class StackedLinear(nnx.Module):
    """One linear layer without bias for every decoder layer: kernel [layers, in, out]. shape: (in, out)."""

    def __init__(self, layers: int, shape: tuple[int, int], dtype: jnp.dtype, rngs: nnx.Rngs):
        self.kernel = nnx.Param(INIT_STD * jax.random.normal(rngs.params(), (layers, *shape), dtype))


class Gain(nnx.Module):
    """The gain of an RMSNorm: scale, float32 whatever the LLM's dtype."""

    def __init__(self, shape: tuple[int, ...]):
        self.scale = nnx.Param(jnp.ones(shape))


class Embedding(nnx.Module):
    """One vector for each token of the vocabulary: table [V, E]. Also the matrix of the output logits."""

    def __init__(self, vocab: int, width: int, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.table = nnx.Param(INIT_STD * jax.random.normal(rngs.params(), (vocab, width), dtype))


class DecoderLayers(nnx.Module):
    """The stacked weights of all decoder layers. shapes: {projection: (in, out)}."""

    def __init__(self, layers: int, width: int, shapes: dict[str, tuple[int, int]], dtype: jnp.dtype, rngs: nnx.Rngs):
        for name in PROJECTIONS:
            setattr(self, name, StackedLinear(layers, shapes[name], dtype, rngs))
        self.attn_norm = Gain((layers, width))
        self.ffn_norm = Gain((layers, width))


class Llama(nnx.Module):
    """A LLaMA decoder of any size. Arguments: the config group `teacher.llm`.

    Weight paths: `layers/{q,k,v,o,gate,up,down}/kernel`, `layers/{attn,ffn}_norm/scale`, `embed/table`, `norm/scale`
    and, unless tied, `head/table`. shapes: {projection: (in, out)}, for `Lora`. rope_scaling: as in `rope_frequencies`.
    ValueError if `heads` does not divide `width`, `kv_heads` does not divide `heads`, the head width is odd, or
    `rope_scaling` is not LLaMA 3's four numbers.
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
        rope_scaling: Sequence[float] | None = None,
    ):
        if width % heads or heads % kv_heads or (width // heads) % 2:
            raise ValueError(f"width {width}, heads {heads}, kv_heads {kv_heads}: heads must divide, head width even")
        if rope_scaling is not None and not is_rope_scaling(rope_scaling):
            raise ValueError(
                f"rope_scaling {rope_scaling}: it is None or (factor, low_freq_factor, high_freq_factor, original "
                "positions), with factor >= 1 and 0 < low_freq_factor < high_freq_factor"
            )
        self.depth, self.width, self.heads, self.kv_heads = layers, width, heads, kv_heads
        self.head_width = width // heads
        self.rope_theta, self.rms_eps, self.remat = rope_theta, rms_eps, remat
        self.rope_scaling = None if rope_scaling is None else tuple(map(float, rope_scaling))
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
        self.layers = DecoderLayers(layers, width, self.shapes, self.dtype, rngs)
        self.embed = Embedding(vocab, width, self.dtype, rngs)
        self.norm = Gain((width,))
        self.head = None if tied else Embedding(vocab, width, self.dtype, rngs)

    def embed_tokens(self, tokens: Int[Array, "*n"]) -> Float[Array, "*n E"]:
        """Embeddings of token ids, in the LLM's dtype."""
        return self.embed.table[...][tokens]

    def logits(self, states: Float[Array, "B S E"]) -> Float[Array, "B S V"]:
        """Next-token logits, float32, of states after the final norm."""
        table = (self.embed if self.head is None else self.head).table[...]
        return jnp.einsum("bse,ve->bsv", states, table.astype(states.dtype), preferred_element_type=jnp.float32)

    def __call__(
        self, x: Float[Array, "B S E"], mask: Bool[Array, "B S"], *, prefix: int, lora: Lora | None
    ) -> Float[Array, "B S E"]:
        """Last-layer states after the final norm, in the LLM's dtype.

        x: embeddings; the first `prefix` positions are the scene (bidirectional), the rest is text (causal).
        mask: True = real; states at padded positions are meaningless. lora: None runs the frozen base alone.
        """

        def attend(q, k, v, cache):
            del cache
            return prefix_attention(q, k, v, mask, prefix), None

        x, _ = self.scan_layers(x, attend, positions(mask), None, lora)
        return self.final_norm(x)

    def final_norm(self, x: Float[Array, "B S E"]) -> Float[Array, "B S E"]:
        """The RMSNorm after the last layer."""
        return rms_norm(x, self.norm.scale[...], self.rms_eps)

    def scan_layers(
        self,
        x: Float[Array, "B S E"],
        attend: Attend,
        position: Int[Array, "B S"],
        cache: PyTree[Float[Array, "layers ..."]],
        lora: Lora | None,
    ) -> tuple[Float[Array, "B S E"], PyTree[Float[Array, "layers ..."]]]:
        """(states after all layers and before the final norm, what `attend` kept of each layer, stacked).

        Training and generation share this loop and differ in `attend`. position: of the rotary embedding.
        cache: what `attend` gets of each layer. Without a cache, or when `attend` keeps nothing, it is None.
        """
        angles = rope_angles(position, self.head_width, self.rope_theta, self.rope_scaling)
        rotation = jnp.cos(angles)[:, :, None], jnp.sin(angles)[:, :, None]
        weights = {name: getattr(self.layers, name).kernel[...] for name in PROJECTIONS}
        gains = (self.layers.attn_norm.scale[...], self.layers.ffn_norm.scale[...])
        updates = None if lora is None else lora.updates()

        def body(rows, layer):
            return self._layer(rows, *layer, rotation, attend)

        if self.remat:
            body = jax.checkpoint(body, prevent_cse=False)
        rows = x.astype(self.dtype).reshape(-1, self.width)
        rows, kept = jax.lax.scan(body, rows, (weights, gains, updates, cache))
        return rows.reshape(x.shape), kept

    def _layer(self, rows, weights, gains, updates, cache, rotation, attend):
        """One decoder layer: (rows [B * S, E], one for each token; what `attend` keeps)."""

        def linear(names, x, mesh_axis):
            """x [B * S, in] through each named projection, whose output features are sharded over `mesh_axis`."""
            low_rank = None if updates is None else [updates[n] for n in names]
            return [constrain_batch(y, mesh_axis) for y in project(x, [weights[n] for n in names], low_rank)]

        def split_heads(y):
            return y.reshape(*rotation[0].shape[:2], -1, self.head_width)

        q, k, v = map(split_heads, linear(("q", "k", "v"), rms_norm(rows, gains[0], self.rms_eps), "model"))
        y, kept = attend(rotate(q, *rotation), rotate(k, *rotation), v, cache)
        rows = rows + linear(("o",), y.reshape(rows.shape), None)[0]
        gate, up = linear(("gate", "up"), rms_norm(rows, gains[1], self.rms_eps), "model")
        return rows + linear(("down",), swiglu(gate, up), None)[0], kept


@jax.checkpoint
def swiglu(gate: Float[Array, "*n F"], up: Float[Array, "*n F"]) -> Float[Array, "*n F"]:
    """silu(gate) * up. For the backward pass only the two arguments are kept."""
    return jax.nn.silu(gate) * up


@functools.partial(jax.checkpoint, static_argnums=2)
def rms_norm(x: Float[Array, "*n E"], scale: Float[Array, " E"], eps: float) -> Float[Array, "*n E"]:
    """x divided by its root mean square, times `scale`: in float32, returned in x's dtype.

    For the backward pass only the arguments are kept.
    """
    y = x.astype(jnp.float32)
    y = y * jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + eps)
    return (y * scale).astype(x.dtype)


def rope_angles(
    position: Int[Array, "B S"], head_width: int, theta: float, scaling: Sequence[float] | None = None
) -> Float[Array, "B S h2"]:
    """Angles of the rotary embedding: position times `rope_frequencies`; radians, float32."""
    return position[..., None].astype(jnp.float32) * rope_frequencies(head_width, theta, scaling)


def rope_frequencies(head_width: int, theta: float, scaling: Sequence[float] | None = None) -> Float[Array, " h2"]:
    """Radians per position: theta^(-2 i / head_width) for i < head_width / 2; float32.

    scaling: that of LLaMA 3.1 and later (`rope_type` "llama3"), or None. (factor, low_freq_factor, high_freq_factor,
    original): the model was first trained on texts of `original` positions. Frequencies with at least high_freq_factor
    turns in them stay, those with at most low_freq_factor are divided by `factor`, between the two it is interpolated
    linearly in the number of turns. Source: transformers `modeling_rope_utils.py`, `_compute_llama3_parameters`.
    """
    frequency = theta ** (-jnp.arange(0, head_width, 2, dtype=jnp.float32) / head_width)
    if scaling is None:
        return frequency
    factor, low, high, original = scaling
    turns = original * frequency / (2 * math.pi)
    kept = jnp.clip((turns - low) / (high - low), 0.0, 1.0)
    return (1 - kept) * frequency / factor + kept * frequency


def is_rope_scaling(value: Sequence) -> bool:
    """Whether these are the four numbers of `rope_frequencies`."""
    if len(value) != 4 or not all(isinstance(x, int | float) and math.isfinite(x) for x in value):
        return False
    factor, low, high, original = value
    return factor >= 1 and 0 < low < high and original > 0


def rotate(
    x: Float[Array, "B S n h"], cos: Float[Array, "B S 1 h2"], sin: Float[Array, "B S 1 h2"]
) -> Float[Array, "B S n h"]:
    """Rotary embedding: component i of a head's first half turns with component i of its second half (transformers)."""
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)


def positions(mask: Bool[Array, "B S"]) -> Int[Array, "B S"]:
    """Rotary positions of right-padded rows: 0, 1, 2, ... in every row."""
    return jnp.broadcast_to(jnp.arange(mask.shape[1]), mask.shape)
