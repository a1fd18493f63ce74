"""The planner: a learned ego query attends to the agents, then to the map, and a plan is made for every command.

VAD_head.py (planner part; docs/vad.md#planner). Quirk Q5: the ego's position is taken as (0, 0) of the normalized BEV,
which is its corner behind on the left, not the ego's place (0.5, 0.5).
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from dima_jax.student.layers import AttentionBlock, Mlp, Rngs, embedding, linear, split_dropout_keys
from dima_jax.types import SceneTokens


class Planner(nnx.Module):
    """Scene tokens to the ego's offsets for every command. Arguments: `configs/base.py`."""

    def __init__(
        self,
        *,
        width: int,
        ffn_width: int,
        num_heads: int,
        dropout: float,
        num_commands: int,
        num_future: int,
        rngs: Rngs,
    ):
        self.shape = (num_commands, num_future, 2)
        self.ego_query = embedding(1, width, rngs)
        self.agent_position = linear(2, width, rngs, dtype=jnp.float32)
        self.map_position = linear(2, width, rngs, dtype=jnp.float32)
        self.ego_agent = AttentionBlock(width, ffn_width, num_heads, dropout, rngs)
        self.ego_map = AttentionBlock(width, ffn_width, num_heads, dropout, rngs)
        feature_width = 2 * width
        widths = (feature_width, feature_width, feature_width, num_commands * num_future * 2)
        self.waypoints = Mlp(widths, rngs, dtype=jnp.float32)  # one query a sample: costs nothing

    def __call__(
        self, tokens: SceneTokens, dropout_keys: jax.Array | None = None
    ) -> tuple[Float[Array, "B R F 2"], Float[Array, "B D2"]]:
        """(offsets in meters per step, the ego feature: the input of the last Linear)."""
        keys_agent, keys_map = split_dropout_keys(dropout_keys, 2)
        corner = jnp.zeros((1, 1, 2))
        agent_pos = self.agent_position(tokens.agent_positions)
        ego_agent = self.ego_agent(tokens.ego, self.agent_position(corner), tokens.agents, agent_pos, keys_agent)
        map_pos = self.map_position(tokens.map_positions)
        ego_map = self.ego_map(ego_agent, self.map_position(corner), tokens.map, map_pos, keys_map)
        feature = self.waypoints.features(jnp.concatenate([ego_agent, ego_map], axis=-1)[:, 0])
        return self.plan(feature), feature

    def plan(self, feature: Float[Array, "B D2"]) -> Float[Array, "B R F 2"]:
        """Offsets from an ego feature: this planner's own, or one fused with the teacher's (`dual.py`)."""
        return self.waypoints.last(feature).reshape(-1, *self.shape)
