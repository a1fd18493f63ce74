"""The scene adapter: BEV, ego, agent and map tokens become a fixed number of LLM inputs each (D2, dima-paper 1).

One Q-former per token type: learned queries go twice through self-attention among themselves, cross-attention to the
tokens, and an MLP, at the student's width; a Linear takes them to the LLM's. Tokens carry a code of where they are
(BEV cell, agent center, map point). BEV queries are one per cell of `bev_grid` and carry the code of their cell, so that
a query can find its own part of the BEV; the surrogate tasks ask it about exactly that part (D7, D9).
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from dima_jax.scan_layers import scan_layers, stack_layers
from dima_jax.types import SceneTokens

FREQUENCIES = 8  # octaves of the position code: from one to 1/128 of the scene


class Attention(nnx.Module):
    """Multi-head attention at one width; queries and keys bring their own position codes."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        if width % heads:
            raise ValueError(f"{heads} heads do not divide the width {width}")
        self.heads = heads
        self.q, self.k, self.v, self.o = (nnx.Linear(width, width, rngs=rngs) for _ in "qkvo")

    def __call__(self, query: Float[Array, "B n D"], key, value, mask: Bool[Array, "B m"] | None = None):
        """[B, n, D]. mask: keys that may be seen."""

        def split_heads(x):
            return x.reshape(*x.shape[:2], self.heads, x.shape[-1] // self.heads)

        q, k, v = split_heads(self.q(query)), split_heads(self.k(key)), split_heads(self.v(value))
        allowed = None if mask is None else mask[:, None, None, :]
        return self.o(jax.nn.dot_product_attention(q, k, v, mask=allowed).reshape(query.shape))


class PositionCode(nnx.Module):
    """Positions in [0, 1] to vectors: sines and cosines in octaves, then Linear."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.linear = nnx.Linear(4 * FREQUENCIES, width, rngs=rngs)

    def __call__(self, xy: Float[Array, "*n 2"]) -> Float[Array, "*n D"]:
        angles = xy[..., None] * (jnp.pi * 2.0 ** jnp.arange(FREQUENCIES))
        angles = angles.reshape(*xy.shape[:-1], 2 * FREQUENCIES)
        return self.linear(jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1))


class QFormerLayer(nnx.Module):
    """Pre-norm: self-attention of the queries, cross-attention to the tokens, MLP."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.self_norm, self.cross_norm, self.mlp_norm = (nnx.LayerNorm(width, rngs=rngs) for _ in range(3))
        self.self_attn = Attention(width, heads, rngs=rngs)
        self.cross_attn = Attention(width, heads, rngs=rngs)
        self.expand = nnx.Linear(width, 4 * width, rngs=rngs)
        self.contract = nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(self, x, query_code, tokens, token_code, mask):
        n = self.self_norm(x)
        x = x + self.self_attn(n + query_code, n + query_code, n)
        x = x + self.cross_attn(self.cross_norm(x) + query_code, tokens + token_code, tokens, mask)
        return x + self.contract(jax.nn.gelu(self.expand(self.mlp_norm(x))))


class QFormer(nnx.Module):
    """Any number of tokens [B, n, D] to `num_queries` LLM inputs [B, num_queries, E]."""

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
        """positions, query_positions: in [0, 1] of pc_range; queries without a place have code 0."""
        x = jnp.broadcast_to(self.queries[...], (tokens.shape[0], *self.queries.shape))
        query_code = 0.0 if query_positions is None else self.position(query_positions)
        token_code = self.position(positions)
        tokens = self.token_norm(tokens)
        x, _ = scan_layers(lambda x, layer, _: (layer(x, query_code, tokens, token_code, mask), None), x, self.layers)
        return self.out(self.norm(x))


class SceneAdapter(nnx.Module):
    """The four Q-formers and the learned token that stands for a masked BEV token (D7)."""

    def __init__(
        self,
        *,
        width: int,
        llm_width: int,
        layers: int,
        heads: int,
        bev_shape: tuple[int, int],
        bev_grid: tuple[int, int],
        agent_queries: int,
        map_queries: int,
        ego_queries: int,
        rngs: nnx.Rngs,
    ):
        self.bev_shape, self.bev_grid = tuple(bev_shape), tuple(bev_grid)
        if self.bev_grid[0] > self.bev_shape[0] or self.bev_grid[1] > self.bev_shape[1]:
            raise ValueError(f"bev_grid {self.bev_grid} is finer than the BEV {self.bev_shape}")

        def former(num_queries):
            return QFormer(
                width=width, llm_width=llm_width, layers=layers, heads=heads, num_queries=num_queries, rngs=rngs
            )

        self.bev = former(self.bev_grid[0] * self.bev_grid[1])
        self.ego, self.agents, self.map = former(ego_queries), former(agent_queries), former(map_queries)
        self.mask_token = nnx.Param(0.02 * jax.random.normal(rngs.params(), (width,)))

    def read_bev(self, bev: Float[Array, "B YX D"], masked: Bool[Array, "B g"]) -> Float[Array, "B g E"]:
        """BEV inputs; every token of a masked cell is replaced by the mask token first."""
        hidden = masked[:, bev_cells(self.bev_shape, self.bev_grid)]
        bev = jnp.where(hidden[..., None], self.mask_token[...].astype(bev.dtype), bev)
        return self.bev(bev, cell_centers(self.bev_shape)[None], cell_centers(self.bev_grid))

    def read_ego(self, tokens: SceneTokens) -> Float[Array, "B e E"]:
        """Ego inputs. The ego stands in the middle of pc_range's sides, x and y."""
        return self.ego(tokens.ego, jnp.full((1, 1, 2), 0.5))

    def read_agents(self, agents, positions, mask=None) -> Float[Array, "B a E"]:
        """Agent inputs from agents [B, A, D] at positions [B, A, 2]; mask [B, A]: agents that exist."""
        return self.agents(agents, positions, mask=mask)

    def read_map(self, tokens: SceneTokens) -> Float[Array, "B m E"]:
        return self.map(tokens.map, tokens.map_positions)


def cell_centers(shape: tuple[int, int]) -> Float[Array, "n 2"]:
    """Centers (x, y) in [0, 1] of a row-major grid of (rows, columns)."""
    rows, columns = shape
    y, x = jnp.meshgrid((jnp.arange(rows) + 0.5) / rows, (jnp.arange(columns) + 0.5) / columns, indexing="ij")
    return jnp.stack([x, y], axis=-1).reshape(-1, 2)


def bev_cells(bev_shape: tuple[int, int], grid: tuple[int, int]) -> Array:
    """[YX] index of the grid cell that each BEV token belongs to."""
    row = jnp.arange(bev_shape[0]) * grid[0] // bev_shape[0]
    column = jnp.arange(bev_shape[1]) * grid[1] // bev_shape[1]
    return (row[:, None] * grid[1] + column[None, :]).reshape(-1)
