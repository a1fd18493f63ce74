"""The decoder of the agent head and the map head: queries attend to each other and to the BEV, layer by layer.

VAD's `DetrTransformerDecoderLayer` and `CustomMSDeformableAttention` (modules/decoder.py) with iterative refinement:
each layer moves its reference points, and the next layer starts from the moved points without gradient
(docs/vad.md#query-decoders).
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from dima_jax.geometry import inverse_sigmoid
from dima_jax.scan_layers import num_layers, scan_layers, stack_layers
from dima_jax.student.deformable_attention import DeformableAttention
from dima_jax.student.layers import (
    Attention,
    FeedForward,
    Mlp,
    Rngs,
    dropout_keys_per_layer,
    layer_norm,
    linear,
    split_dropout_keys,
    xavier,
    zeros,
)

SAMPLING_POINTS = 4  # per head


class DecoderOutput(NamedTuple):
    """Query states, regression codes (O numbers) and refined reference points (J numbers in [0, 1]) of every layer."""

    states: Float[Array, "Z B Q D"]
    codes: Float[Array, "Z B Q O"]
    references: Float[Array, "Z B Q J"]


class DecoderLayer(nnx.Module):
    """Self-attention, LayerNorm, deformable attention to the BEV, LayerNorm, feed-forward, LayerNorm."""

    def __init__(self, width: int, ffn_width: int, num_heads: int, dropout_rate: float, rngs: Rngs):
        self.attn = Attention(width, num_heads, dropout_rate, rngs)
        self.norm1 = layer_norm(width, rngs)
        self.cross = DeformableAttention(width, num_heads, SAMPLING_POINTS, dropout_rate, rngs)
        self.norm2 = layer_norm(width, rngs)
        self.ffn = FeedForward(width, ffn_width, dropout_rate, rngs)
        self.norm3 = layer_norm(width, rngs)

    def __call__(
        self,
        query: Float[Array, "B Q D"],
        query_pos: Float[Array, "B Q D"],
        bev: Float[Array, "B YX D"],
        reference: Float[Array, "B Q 2"],
        bev_shape: tuple[int, int],
        dropout_keys: jax.Array | None = None,
        *,
        groups: int = 1,
    ) -> Float[Array, "B Q D"]:
        """The next states; reference: (x, y) in [0, 1], around which a query samples the BEV. groups: as in QueryDecoder."""
        keys_attn, keys_cross, keys_ffn = split_dropout_keys(dropout_keys, 3)

        def by_group(x):
            return x.reshape(groups * len(x), -1, x.shape[-1])

        with_pos = by_group(query + query_pos)
        attended = self.attn(with_pos, with_pos, by_group(query), keys_attn).reshape(query.shape)
        query = self.norm1(query + attended)
        query = self.norm2(self.cross(query, query_pos, bev, reference, bev_shape, keys_cross))
        return self.norm3(self.ffn(query, keys_ffn))


class QueryDecoder(nnx.Module):
    """Stacked layers with a regression branch each.

    layers: how many. code_size: numbers O that a branch regresses. coordinates: the J entries of a code that move the
    reference point, x and y first. The rest as in `configs/base.py`.
    """

    def __init__(
        self,
        *,
        layers: int,
        width: int,
        ffn_width: int,
        num_heads: int,
        dropout: float,
        code_size: int,
        coordinates: Sequence[int],
        rngs: Rngs,
    ):
        self.coordinates = tuple(coordinates)
        self.reference = linear(width, len(self.coordinates), rngs, xavier, zeros, dtype=jnp.float32)
        sizes = (width, ffn_width, num_heads, dropout)
        self.layers = stack_layers([DecoderLayer(*sizes, rngs) for _ in range(layers)])
        self.branches = stack_layers([Mlp((width, width, width, code_size), rngs) for _ in range(layers)])

    def __call__(
        self,
        query: Float[Array, "B Q D"],
        query_pos: Float[Array, "B Q D"],
        bev: Float[Array, "B YX D"],
        bev_shape: tuple[int, int],
        dropout_keys: jax.Array | None = None,
        *,
        groups: int = 1,
    ) -> DecoderOutput:
        """The outputs of all layers. Reference points carry a gradient as outputs, but not into the next layer.

        groups: the queries are this many groups of equal size, one after the other, that do not see each other
        (training with more than one group of queries: `auxiliary.py`).
        """

        def step(carry, layer_and_branch, keys_layer):
            query, reference = carry
            layer, branch = layer_and_branch
            query = layer(query, query_pos, bev, reference[..., :2], bev_shape, keys_layer, groups=groups)
            code = branch(query)
            refined = jax.nn.sigmoid(code[..., self.coordinates] + inverse_sigmoid(reference))
            return (query, jax.lax.stop_gradient(refined)), DecoderOutput(query, code, refined)

        start = (query, jax.nn.sigmoid(self.reference(query_pos)))
        keys = dropout_keys_per_layer(dropout_keys, num_layers(self.layers))
        return scan_layers(step, start, (self.layers, self.branches), keys)[1]


def apply_per_layer(heads: Mlp, states: Float[Array, "Z B Q D"]) -> Float[Array, "Z B Q C"]:
    """The states of each decoder layer through that layer's own head; heads: stacked."""
    return scan_layers(lambda carry, head, state: (carry, head(state)), None, heads, states)[1]


def split_position_and_query(x: Float[Array, "... D2"]) -> tuple[Float[Array, "... D"], Float[Array, "... D"]]:
    """Learned vectors to (position, query): the first half of the channels is the position."""
    position, query = jnp.split(x, 2, axis=-1)
    return position, query


def split_groups(
    x: Float[Array, "Z B _ *n"], count: int
) -> tuple[Float[Array, "Z B _ *n"], Float[Array, "_ B _ *n"] | None]:
    """The outputs of the first `count` queries, and those of further groups [groups * Z, B, count, ...] if there are any."""
    if x.shape[2] == count:
        return x, None
    layers, batch = x.shape[:2]
    more = x[:, :, count:].reshape(layers, batch, -1, count, *x.shape[3:])
    return x[:, :, :count], jnp.moveaxis(more, 2, 0).reshape(-1, batch, count, *x.shape[3:])
