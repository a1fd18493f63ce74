"""The map around the ego as M polylines of P points: point queries, a score per line, one token per line.

VAD_head.py (map part) and its LaneNet. A point query is the sum of its line's and its place's embedding.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from dima_jax.scan_layers import scan_layers, stack_layers
from dima_jax.student.layers import PRIOR_BIAS, Keys, Mlp, largest, layer_norm, linear, table, xavier
from dima_jax.student.query_decoder import QueryDecoder, each_by_its_own, halves


class MapOutput(NamedTuple):
    """Raw predictions of every layer and the tokens of the last one; positions without gradient, in [0, 1]."""

    logits: Float[Array, "Zm B M 3"]
    points: Float[Array, "Zm B M P 2"]
    tokens: Float[Array, "B M D"]
    positions: Float[Array, "B M 2"]


class LaneLayer(nnx.Module):
    """Linear, norm, ReLU per point, joined with the line's maximum."""

    def __init__(self, width: int, hidden: int, rngs: Keys):
        self.linear = linear(width, hidden, rngs, xavier)
        self.norm = layer_norm(hidden, rngs)

    def __call__(self, x: Float[Array, "B M P I"]) -> Float[Array, "B M P O"]:
        x = jax.nn.relu(self.norm(self.linear(x)))
        return jnp.concatenate([x, jnp.broadcast_to(largest(x, axis=2), x.shape)], axis=-1)


class LaneEncoder(nnx.Module):
    """Point features of a line to one token (VectorNet's subgraph, three layers)."""

    def __init__(self, width: int, rngs: Keys):
        self.layers = stack_layers([LaneLayer(width, width // 2, rngs) for _ in range(3)])

    def __call__(self, x: Float[Array, "B M P D"]) -> Float[Array, "B M D"]:
        x, _ = scan_layers(lambda x, layer, _: (layer(x), None), x, self.layers)
        return largest(x, axis=2)[:, :, 0]


def nearest_to_corner(points: Float[Array, "B M P 2"]) -> Float[Array, "B M 2"]:
    """Quirk Q5: a line's position is its point nearest to (0, 0) of the normalized BEV, the corner behind on the left.

    Not the point nearest to the ego, which is at (0.5, 0.5).
    """
    nearest = jnp.argmin(jnp.sqrt((points**2).sum(axis=-1)), axis=-1)
    return jnp.take_along_axis(points, nearest[..., None, None], axis=2)[:, :, 0]


class MapHead(nnx.Module):
    """Decodes M lines of P points. See `configs/base.py` for the arguments."""

    def __init__(
        self,
        *,
        width,
        ffn_width,
        num_heads,
        dropout,
        decoder_layers,
        num_map: int,
        num_points: int,
        num_classes: int,
        rngs: Keys,
    ):
        self.line_queries = table(num_map, 2 * width, rngs)
        self.point_queries = table(num_points, 2 * width, rngs)
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

    def __call__(self, bev: Float[Array, "B YX D"], bev_shape: tuple[int, int], dropout_keys=None) -> MapOutput:
        lines, points = self.line_queries[...], self.point_queries[...]
        num_map, num_points = lines.shape[0], points.shape[0]
        rows = (lines[:, None] + points).reshape(1, num_map * num_points, -1)
        query_pos, query = halves(jnp.broadcast_to(rows, (bev.shape[0], *rows.shape[1:])))
        layers = self.decoder(query, query_pos, bev, bev_shape, dropout_keys)

        def by_line(x):
            return x.reshape(*x.shape[:2], num_map, num_points, -1)

        states, moved = by_line(layers.state), by_line(layers.points)
        logits = each_by_its_own(self.classes, states.mean(axis=3))
        positions = nearest_to_corner(jax.lax.stop_gradient(moved[-1]))
        return MapOutput(logits, moved, self.lane_encoder(states[-1]), positions)
