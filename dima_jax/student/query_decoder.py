"""The refinement decoder that agents and map share: queries attend to each other and to the BEV, layer by layer.

VAD's `DetrTransformerDecoderLayer` and `CustomMSDeformableAttention` (modules/decoder.py), with box refinement: every
layer moves its reference points, and the next layer starts from the moved points without gradient.
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
    Keys,
    Mlp,
    dropout_keys_per_layer,
    layer_norm,
    linear,
    split_dropout_keys,
    xavier,
    zeros,
)

POINTS = 4  # sampling points per head


class Refined(NamedTuple):
    """What the layers say: states, regression codes, and reference points after refinement (in [0, 1])."""

    state: Float[Array, "Z B Q D"]
    codes: Float[Array, "Z B Q O"]
    points: Float[Array, "Z B Q J"]


class DecoderLayer(nnx.Module):
    """Self-attention, norm, deformable attention to the BEV, norm, feed-forward, norm."""

    def __init__(self, width: int, hidden: int, heads: int, rate: float, rngs: Keys):
        self.attn = Attention(width, heads, rate, rngs)
        self.norm1 = layer_norm(width, rngs)
        self.cross = DeformableAttention(width, heads, POINTS, rate, rngs)
        self.norm2 = layer_norm(width, rngs)
        self.ffn = FeedForward(width, hidden, rate, rngs)
        self.norm3 = layer_norm(width, rngs)

    def __call__(self, query, query_pos, bev, reference, bev_shape, dropout_keys=None) -> Float[Array, "B Q D"]:
        keys_attn, keys_cross, keys_ffn = split_dropout_keys(dropout_keys, 3)
        placed = query + query_pos
        query = self.norm1(query + self.attn(placed, placed, query, keys_attn))
        query = self.norm2(self.cross(query, query_pos, bev, reference, bev_shape, keys_cross))
        return self.norm3(self.ffn(query, keys_ffn))


class QueryDecoder(nnx.Module):
    """Layers with one regression branch each. `coordinates`: which code entries move the reference points."""

    def __init__(
        self, *, layers, width, ffn_width, num_heads, dropout, code_size, coordinates: Sequence[int], rngs: Keys
    ):
        self.coordinates = tuple(coordinates)
        self.reference = linear(width, len(self.coordinates), rngs, xavier, zeros)
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
    ) -> Refined:
        """What every layer says, stacked: a leading axis Z."""

        def step(state, layer_and_branch, keys_layer):
            query, points = state
            layer, branch = layer_and_branch
            query = layer(query, query_pos, bev, points[..., :2], bev_shape, keys_layer)
            codes = branch(query)
            moved = jax.nn.sigmoid(codes[..., self.coordinates] + inverse_sigmoid(points))
            return (query, jax.lax.stop_gradient(moved)), Refined(query, codes, moved)

        start = (query, jax.nn.sigmoid(self.reference(query_pos)))
        return scan_layers(
            step, start, (self.layers, self.branches), dropout_keys_per_layer(dropout_keys, num_layers(self.layers))
        )[1]


def each_by_its_own(heads: Mlp, states: Float[Array, "Z B Q D"]) -> Float[Array, "Z B Q C"]:
    """The state of each decoder layer through that layer's head; `heads` are stacked."""
    return scan_layers(lambda carry, head, state: (carry, head(state)), None, heads, states)[1]


def halves(rows: Float[Array, "... D2"]) -> tuple[Float[Array, "... D"], Float[Array, "... D"]]:
    """Learned rows to (position, query): the first half of the channels is the position."""
    return tuple(jnp.split(rows, 2, axis=-1))
