"""The heads on the LLM's last-layer states: ego path, agent futures, and the BEV tasks (D5, D7, D9).

All read float32 states, whatever the LLM's dtype, and work at the student's width.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from dima_jax.teacher.scene_adapter import Attention, PositionCode


class EgoHead(nnx.Module):
    """LLM states at ego positions to the teacher ego feature and the path of each command (D5).

    Mean of the states, Linear to the student's ego width 2D, then VAD's ego decoder: Linear, ReLU, Linear, ReLU, and a
    last Linear to offsets. The feature that is distilled enters the last Linear, as on the student's side (D6).
    """

    def __init__(self, llm_width: int, width: int, *, num_commands: int, num_future: int, rngs: nnx.Rngs):
        self.shape = (num_commands, num_future, 2)
        self.project = nnx.Linear(llm_width, 2 * width, rngs=rngs)
        self.decoder = nnx.List([nnx.Linear(2 * width, 2 * width, rngs=rngs) for _ in range(2)])
        self.out = nnx.Linear(2 * width, num_commands * num_future * 2, rngs=rngs)

    def __call__(self, states: Float[Array, "B e E"]) -> tuple[Float[Array, "B D2"], Float[Array, "B R F 2"]]:
        """(teacher ego feature, ego offsets in meters per step)."""
        feature = self.project(states.mean(axis=1))
        for linear in self.decoder:
            feature = jax.nn.relu(linear(feature))
        return feature, self.plan(feature)

    def plan(self, feature: Float[Array, "B D2"]) -> Float[Array, "B R F 2"]:
        """Offsets from an ego feature: this head's, or one fused with the student's (`dual.py`)."""
        return self.out(feature).reshape(-1, *self.shape)


class AgentFutureHead(nnx.Module):
    """One future for each of the student's agents, from LLM states at agent positions (D5).

    The LLM sees a few compressed agent inputs, not one for each agent; so each agent token, with its place, looks up the
    LLM's states by cross-attention, and an MLP reads the answer. Row a belongs to the student's agent query a.
    """

    def __init__(self, llm_width: int, width: int, heads: int, *, num_future: int, rngs: nnx.Rngs):
        self.states = nnx.Linear(llm_width, width, rngs=rngs)
        self.state_norm = nnx.LayerNorm(width, rngs=rngs)
        self.position = PositionCode(width, rngs=rngs)
        self.token_norm = nnx.LayerNorm(width, rngs=rngs)
        self.attn = Attention(width, heads, rngs=rngs)
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.hidden = nnx.Linear(width, 2 * width, rngs=rngs)
        self.out = nnx.Linear(2 * width, num_future * 2, rngs=rngs)

    def __call__(
        self, states: Float[Array, "B a E"], agents: Float[Array, "B A D"], positions: Float[Array, "B A 2"]
    ) -> Float[Array, "B A F 2"]:
        """Offsets in meters per step."""
        keys = self.state_norm(self.states(states))
        x = self.token_norm(agents)
        x = self.norm(x + self.attn(x + self.position(positions), keys, keys))
        offsets = self.out(jax.nn.relu(self.hidden(x)))
        return offsets.reshape(*agents.shape[:2], -1, 2)


class BevHead(nnx.Module):
    """LLM states at BEV positions to one vector per cell: three Linears with ReLU between (dima-paper 1)."""

    def __init__(self, llm_width: int, width: int, *, rngs: nnx.Rngs):
        self.layers = nnx.List([nnx.Linear(size, width, rngs=rngs) for size in (llm_width, width, width)])

    def __call__(self, states: Float[Array, "B g E"]) -> Float[Array, "B g D"]:
        first, second, last = self.layers
        return last(jax.nn.relu(second(jax.nn.relu(first(states)))))


def draw_mask(key: Array, batch: int, cells: int, ratio: tuple[float, float]) -> Bool[Array, "B g"]:
    """Cells to mask (D7): of each sample round(r * cells), r uniform in `ratio`, drawn without replacement."""
    ratio_key, cell_key = jax.random.split(key)
    share = jax.random.uniform(ratio_key, (batch, 1), minval=ratio[0], maxval=ratio[1])
    noise = jax.random.uniform(cell_key, (batch, cells))
    rank = jnp.argsort(jnp.argsort(noise, axis=1), axis=1)
    return rank < jnp.round(share * cells)
