"""Other road users: boxes from the BEV, then K future motions each, from the other agents and the nearby map.

VAD_head.py (agent and motion part; docs/vad.md#agent-head). The A x K motion queries are ordered by agent, then mode.
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
    Mlp,
    Rngs,
    embedding,
    linear,
    split_dropout_keys,
    xavier,
    zeros,
)
from dima_jax.student.map_head import MapOutput
from dima_jax.student.query_decoder import QueryDecoder, apply_per_layer, split_groups, split_position_and_query

CENTER = (0, 1, 4)  # cx, cy, cz in the box code


class AgentOutput(NamedTuple):
    """Raw predictions (see `types.StudentOutput`), tokens, and positions in [0, 1], which have no gradient.

    more_*: of further groups of queries (training), every layer of one group after the other along the first axis.
    """

    logits: Float[Array, "Za B A 10"]
    codes: Float[Array, "Za B A 10"]
    future_offsets: Float[Array, "B A K F 2"]
    mode_logits: Float[Array, "B A K"]
    tokens: Float[Array, "B A D"]
    positions: Float[Array, "B A 2"]
    more_logits: Float[Array, "gZa B A 10"] | None = None
    more_codes: Float[Array, "gZa B A 10"] | None = None


class MapInteraction(nnx.Module):
    """Every motion query attends to the confident map lines near its agent (VAD's `motion_map_decoder`).

    score_threshold, distance_threshold: `map_score_threshold` and `map_distance_threshold` of `configs/base.py`.

    A key of VAD is Wk(line token + position(line position - agent position)), one for each of A x M pairs. The position
    layer is linear in two numbers, so the scores split into those of M line keys and a rank-2 term in the relative
    position: the same scores without the A x M keys.
    """

    def __init__(
        self,
        width: int,
        ffn_width: int,
        num_heads: int,
        dropout_rate: float,
        score_threshold: float,
        distance_threshold: float,
        rngs: Rngs,
    ):
        self.score_threshold, self.distance_threshold = score_threshold, distance_threshold
        self.position = linear(2, width, rngs, xavier, zeros)
        self.block = AttentionBlock(width, ffn_width, num_heads, dropout_rate, rngs)

    def __call__(
        self,
        query: Float[Array, "B A K D"],
        positions: Float[Array, "B A 2"],
        lines: MapOutput,
        dropout_keys: jax.Array | None = None,
    ) -> Float[Array, "B A K D"]:
        """Attends to lines with score > score_threshold within distance_threshold (normalized units, quirk Q5).

        One more key can always be attended to, so that no query is without: a zero token at relative position (1, 1).
        """
        attn, keys_attn, keys_ffn = self.block.attn, *split_dropout_keys(dropout_keys, 2)
        batch, agents, modes, width = query.shape
        relative = lines.positions[:, None] - positions[:, :, None]  # B A M 2
        confident = jax.nn.sigmoid(lines.logits[-1]).max(axis=-1) > self.score_threshold
        near = jnp.sqrt((relative**2).sum(axis=-1)) <= self.distance_threshold
        mask = jnp.pad(confident[:, None] & near, ((0, 0), (0, 0), (0, 1)), constant_values=True)
        relative = jnp.pad(relative, ((0, 0), (0, 0), (0, 1), (0, 0)), constant_values=1.0)
        tokens = jnp.pad(lines.tokens, ((0, 0), (0, 1), (0, 0)))

        q = attn.split_heads(attn.q(query + self.position.bias[...])) * (width // attn.num_heads) ** -0.5  # B A K h d
        k = attn.split_heads(attn.k(tokens + self.position.bias[...]))  # B M h d
        k_of_xy = attn.split_heads(self.position.kernel[...] @ attn.k.kernel[...])  # 2 h d
        scores = jnp.einsum("bakhd,bmhd->bhakm", q, k, preferred_element_type=jnp.float32)
        q_of_xy = jnp.einsum("bakhd,jhd->bhakj", q, k_of_xy)
        scores += jnp.einsum("bhakj,bamj->bhakm", q_of_xy, relative)
        scores = jnp.where(mask[:, None, :, None], scores, -jnp.inf)

        scores = scores.reshape(batch, attn.num_heads, agents * modes, -1)
        attended = attn.attend(scores, attn.split_heads(attn.v(tokens)), keys_attn)
        return self.block.add_and_norm(query.reshape(batch, -1, width), attended, keys_ffn).reshape(query.shape)


class Motion(NamedTuple):
    """The motions of A agents (see `types.StudentOutput`), and their tokens."""

    future_offsets: Float[Array, "B A K F 2"]
    mode_logits: Float[Array, "B A K"]
    tokens: Float[Array, "B A D"]


class MotionHead(nnx.Module):
    """K motions of each agent, from the agents' states and the map. Arguments: `configs/base.py`."""

    def __init__(
        self,
        *,
        width: int,
        ffn_width: int,
        num_heads: int,
        dropout: float,
        num_modes: int,
        num_future: int,
        map_score_threshold: float,
        map_distance_threshold: float,
        rngs: Rngs,
    ):
        self.num_future = num_future
        self.mode_queries = embedding(num_modes, width, rngs, nnx.initializers.orthogonal())
        self.position = linear(2, width, rngs, xavier, zeros, dtype=jnp.float32)
        self.agents = AttentionBlock(width, ffn_width, num_heads, dropout, rngs)
        thresholds = (map_score_threshold, map_distance_threshold)
        self.map = MapInteraction(width, ffn_width, num_heads, dropout, *thresholds, rngs)
        motion_width = 2 * width
        self.motion = Mlp((motion_width, motion_width, motion_width, num_future * 2), rngs)
        prior = nnx.initializers.constant(PRIOR_BIAS)
        self.modes = Mlp((motion_width, motion_width, motion_width, 1), rngs, norm=True, last_bias=prior)
        self.token = Mlp((num_modes * motion_width, width, width), rngs, norm=True)

    def predict_motion(
        self,
        states: Float[Array, "B A D"],
        positions: Float[Array, "B A 2"],
        lines: MapOutput,
        keys_agents: jax.Array | None,
        keys_map: jax.Array | None,
    ) -> Motion:
        """states, positions (in [0, 1]): of the agents. lines: the last layer's are read."""
        motion = self.motion_features(states, positions, lines, keys_agents, keys_map)
        offsets = self.motion(motion)
        return Motion(
            future_offsets=offsets.reshape(*offsets.shape[:-1], self.num_future, 2),
            mode_logits=self.modes(motion)[..., 0],
            tokens=self.token(motion.reshape(*motion.shape[:2], -1)),
        )

    def motion_features(
        self,
        states: Float[Array, "B A D"],
        positions: Float[Array, "B A 2"],
        lines: MapOutput,
        keys_agents: jax.Array | None,
        keys_map: jax.Array | None,
    ) -> Float[Array, "B A K D2"]:
        """The motion queries after attention to all agents' motions (first D), and then to the map (second D)."""
        batch, agents, width = states.shape
        queries = states[:, :, None] + self.mode_queries[...]
        modes = queries.shape[2]
        queries = queries.reshape(batch, agents * modes, width)
        pos = jnp.repeat(self.position(positions), modes, axis=1)
        queries = self.agents(queries, pos, queries, pos, keys_agents).reshape(batch, agents, modes, width)
        return jnp.concatenate([queries, self.map(queries, positions, lines, keys_map)], axis=-1)


class AgentHead(MotionHead):
    """Decodes A agents and their motion.

    num_classes: `constants.AGENT_CLASSES`. The other arguments are those of `configs/base.py`.
    """

    def __init__(
        self,
        *,
        width: int,
        ffn_width: int,
        num_heads: int,
        dropout: float,
        decoder_layers: int,
        num_agents: int,
        num_modes: int,
        num_future: int,
        num_classes: int,
        pc_range: tuple[float, ...],
        map_score_threshold: float,
        map_distance_threshold: float,
        rngs: Rngs,
    ):
        self.pc_range = pc_range
        self.queries = embedding(num_agents, 2 * width, rngs)
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
        super().__init__(
            width=width,
            ffn_width=ffn_width,
            num_heads=num_heads,
            dropout=dropout,
            num_modes=num_modes,
            num_future=num_future,
            map_score_threshold=map_score_threshold,
            map_distance_threshold=map_distance_threshold,
            rngs=rngs,
        )

    def __call__(
        self,
        bev: Float[Array, "B YX D"],
        bev_shape: tuple[int, int],
        lines: MapOutput,
        dropout_keys: jax.Array | None = None,
        *,
        more_queries: Float[Array, "gA D2"] | None = None,
    ) -> AgentOutput:
        """more_queries: further groups of A agent queries, in training (`auxiliary.py`). They have no motion."""
        keys_decoder, keys_agents, keys_map = split_dropout_keys(dropout_keys, 3)
        queries = self.queries[...]
        num_agents = len(queries)
        if more_queries is not None:
            queries = jnp.concatenate([queries, more_queries])
        query_pos, query = split_position_and_query(jnp.broadcast_to(queries, (bev.shape[0], *queries.shape)))
        groups = len(queries) // num_agents
        decoded = self.decoder(query, query_pos, bev, bev_shape, keys_decoder, groups=groups)
        logits, more_logits = split_groups(apply_per_layer(self.classes, decoded.states), num_agents)
        codes, more_codes = split_groups(self.codes_in_meters(decoded.codes, decoded.references), num_agents)
        positions = jax.lax.stop_gradient(decoded.references[-1, :, :num_agents, :2])
        states = decoded.states[-1, :, :num_agents]
        motion = self.predict_motion(states, positions, lines, keys_agents, keys_map)
        return AgentOutput(
            logits=logits,
            codes=codes,
            **motion._asdict(),
            positions=positions,
            more_logits=more_logits,
            more_codes=more_codes,
        )

    def codes_in_meters(
        self, codes: Float[Array, "Za B A 10"], references: Float[Array, "Za B A 3"]
    ) -> Float[Array, "Za B A 10"]:
        """Codes whose center is the refined reference point (x, y, z in [0, 1]), in meters."""
        xy = denormalize_xy(references[..., :2], self.pc_range)
        z = references[..., 2:] * (self.pc_range[5] - self.pc_range[2]) + self.pc_range[2]
        return jnp.concatenate([xy, codes[..., 2:4], z, codes[..., 5:]], axis=-1)
