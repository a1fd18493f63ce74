"""Other road users: boxes from the BEV, then K future motions each, from the other agents and the nearby map.

VAD_head.py (agent and motion part). The motion queries are (agent, mode) pairs, agent-major.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from dima_jax.geometry import denormalize_xy
from dima_jax.scan_layers import stack_layers
from dima_jax.student.layers import (
    PRIOR_BIAS,
    AttentionBlock,
    Keys,
    Mlp,
    allowed,
    linear,
    split_dropout_keys,
    table,
    xavier,
    zeros,
)
from dima_jax.student.map_head import MapOutput
from dima_jax.student.query_decoder import QueryDecoder, each_by_its_own, halves

CENTER = (0, 1, 4)  # cx, cy, cz in the regression code


class AgentOutput(NamedTuple):
    """Raw predictions (see `types.StudentOutput`) and tokens; positions without gradient, in [0, 1]."""

    logits: Float[Array, "Za B A 10"]
    codes: Float[Array, "Za B A 10"]
    future_offsets: Float[Array, "B A K F 2"]
    mode_logits: Float[Array, "B A K"]
    tokens: Float[Array, "B A D"]
    positions: Float[Array, "B A 2"]


class MapInteraction(nnx.Module):
    """Every motion query attends to the confident map lines near its agent (VAD's `motion_map_decoder`).

    A key is Wk(line + pos(line position - agent position)). The position map is linear in two numbers, so the keys of
    A x M pairs split into M line keys and a rank-2 term: equal to VAD's per-pair keys, without computing them.
    """

    def __init__(self, width, ffn_width, num_heads, dropout, score_threshold, distance_threshold, rngs: Keys):
        self.score_threshold, self.distance_threshold = score_threshold, distance_threshold
        self.position = linear(2, width, rngs, xavier, zeros)
        self.block = AttentionBlock(width, ffn_width, num_heads, dropout, rngs)

    def __call__(
        self,
        query: Float[Array, "B A K D"],
        positions: Float[Array, "B A 2"],
        lines: MapOutput,
        dropout_keys: jax.Array | None = None,
    ) -> Float[Array, "B A K D"]:
        """Lines with score <= threshold or farther than the threshold (normalized units, quirk Q5) are not seen.

        One more key is always seen: a zero line at relative position (1, 1).
        """
        attn, keys_attn, keys_ffn = self.block.attn, *split_dropout_keys(dropout_keys, 2)
        batch, agents, modes, width = query.shape
        relative = lines.positions[:, None] - positions[:, :, None]  # B A M 2
        confident = jax.nn.sigmoid(lines.logits[-1]).max(axis=-1) > self.score_threshold
        near = jnp.sqrt((relative**2).sum(axis=-1)) <= self.distance_threshold
        seen = jnp.pad(confident[:, None] & near, ((0, 0), (0, 0), (0, 1)), constant_values=True)
        relative = jnp.pad(relative, ((0, 0), (0, 0), (0, 1), (0, 0)), constant_values=1.0)
        tokens = jnp.pad(lines.tokens, ((0, 0), (0, 1), (0, 0)))

        q = attn.split(attn.q(query + self.position.bias[...])) * (width // attn.heads) ** -0.5  # B A K h d
        k = attn.split(attn.k(tokens + self.position.bias[...]))  # B M h d
        slopes = attn.split(self.position.kernel[...] @ attn.k.kernel[...])  # 2 h d
        scores = jnp.einsum("bakhd,bmhd->bhakm", q, k)
        along = jnp.einsum("bakhd,jhd->bhakj", q, slopes)
        scores += jnp.einsum("bhakj,bamj->bhakm", along, relative)
        scores = allowed(scores, seen[:, None, :, None])

        pairs = (batch, agents * modes)
        scores = scores.reshape(batch, attn.heads, agents * modes, -1)
        attended = attn.mix(scores, attn.split(attn.v(tokens)), keys_attn)
        return self.block.add_and_norm(query.reshape(*pairs, width), attended, keys_ffn).reshape(query.shape)


class AgentHead(nnx.Module):
    """Decodes A agents and their motion. See `configs/base.py` for the arguments."""

    def __init__(
        self,
        *,
        width,
        ffn_width,
        num_heads,
        dropout,
        decoder_layers,
        num_agents: int,
        num_modes: int,
        num_future: int,
        num_classes: int,
        pc_range,
        map_score_threshold: float,
        map_distance_threshold: float,
        rngs: Keys,
    ):
        self.pc_range, self.num_future = pc_range, num_future
        self.queries = table(num_agents, 2 * width, rngs)
        self.decoder = QueryDecoder(
            layers=decoder_layers,
            width=width,
            ffn_width=ffn_width,
            num_heads=num_heads,
            dropout=dropout,
            code_size=10,
            coordinates=CENTER,
            rngs=rngs,
        )
        sizes = (width, width, width, num_classes)
        prior = nnx.initializers.constant(PRIOR_BIAS)
        self.classes = stack_layers([Mlp(sizes, rngs, norm=True, last_bias=prior) for _ in range(decoder_layers)])
        self.mode_queries = table(num_modes, width, rngs, nnx.initializers.orthogonal())
        self.position = linear(2, width, rngs, xavier, zeros)
        self.agents = AttentionBlock(width, ffn_width, num_heads, dropout, rngs)
        thresholds = (map_score_threshold, map_distance_threshold)
        self.map = MapInteraction(width, ffn_width, num_heads, dropout, *thresholds, rngs)
        wide = 2 * width
        self.motion = Mlp((wide, wide, wide, num_future * 2), rngs)
        self.modes = Mlp((wide, wide, wide, 1), rngs, norm=True, last_bias=prior)
        self.token = Mlp((num_modes * wide, width, width), rngs, norm=True)

    def __call__(
        self, bev: Float[Array, "B YX D"], bev_shape: tuple[int, int], lines: MapOutput, dropout_keys=None
    ) -> AgentOutput:
        keys_decoder, keys_agents, keys_map = split_dropout_keys(dropout_keys, 3)
        rows = self.queries[...]
        query_pos, query = halves(jnp.broadcast_to(rows, (bev.shape[0], *rows.shape)))
        layers = self.decoder(query, query_pos, bev, bev_shape, keys_decoder)
        logits = each_by_its_own(self.classes, layers.state)
        positions = jax.lax.stop_gradient(layers.points[-1, ..., :2])
        motion = self.interact(layers.state[-1], positions, lines, keys_agents, keys_map)
        offsets = self.motion(motion)
        return AgentOutput(
            logits=logits,
            codes=self.meters(layers.codes, layers.points),
            future_offsets=offsets.reshape(*offsets.shape[:-1], self.num_future, 2),
            mode_logits=self.modes(motion)[..., 0],
            tokens=self.token(motion.reshape(*motion.shape[:2], -1)),
            positions=positions,
        )

    def meters(self, codes: Float[Array, "Za B A 10"], points: Float[Array, "Za B A 3"]) -> Float[Array, "Za B A 10"]:
        """Codes with the center replaced by the refined reference points in meters."""
        xy = denormalize_xy(points[..., :2], self.pc_range)
        z = points[..., 2:] * (self.pc_range[5] - self.pc_range[2]) + self.pc_range[2]
        return jnp.concatenate([xy, codes[..., 2:4], z, codes[..., 5:]], axis=-1)

    def interact(self, state, positions, lines: MapOutput, keys_agents, keys_map) -> Float[Array, "B A K D2"]:
        """Motion features: after attending to all agents' motions, and after attending to the map as well."""
        batch, agents, width = state.shape
        queries = state[:, :, None] + self.mode_queries[...]
        modes = queries.shape[2]
        queries = queries.reshape(batch, agents * modes, width)
        placed = jnp.repeat(self.position(positions), modes, axis=1)
        queries = self.agents(queries, placed, queries, placed, keys_agents).reshape(batch, agents, modes, width)
        return jnp.concatenate([queries, self.map(queries, positions, lines, keys_map)], axis=-1)
