"""The scene adapter: a fixed number of LLM inputs for each of the BEV, ego, agent and map tokens (decision D2).

One Q-Former per token type: learned queries pass through layers of self-attention among the queries, cross-attention to
the tokens, and an MLP, at the student's width; a Linear maps them to the LLM's width. Tokens carry a code of their
position (BEV cell, agent center, map point). There is one BEV query for each cell of `bev_grid`, with the position code
of its cell, so that it can find its own part of the BEV; the surrogate tasks ask about exactly that part (D7, D9).

Axis letters besides those of `types.py`: q queries of a Q-Former and n its tokens; e, a, g, m LLM inputs for ego, agents,
BEV (cells of `bev_grid`) and map. Positions (x, y) are normalized to [0, 1] by pc_range.
Decision: docs/decisions.md#d2. Source of the Q-Former: Li et al., BLIP-2 (arXiv 2301.12597), section 3.1.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from dima_jax.can_bus_scale import CAN_BUS_SCALE, scaled
from dima_jax.constants import COMMANDS
from dima_jax.scan_layers import scan_layers, stack_layers
from dima_jax.types import SceneTokens

FREQUENCIES = 8  # of the position code; half wavelengths from 1 down to 1/128 of the scene, each half of the one before


class Attention(nnx.Module):
    """Multi-head attention at one width. Position codes are added to queries and keys by the caller.

    ValueError if `heads` does not divide `width`.
    """

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        if width % heads:
            raise ValueError(f"{heads} heads do not divide the width {width}")
        self.heads = heads
        self.q, self.k, self.v, self.o = (nnx.Linear(width, width, rngs=rngs) for _ in "qkvo")

    def __call__(
        self,
        query: Float[Array, "B q D"],
        key: Float[Array, "B n D"],
        value: Float[Array, "B n D"],
        mask: Bool[Array, "B n"] | None = None,
    ) -> Float[Array, "B q D"]:
        """mask: True for keys that may be attended to; None for all."""

        def split_heads(x):
            return x.reshape(*x.shape[:2], self.heads, x.shape[-1] // self.heads)

        q, k, v = split_heads(self.q(query)), split_heads(self.k(key)), split_heads(self.v(value))
        allowed = None if mask is None else mask[:, None, None, :]
        return self.o(jax.nn.dot_product_attention(q, k, v, mask=allowed).reshape(query.shape))


class PositionCode(nnx.Module):
    """Positions (x, y) in [0, 1] to vectors: sines and cosines of FREQUENCIES frequencies, then a Linear."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.linear = nnx.Linear(4 * FREQUENCIES, width, rngs=rngs)

    def __call__(self, xy: Float[Array, "*n 2"]) -> Float[Array, "*n D"]:
        angles = xy[..., None] * (jnp.pi * 2.0 ** jnp.arange(FREQUENCIES))
        angles = angles.reshape(*xy.shape[:-1], 2 * FREQUENCIES)
        return self.linear(jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1))


class QFormerLayer(nnx.Module):
    """One pre-norm layer: self-attention of the queries, cross-attention to the tokens, MLP."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.self_norm, self.cross_norm, self.mlp_norm = (nnx.LayerNorm(width, rngs=rngs) for _ in range(3))
        self.self_attn = Attention(width, heads, rngs=rngs)
        self.cross_attn = Attention(width, heads, rngs=rngs)
        self.expand = nnx.Linear(width, 4 * width, rngs=rngs)
        self.contract = nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "B q D"],
        query_code: Float[Array, "#q D"],
        tokens: Float[Array, "B n D"],
        token_code: Float[Array, "#B n D"],
        mask: Bool[Array, "B n"] | None,
    ) -> Float[Array, "B q D"]:
        """x: states of the queries. query_code, token_code: position codes. mask: True for tokens that exist."""
        normed = self.self_norm(x)
        x = x + self.self_attn(normed + query_code, normed + query_code, normed)
        x = x + self.cross_attn(self.cross_norm(x) + query_code, tokens + token_code, tokens, mask)
        return x + self.contract(jax.nn.gelu(self.expand(self.mlp_norm(x))))


class QFormer(nnx.Module):
    """A set of tokens [B, n, D] to `num_queries` LLM inputs [B, num_queries, E]."""

    def __init__(self, *, width: int, llm_width: int, layers: int, heads: int, num_queries: int, rngs: nnx.Rngs):
        self.queries = nnx.Param(0.02 * jax.random.normal(rngs.params(), (num_queries, width)))
        self.position = PositionCode(width, rngs=rngs)
        self.token_norm = nnx.LayerNorm(width, rngs=rngs)
        self.layers = stack_layers([QFormerLayer(width, heads, rngs=rngs) for _ in range(layers)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.out = nnx.Linear(width, llm_width, rngs=rngs)

    def __call__(
        self,
        tokens: Float[Array, "B n D"],
        positions: Float[Array, "#B n 2"],
        query_positions: Float[Array, "q 2"] | None = None,
        mask: Bool[Array, "B n"] | None = None,
    ) -> Float[Array, "B q E"]:
        """positions: of the tokens. query_positions: of the queries; None adds no position code to them.

        mask: True for tokens that exist; None for all.
        """
        x = jnp.broadcast_to(self.queries[...], (tokens.shape[0], *self.queries.shape))
        query_code = jnp.zeros((1, x.shape[-1])) if query_positions is None else self.position(query_positions)
        token_code = self.position(positions)
        tokens = self.token_norm(tokens)
        x, _ = scan_layers(lambda x, layer, _: (layer(x, query_code, tokens, token_code, mask), None), x, self.layers)
        return self.out(self.norm(x))


class EgoStatus(nnx.Module):
    """CAN bus and command to one vector: two Linears with ReLU between, of numbers that `can_bus_scale` scales."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(len(CAN_BUS_SCALE) + len(COMMANDS), width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, can_bus: Float[Array, "B 18"], command: Float[Array, "B 3"]) -> Float[Array, "B D"]:
        """can_bus, command: as in `types.Frame`."""
        return self.out(jax.nn.relu(self.hidden(jnp.concatenate([scaled(can_bus), command], axis=-1))))


