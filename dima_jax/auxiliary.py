"""Heads that exist in training only, so that a student learns to see from few images (config group `auxiliary`).

A planner's queries learn slowly: until the features tell a car from the road, the matching of queries to agents is
arbitrary, and nothing else supervises the features. These heads give every cell and every agent a signal from the first
step on. None of them is in the student, so what ships and what it costs stay the same:

    image                     classes and depth of every cell of the image features
    bev                       occupancy by class, and a raster of the map, of every BEV cell
    agent_groups, map_groups  further groups of queries for the two decoders, each matched on its own (Group DETR, Chen
                              et al., ICCV 2023)
    facts                     what questions ask about (`data/facts.py`), from the scene tokens that a teacher's LLM
                              reads: the same labels without an LLM

Losses: `losses/auxiliary.py`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from dima_jax import geometry
from dima_jax.constants import AGENT_CLASSES, MAP_CLASSES, NUM_FACTS
from dima_jax.student.layers import (
    PRIOR_BIAS,
    AttentionBlock,
    InitRngs,
    Mlp,
    Rngs,
    embedding,
    layer_norm,
    linear,
    zeros,
)
from dima_jax.types import AuxiliaryOutput, QueryGroups, SceneTokens

NUM_CLASSES = len(AGENT_CLASSES) + len(MAP_CLASSES)  # of a cell: agents first
MEAN_LOG_DEPTH = 2.5  # 12 m, where the depth of a cell starts
FACT_GRID = (16, 8)  # rows, columns at most of the BEV as facts are read from it; each of its cells is a mean


class AuxiliaryHeads(nnx.Module):
    """Arguments: the group `auxiliary` of `configs/base.py`, and sizes of the student."""

    def __init__(
        self,
        *,
        image: bool,
        bev: bool,
        agent_groups: int,
        map_groups: int,
        facts: bool,
        width: int,
        ffn_width: int,
        num_heads: int,
        bev_shape: Sequence[int],
        num_agents: int,
        num_map: int,
        rngs: Rngs,
    ):
        prior = nnx.initializers.constant(PRIOR_BIAS)
        self.image = linear(width, NUM_CLASSES, rngs, bias_init=prior) if image else None
        self.depth = linear(width, 1, rngs) if image else None
        self.bev = Mlp((width, width, NUM_CLASSES), rngs, last_bias=prior) if bev else None
        self.agent_queries = embedding(agent_groups * num_agents, 2 * width, rngs) if agent_groups else None
        self.line_queries = embedding(map_groups * num_map, 2 * width, rngs) if map_groups else None
        self.facts = FactHead(width, ffn_width, num_heads, bev_shape, rngs) if facts else None

    def more_queries(self) -> QueryGroups:
        """The further groups of queries of each decoder; None where there are none."""
        return QueryGroups(
            agents=None if self.agent_queries is None else self.agent_queries[...],
            map=None if self.line_queries is None else self.line_queries[...],
        )

    @jax.named_scope("heads")
    def __call__(self, features: list[Float[Array, "B N _ _ D"]], tokens: SceneTokens) -> AuxiliaryOutput:
        """features: pyramid levels of the images, finest first; none in vector mode."""
        return AuxiliaryOutput(
            image_logits=[self.image(level) for level in features] if self.image else None,
            image_depths=[self.depth(level)[..., 0] + MEAN_LOG_DEPTH for level in features] if self.depth else None,
            bev_logits=self.bev(tokens.bev) if self.bev else None,
            fact_logits=self.facts(tokens) if self.facts else None,
        )


class FactHead(nnx.Module):
    """Scene tokens to a logit for each fact: one query for each reads the tokens by attention (VAD's layer, no dropout)."""

    def __init__(self, width: int, ffn_width: int, num_heads: int, bev_shape: Sequence[int], rngs: Rngs):
        self.bev_shape = tuple(bev_shape)
        self.queries = embedding(NUM_FACTS, width, rngs)
        self.position = Mlp((2, width, width), rngs)
        self.kinds = embedding(4, width, rngs)
        self.norm = layer_norm(width, rngs)
        self.read = AttentionBlock(width, ffn_width, num_heads, 0.0, rngs)
        self.weights = embedding(NUM_FACTS, width, rngs, zeros)
        self.bias = embedding(NUM_FACTS, 1, rngs, zeros)

    def __call__(self, tokens: SceneTokens) -> Float[Array, "B f"]:
        size, width = len(tokens.ego), tokens.ego.shape[-1]
        grid = tuple(min(pair) for pair in zip(self.bev_shape, FACT_GRID, strict=True))
        bev = tokens.bev.reshape(size, *self.bev_shape, width)
        bev = jax.image.resize(bev, (size, *grid, width), "linear").reshape(size, -1, width)
        cells = jnp.broadcast_to(geometry.cell_centers(grid), (*bev.shape[:2], 2))
        center = jnp.full((size, 1, 2), 0.5)
        parts = (
            (tokens.ego, center),
            (tokens.agents, tokens.agent_positions),
            (tokens.map, tokens.map_positions),
            (bev, cells),
        )
        keys = jnp.concatenate([self.norm(part) for part, _ in parts], axis=1)
        codes = [self.position(place) + kind for (_, place), kind in zip(parts, self.kinds[...], strict=True)]
        queries = jnp.broadcast_to(self.queries[...], (size, NUM_FACTS, width))
        found = self.read(queries, jnp.zeros_like(queries), keys, jnp.concatenate(codes, axis=1))
        return (found * self.weights[...]).sum(-1) + self.bias[..., 0]


def build_auxiliary(config: ConfigDict, rngs: nnx.Rngs) -> AuxiliaryHeads | None:
    """The heads of a whole config; None if all are off."""
    group, student = config.auxiliary, config.student
    if not any(group.values()):
        return None
    names = ("width", "ffn_width", "num_heads", "bev_shape", "num_agents", "num_map")
    sizes = {name: student[name] for name in names}
    return AuxiliaryHeads(**group, **sizes, rngs=InitRngs(rngs.params()))
