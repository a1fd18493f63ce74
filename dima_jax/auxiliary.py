"""Heads that exist in training only, so that a student learns to see from few images (config group `auxiliary`).

A planner's queries learn slowly: until the features tell a car from the road, the matching of queries to agents is
arbitrary, and nothing else supervises the features. These heads give every cell and every agent a signal from the first
step on. None of them is in the student, so what ships and what it costs stay the same:

    image                     classes and depth of every cell of the image features
    bev                       occupancy by class, and a raster of the map, of every BEV cell
    agent_groups, map_groups  further groups of queries for the two decoders, each matched on its own (Group DETR, Chen
                              et al., ICCV 2023)

Losses: `losses/auxiliary.py`.
"""

import jax
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from dima_jax.constants import AGENT_CLASSES, MAP_CLASSES
from dima_jax.student.layers import PRIOR_BIAS, InitRngs, Mlp, Rngs, embedding, linear
from dima_jax.types import AuxiliaryOutput, QueryGroups

NUM_CLASSES = len(AGENT_CLASSES) + len(MAP_CLASSES)  # of a cell: agents first
MEAN_LOG_DEPTH = 2.5  # 12 m, where the depth of a cell starts


class AuxiliaryHeads(nnx.Module):
    """Arguments: the group `auxiliary` of `configs/base.py`, and sizes of the student."""

    def __init__(
        self,
        *,
        image: bool,
        bev: bool,
        agent_groups: int,
        map_groups: int,
        width: int,
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

    def more_queries(self) -> QueryGroups:
        """The further groups of queries of each decoder; None where there are none."""
        return QueryGroups(
            agents=None if self.agent_queries is None else self.agent_queries[...],
            map=None if self.line_queries is None else self.line_queries[...],
        )

    @jax.named_scope("heads")
    def __call__(self, features: list[Float[Array, "B N _ _ D"]], bev: Float[Array, "B YX D"]) -> AuxiliaryOutput:
        """features: pyramid levels of the images, finest first."""
        return AuxiliaryOutput(
            image_logits=[self.image(level) for level in features] if self.image else None,
            image_depths=[self.depth(level)[..., 0] + MEAN_LOG_DEPTH for level in features] if self.depth else None,
            bev_logits=self.bev(bev) if self.bev else None,
        )


def build_auxiliary(config: ConfigDict, rngs: nnx.Rngs) -> AuxiliaryHeads | None:
    """The heads of a whole config; None if all are off."""
    group, student = config.auxiliary, config.student
    if not any(group.values()):
        return None
    sizes = dict(width=student.width, num_agents=student.num_agents, num_map=student.num_map)
    return AuxiliaryHeads(**group, **sizes, rngs=InitRngs(rngs.params()))