class SceneAdapter(nnx.Module):
    """The four Q-Formers, and the learned token that replaces masked BEV tokens (D7).

    width, llm_width: of the student's tokens and of the LLM. layers, heads: of each Q-Former.
    bev_shape, bev_grid: (rows, columns) of the BEV and of its grid of queries. ego_status: the ego token, which is the
    same in every scene, carries CAN bus and command too.
    ValueError if the grid is finer than the BEV.
    """

    def __init__(
        self,
        *,
        width: int,
        llm_width: int,
        layers: int,
        heads: int,
        bev_shape: Sequence[int],
        bev_grid: Sequence[int],
        agent_queries: int,
        map_queries: int,
        ego_queries: int,
        ego_status: bool,
        rngs: nnx.Rngs,
    ):
        self.bev_shape, self.bev_grid = tuple(bev_shape), tuple(bev_grid)
        if self.bev_grid[0] > self.bev_shape[0] or self.bev_grid[1] > self.bev_shape[1]:
            raise ValueError(f"bev_grid {self.bev_grid} is finer than the BEV {self.bev_shape}")

        def q_former(num_queries):
            return QFormer(
                width=width, llm_width=llm_width, layers=layers, heads=heads, num_queries=num_queries, rngs=rngs
            )

        self.bev = q_former(self.bev_grid[0] * self.bev_grid[1])
        self.ego, self.agents, self.map = q_former(ego_queries), q_former(agent_queries), q_former(map_queries)
        self.mask_token = nnx.Param(0.02 * jax.random.normal(rngs.params(), (width,)))
        self.ego_status = EgoStatus(width, rngs=rngs) if ego_status else None

    def read_bev(self, bev: Float[Array, "B YX D"], masked: Bool[Array, "B g"]) -> Float[Array, "B g E"]:
        """LLM inputs for the BEV, one for each cell of `bev_grid`.

        masked: cells whose BEV tokens are all replaced by the mask token before the Q-Former.
        """
        hidden = masked[:, bev_cells(self.bev_shape, self.bev_grid)]
        bev = jnp.where(hidden[..., None], self.mask_token[...].astype(bev.dtype), bev)
        return self.bev(bev, cell_centers(self.bev_shape)[None], cell_centers(self.bev_grid))

    def read_ego(self, tokens: SceneTokens) -> Float[Array, "B e E"]:
        """LLM inputs for the ego token, whose position is the center of pc_range.

        ValueError if CAN bus and command are to be read and the tokens have none.
        """
        ego = tokens.ego
        if self.ego_status is not None:
            if tokens.can_bus is None:
                raise ValueError("teacher.adapter.ego_status=True needs scene tokens with can_bus and command")
            ego = ego + self.ego_status(tokens.can_bus, tokens.command)[:, None]
        return self.ego(ego, jnp.full((1, 1, 2), 0.5))

    def read_agents(
        self,
        agents: Float[Array, "B A D"],
        positions: Float[Array, "B A 2"],
        mask: Bool[Array, "B A"] | None = None,
    ) -> Float[Array, "B a E"]:
        """LLM inputs for agent tokens at these positions. mask: True for agents that exist; None for all."""
        return self.agents(agents, positions, mask=mask)

    def read_map(self, tokens: SceneTokens) -> Float[Array, "B m E"]:
        """LLM inputs for the map tokens."""
        return self.map(tokens.map, tokens.map_positions)


def cell_centers(shape: tuple[int, int]) -> Float[Array, "n 2"]:
    """Centers (x, y) in [0, 1] of the cells of a row-major grid of shape (rows, columns)."""
    rows, columns = shape
    y, x = jnp.meshgrid((jnp.arange(rows) + 0.5) / rows, (jnp.arange(columns) + 0.5) / columns, indexing="ij")
    return jnp.stack([x, y], axis=-1).reshape(-1, 2)


def bev_cells(bev_shape: tuple[int, int], grid: tuple[int, int]) -> Int[Array, " YX"]:
    """Row-major index of the cell of `grid` (rows, columns) that each BEV token belongs to."""
    row = jnp.arange(bev_shape[0]) * grid[0] // bev_shape[0]
    column = jnp.arange(bev_shape[1]) * grid[1] // bev_shape[1]
    return (row[:, None] * grid[1] + column[None, :]).reshape(-1)
