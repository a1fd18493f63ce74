"""Vector mode: a student whose perception is replaced by what was recorded; from the motion of agents on it is VAD.

    agents -> Mlp -> MotionHead -> agent tokens --+
    lines -> Mlp -> LaneEncoder -> map tokens ----+-> SceneTokens -> Planner -> StudentOutput
    both, in BEV cells -> Linear -> BEV tokens ---+
    CAN bus -> Mlp -> added to the ego query and to every BEV token

It answers as `student.Student` does, so that teacher, losses and scores are the real ones. It tests forms of
distillation, the value of a teacher and the transfer of questions. It cannot test whether a teacher shapes an image
encoder: there is none (docs/evidence.md#vector-mode).

* It is told the present (`noise.py`). Futures of agents come from the motion head. The recorded velocity is nuScenes',
  which takes it from the frames before and after, so half a second of the future is in it; `vector.velocity` tells it.
* `vector.future` makes it the privileged teacher of a positive control (Chen et al., "Learning by Cheating", CoRL 2019):
  an agent's features then hold where it was recorded to go.
* Boxes, lines and their scores are those that it is told, with `SURE` logits: they do not learn. A slot without an agent
  or a line holds a learned token at position (0, 0) and scores nothing, like a query of VAD that finds nothing.
* In VAD the CAN bus is added to the BEV queries, and reaches the plan through the tokens read from the BEV. Here tokens
  are not read from the BEV, so it is added to the ego query, which the planner starts from, and to the BEV tokens for the
  teacher. The command chooses among the plans, as in VAD.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from dima_jax import geometry
from dima_jax.can_bus_scale import CAN_BUS_SCALE, scaled
from dima_jax.constants import AGENT_CLASSES, MAP_CLASSES, STEP_SECONDS
from dima_jax.losses.auxiliary import bev_targets
from dima_jax.student.agent_head import MotionHead
from dima_jax.student.layers import (
    InitRngs,
    Mlp,
    Rngs,
    embedding,
    layer_norm,
    linear,
    make_dropout_keys,
    split_dropout_keys,
)
from dima_jax.student.map_head import LaneEncoder, MapOutput, nearest_to_corner
from dima_jax.student.planner import Planner
from dima_jax.student.precision import computing_in
from dima_jax.types import AgentTargets, Batch, MapTargets, SceneTokens, StudentOutput
from dima_jax.vector.noise import Noise, observe

SURE = 5.0  # logit of the class of an agent or a line that is told; of every other class and slot, -SURE
SPEED_SCALE = 0.1  # of the velocity in an agent's features: 10 m/s is 1


class VectorStudent(nnx.Module):
    """Agents and lines that are told, to tokens and a plan.

    noise, velocity, future: see `observe`. The other arguments: the group `student` of `configs/base.py`.
    """

    def __init__(
        self,
        *,
        width: int,
        ffn_width: int,
        num_heads: int,
        dropout: float,
        bev_shape: Sequence[int],
        pc_range: Sequence[float],
        num_modes: int,
        num_future: int,
        num_commands: int,
        map_score_threshold: float,
        map_distance_threshold: float,
        noise: Noise,
        velocity: bool,
        future: bool,
        rngs: Rngs,
    ):
        self.bev_shape, self.pc_range = tuple(bev_shape), tuple(pc_range)
        self.noise, self.velocity, self.future = noise, velocity, future
        shared = dict(width=width, ffn_width=ffn_width, num_heads=num_heads, dropout=dropout, rngs=rngs)
        features = len(AGENT_CLASSES) + 10 + 3 * num_future * future
        self.agent_state = Mlp((features, width, width), rngs, dtype=jnp.float32)
        self.agent_norm = layer_norm(width, rngs)
        self.no_agent = embedding(1, width, rngs)
        self.motion_head = MotionHead(
            num_modes=num_modes,
            num_future=num_future,
            map_score_threshold=map_score_threshold,
            map_distance_threshold=map_distance_threshold,
            **shared,
        )
        self.point_state = Mlp((len(MAP_CLASSES) + 2, width, width), rngs, dtype=jnp.float32)
        self.lane_encoder = LaneEncoder(width, rngs)
        self.no_line = embedding(1, width, rngs)
        self.bev = linear(len(AGENT_CLASSES) + len(MAP_CLASSES), width, rngs)
        self.bev_norm = layer_norm(width, rngs)
        self.ego_status = Mlp((len(CAN_BUS_SCALE), width, width), rngs, dtype=jnp.float32)
        self.planner = Planner(num_commands=num_commands, num_future=num_future, **shared)

    def __call__(self, batch: Batch, *, history: int, key: jax.Array, is_training: bool = False) -> StudentOutput:
        """Predictions for the current frame, frame `history` of the window: A = G agents, M = L lines, one layer.

        Images and other frames are not read. key: draws the noise, of each sample by its `batch.index`, and in training
        the dropout.
        """
        key_noise, key_dropout = jax.random.split(key)
        keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key_noise, batch.index)
        told = observe(
            batch.agents, batch.map, keys, self.noise, self.pc_range, velocity=self.velocity, future=self.future
        )
        return self.decode(*told, batch.can_bus[:, history], batch.command, key=key_dropout if is_training else None)

    def decode(
        self,
        agents: AgentTargets,
        lines: MapTargets,
        can_bus: Float[Array, "B 18"],
        command: Float[Array, "B 3"],
        *,
        key: jax.Array | None,
    ) -> StudentOutput:
        """What is told (`observe`) to agents, map and plan. command: for the teacher. key: of the dropout; None for none."""
        keys_agents, keys_map, keys_plan = split_dropout_keys(make_dropout_keys(key), 3)
        map_output = self.read_lines(lines)
        states, positions = self.read_agents(agents)
        motion = self.motion_head.predict_motion(states, positions, map_output, keys_agents, keys_map)
        status = self.ego_status(scaled(can_bus))[:, None]
        tokens = SceneTokens(
            bev=self.bev_norm(self.bev(self.raster(agents, lines)) + status),
            ego=self.planner.ego_query[...] + status,
            agents=motion.tokens,
            agent_positions=positions,
            map=map_output.tokens,
            map_positions=map_output.positions,
            can_bus=can_bus,
            command=command,
        )
        offsets, feature = self.planner(tokens, keys_plan)
        return StudentOutput(
            tokens=tokens,
            agent_logits=sure_logits(agents, len(AGENT_CLASSES))[None],
            agent_codes=geometry.encode_boxes(agents.boxes)[None],
            agent_future_offsets=motion.future_offsets,
            agent_mode_logits=motion.mode_logits,
            map_logits=map_output.logits,
            map_points=map_output.points,
            ego_offsets=offsets,
            ego_feature=feature,
        )

    def read_agents(self, agents: AgentTargets) -> tuple[Float[Array, "B G D"], Float[Array, "B G 2"]]:
        """(states, positions in [0, 1]): those that a decoder would have found in the BEV."""
        code = geometry.encode_boxes(agents.boxes)
        positions = geometry.normalize_xy(agents.boxes[..., :2], self.pc_range)
        label = jax.nn.one_hot(agents.labels, len(AGENT_CLASSES))
        features = [label, 2.0 * positions - 1.0, code[..., 2:8], SPEED_SCALE * code[..., 8:]]
        if self.future:
            steps = agents.future_offsets * (SPEED_SCALE / STEP_SECONDS)
            features += [steps.reshape(*steps.shape[:2], -1), agents.future_mask.astype(steps.dtype)]
        states = self.agent_state(jnp.concatenate(features, axis=-1))
        there = agents.mask[..., None]
        return self.agent_norm(jnp.where(there, states, self.no_agent[...])), jnp.where(there, positions, 0.0)

    def read_lines(self, lines: MapTargets) -> MapOutput:
        """The lines as the map head would have found them."""
        points = lines.normalized_points[:, :, 0]
        label = jax.nn.one_hot(lines.labels, len(MAP_CLASSES))[:, :, None]
        label = jnp.broadcast_to(label, (*points.shape[:3], label.shape[-1]))
        tokens = self.lane_encoder(self.point_state(jnp.concatenate([label, 2.0 * points - 1.0], axis=-1)))
        there = lines.mask[..., None]
        points = jnp.where(there[..., None], points, 0.0)
        return MapOutput(
            logits=sure_logits(lines, len(MAP_CLASSES))[None],
            points=points[None],
            tokens=jnp.where(there, tokens, self.no_line[...]),
            positions=nearest_to_corner(points),
        )

    def raster(self, agents: AgentTargets, lines: MapTargets) -> Float[Array, "B YX 13"]:
        """1 in the cells of each class of agents and of lines."""
        return bev_targets(agents, lines, self.bev_shape, self.pc_range).astype(jnp.float32)


def sure_logits(told: AgentTargets | MapTargets, classes: int) -> Float[Array, "B n classes"]:
    """SURE for the class of what is there, -SURE else."""
    is_class = jax.nn.one_hot(told.labels, classes, dtype=bool) & told.mask[..., None]
    return jnp.where(is_class, SURE, -SURE)


def build(config: ConfigDict, rngs: nnx.Rngs) -> VectorStudent:
    """The vector student of a whole config (groups `student` and `vector`)."""
    names = ("width", "ffn_width", "num_heads", "dropout", "bev_shape", "pc_range", "num_modes", "num_future")
    names += ("num_commands", "map_score_threshold", "map_distance_threshold")
    with computing_in(config.student.dtype):
        return VectorStudent(
            **{name: config.student[name] for name in names},
            noise=Noise(**{name: config.vector[name] for name in Noise._fields}),
            velocity=config.vector.velocity,
            future=config.vector.future,
            rngs=InitRngs(rngs.params()),
        )
