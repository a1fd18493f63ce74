"""The map around the ego as M polylines of P points: point queries, a score per line, a token per line.

VAD_head.py (map part) and its LaneNet (docs/vad.md#map-head). A point query is the sum of the embedding of its line and
the embedding of its place in the line.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from dima_jax.scan_layers import scan_layers, stack_layers
from dima_jax.student.layers import PRIOR_BIAS, Mlp, Rngs, embedding, layer_norm, linear, xavier
from dima_jax.student.query_decoder import QueryDecoder, apply_per_layer, split_groups, split_position_and_query

LANE_LAYERS = 3


class MapOutput(NamedTuple):
    """Raw predictions of every layer, and the tokens of the last one. Points and positions are in [0, 1].

    positions have no gradient (quirk Q5). more_*: of further groups of queries (training), every layer of
    one group after the other along the first axis.
    """

    logits: Float[Array, "Zm B M 3"]
    points: Float[Array, "Zm B M P 2"]
    tokens: Float[Array, "B M D"]
    positions: Float[Array, "B M 2"]
    more_logits: Float[Array, "gZm B M 3"] | None = None
    more_points: Float[Array, "gZm B M P 2"] | None = None


class LaneLayer(nnx.Module):
    """Linear, LayerNorm, ReLU for each point, concatenated with the maximum over the points of its line.

    width: of the input; the output is 2 * hidden wide.
    """

    def __init__(self, width: int, hidden: int, rngs: Rngs):
        self.linear = linear(width, hidden, rngs, xavier)
        self.norm = layer_norm(hidden, rngs)

    def __call__(self, x: Float[Array, "B M P I"]) -> Float[Array, "B M P O"]:
        x = jax.nn.relu(self.norm(self.linear(x)))
        return jnp.concatenate([x, jnp.broadcast_to(torch_max(x, axis=2), x.shape)], axis=-1)


class LaneEncoder(nnx.Module):
    """Point features of a line to its token: VectorNet's subgraph of three layers, then the maximum over the points."""

    def __init__(self, width: int, rngs: Rngs):
        self.layers = stack_layers([LaneLayer(width, width // 2, rngs) for _ in range(LANE_LAYERS)])

    def __call__(self, x: Float[Array, "B M P D"]) -> Float[Array, "B M D"]:
        x, _ = scan_layers(lambda x, layer, _: (layer(x), None), x, self.layers)
        return torch_max(x, axis=2)[:, :, 0]


def torch_max(x: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Maximum along an axis, which stays with size 1. The gradient goes to the first of equal elements, as in PyTorch.

    The gradient of jnp.max compares x with its maximum again. Where a compiler computes x a second time with other
    rounding (seen on several devices), nothing equals the maximum, and the gradient is 0 / 0.
    """
    index = jnp.argmax(jax.lax.stop_gradient(x), axis=axis, keepdims=True)
    return jnp.take_along_axis(x, index, axis=axis)


def nearest_to_corner(points: Float[Array, "B M P 2"]) -> Float[Array, "B M 2"]:
    """A line's position: its point nearest to (0, 0) of the normalized BEV, the corner behind the ego on the left.

    Quirk Q5: not its point nearest to the ego, which is at (0.5, 0.5).
    """
    nearest = jnp.argmin(jnp.sqrt((points**2).sum(axis=-1)), axis=-1)
    return jnp.take_along_axis(points, nearest[..., None, None], axis=2)[:, :, 0]


class MapHead(nnx.Module):
    """Decodes M lines of P points.

    decoder_layers: `map_decoder_layers` of `configs/base.py`. num_classes: `constants.MAP_CLASSES`. The rest as in
    `configs/base.py`.
    """

    def __init__(
        self,
        *,
        width: int,
        ffn_width: int,
        num_heads: int,
        dropout: float,
        decoder_layers: int,
        num_map: int,
        num_points: int,
        num_classes: int,
        rngs: Rngs,
    ):
        self.line_queries = embedding(num_map, 2 * width, rngs)
        self.point_queries = embedding(num_points, 2 * width, rngs)
        self.decoder = QueryDecoder(
            layers=decoder_layers,
            width=width,
            ffn_width=ffn_width,
            num_heads=num_heads,
            dropout=dropout,
            code_size=2,
            coordinates=(0, 1),
            rngs=rngs,
        )
        sizes = (width, width, width, num_classes)
        prior = nnx.initializers.constant(PRIOR_BIAS)
        self.classes = stack_layers([Mlp(sizes, rngs, norm=True, last_bias=prior) for _ in range(decoder_layers)])
        self.lane_encoder = LaneEncoder(width, rngs)

    def __call__(
        self,
        bev: Float[Array, "B YX D"],
        bev_shape: tuple[int, int],
        dropout_keys: jax.Array | None = None,
        *,
        more_queries: Float[Array, "gM D2"] | None = None,
    ) -> MapOutput:
        """more_queries: further groups of M line queries, in training (`auxiliary.py`)."""
        lines, points = self.line_queries[...], self.point_queries[...]
        num_map, num_points = lines.shape[0], points.shape[0]
        if more_queries is not None:
            lines = jnp.concatenate([lines, more_queries])
        groups = len(lines) // num_map
        queries = (lines[:, None] + points).reshape(1, len(lines) * num_points, -1)
        query_pos, query = split_position_and_query(jnp.broadcast_to(queries, (bev.shape[0], *queries.shape[1:])))
        decoded = self.decoder(query, query_pos, bev, bev_shape, dropout_keys, groups=groups)

        def by_line(x: Float[Array, "Zm B _ C"]) -> Float[Array, "Zm B _ P C"]:
            return x.reshape(*x.shape[:2], -1, num_points, x.shape[-1])

        states, points = by_line(decoded.states), by_line(decoded.references)
        logits, more_logits = split_groups(apply_per_layer(self.classes, states.mean(axis=3)), num_map)
        points, more_points = split_groups(points, num_map)
        return MapOutput(
            logits=logits,
            points=points,
            tokens=self.lane_encoder(states[-1, :, :num_map]),
            positions=nearest_to_corner(jax.lax.stop_gradient(points[-1])),
            more_logits=more_logits,
            more_points=more_points,
        )
