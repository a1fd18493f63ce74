"""The heads on the LLM's last-layer states: ego path and agent futures (D5), masked and future BEV (D7, D9).

All read float32 states, whatever the LLM's dtype, and work at the student's width D. Lower-case axes: e, a, g LLM
positions of the ego, the agents and the BEV (cells of the grid of BEV queries).
Decisions: docs/decisions.md#d5, #d7, #d9.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from dima_jax.teacher.scene_adapter import Attention, PositionCode


class EgoHead(nnx.Module):
    """LLM states at ego positions to the teacher's ego feature and one path for each command (D5).

    The mean of the states goes through a Linear to the width 2D of the student's ego feature, then through an ego
    decoder like VAD's: Linear, ReLU, Linear, ReLU, Linear. The input of the last Linear is the ego feature, which is
    distilled into the student's (D6).
    """

    def __init__(self, llm_width: int, width: int, *, num_commands: int, num_future: int, rngs: nnx.Rngs):
        self.shape = (num_commands, num_future, 2)
        self.project = nnx.Linear(llm_width, 2 * width, rngs=rngs)
        self.decoder = nnx.List([nnx.Linear(2 * width, 2 * width, rngs=rngs) for _ in range(2)])
        self.out = nnx.Linear(2 * width, num_commands * num_future * 2, rngs=rngs)

    def __call__(self, states: Float[Array, "B e E"]) -> tuple[Float[Array, "B D2"], Float[Array, "B R F 2"]]:
        """(ego feature, ego offsets in meters per step of 0.5 s)."""
        feature = self.project(states.mean(axis=1))
        for linear in self.decoder:
            feature = jax.nn.relu(linear(feature))
        return feature, self.plan(feature)

    def plan(self, feature: Float[Array, "B D2"]) -> Float[Array, "B R F 2"]:
        """Ego offsets in meters per step from an ego feature: this head's own, or the maximum that `dual.py` forms."""
        return self.out(feature).reshape(-1, *self.shape)


class AgentFutureHead(nnx.Module):
    """One future for each of the student's agent queries, from the LLM states at agent positions (D5).

    The adapter compresses all agents into a few LLM inputs, so no LLM state belongs to one agent. Each agent token, with
    its position code, therefore attends to the LLM states, and an MLP predicts the agent's future from the result.
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
        """Offsets in meters per step of 0.5 s, in the order of `agents`.

        agents, positions: the student's agent tokens and their centers, normalized to [0, 1] by pc_range.
        """
        keys = self.state_norm(self.states(states))
        x = self.token_norm(agents)
        x = self.norm(x + self.attn(x + self.position(positions), keys, keys))
        offsets = self.out(jax.nn.relu(self.hidden(x)))
        return offsets.reshape(*agents.shape[:2], -1, 2)


class BevHead(nnx.Module):
    """One vector for each BEV cell from the LLM state at its position: three Linears with ReLU between (D7, D9)."""

    def __init__(self, llm_width: int, width: int, *, rngs: nnx.Rngs):
        self.layers = nnx.List([nnx.Linear(size, width, rngs=rngs) for size in (llm_width, width, width)])

    def __call__(self, states: Float[Array, "B g E"]) -> Float[Array, "B g D"]:
        """The predicted BEV vector of each cell, to be compared with the targets of `losses/surrogate.py`."""
        first, second, last = self.layers
        return last(jax.nn.relu(second(jax.nn.relu(first(states)))))


def draw_mask(key: Array, batch: int, cells: int, ratio: tuple[float, float]) -> Bool[Array, "B g"]:
    """BEV cells to mask (D7): round(r * cells) cells of each sample, drawn without replacement.

    r is drawn for each sample, uniformly in `ratio` (least, largest).
    """
    ratio_key, cell_key = jax.random.split(key)
    share = jax.random.uniform(ratio_key, (batch, 1), minval=ratio[0], maxval=ratio[1])
    noise = jax.random.uniform(cell_key, (batch, cells))
    rank = jnp.argsort(jnp.argsort(noise, axis=1), axis=1)
    return rank < jnp.round(share * cells)
