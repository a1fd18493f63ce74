"""Scene editing (D10): "what if this vehicle were not there", "what if a car stood here" (dima-paper 2.6).

Of each edited sample either one confident vehicle is deleted (the LLM does not see its agent token) or one car or truck
is added (`placement.py` says where; its token is a Linear of class, box code and future). The edited tokens go through
the LLM with the edit's own question and answer, and a head of its own predicts what the ego should do now.

The edit reads the student's predictions as plain numbers: it makes a new example, it is not something to optimize. The
tokens themselves stay connected, so the edited pass teaches the scene encoder (D11).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from dima_jax import geometry, predictions
from dima_jax.constants import AGENT_CLASSES, LIDAR_HEIGHT, STEP_SECONDS
from dima_jax.teacher import placement
from dima_jax.teacher.placement import Agents, Lines
from dima_jax.types import EgoTargets, SceneTokens, StudentOutput, edited_samples

ADDED_CLASSES = (AGENT_CLASSES.index("car"), AGENT_CLASSES.index("truck"))
ADDED_SIZES = ((1.95, 4.6, 1.75), (2.5, 6.9, 2.8))  # m, width length height: nuScenes' means, rounded
MAX_SIZE = 20.0  # m, of a predicted box
LOOK_AHEAD = 12.0  # m beyond the end of the ego's path that still count as its way
WAY_WIDTH = 2.0  # m, to either side of the path


class Edit(NamedTuple):
    """n edited samples; A1 = A + 1 agents, the last of which is the added one.

    tokens, positions (in [0, 1]), visible: the agents as the LLM sees them. centers, future_offsets, vehicles: the
    confident vehicles that are in the edited scene, meters. row: of the edit's text. in_ego_path: the edited vehicle is (or
    was) in the ego's way. edited: False where nothing could be edited.
    """

    tokens: Float[Array, "n A1 D"]
    positions: Float[Array, "n A1 2"]
    visible: Bool[Array, "n A1"]
    centers: Float[Array, "n A1 2"]
    future_offsets: Float[Array, "n A1 F 2"]
    vehicles: Bool[Array, "n A1"]
    row: Int[Array, " n"]
    in_ego_path: Bool[Array, " n"]
    edited: Bool[Array, " n"]


class Scene(NamedTuple):
    """The student's predictions of n samples, as plain numbers in meters. confident: scored above the threshold."""

    agents: Agents
    confident: Bool[Array, "n A"]
    future_offsets: Float[Array, "n A F 2"]
    lines: Lines


class SceneEditor(nnx.Module):
    """Draws edits. score_threshold: predictions above it count as real (VAD's constraints use 0.5)."""

    def __init__(
        self, width: int, *, num_future: int, pc_range: tuple[float, ...], score_threshold: float, rngs: nnx.Rngs
    ):
        self.pc_range, self.score_threshold = tuple(pc_range), score_threshold
        self.added_token = nnx.Linear(len(AGENT_CLASSES) + 10 + 2 * num_future, width, rngs=rngs)

    def __call__(
        self,
        tokens: SceneTokens,
        student: StudentOutput,
        command: Float[Array, "B 3"],
        ego: EgoTargets,
        *,
        samples: int,
        key: Array,
    ) -> Edit:
        """Edits `samples` samples of the batch, those of `edited_samples`."""
        batch = (tokens.agents, tokens.agent_positions, command, ego, jax.lax.stop_gradient(student.ego_offsets))
        agents, positions, command, ego, planned = jax.tree.map(lambda x: edited_samples(x, samples), batch)
        scene = read_scene(student, samples, self.pc_range, self.score_threshold)
        path = ego_path(ego, planned, command)
        uniforms = jax.random.uniform(key, (samples, 3 + scene.confident.shape[1] + 5 * placement.CANDIDATES))
        choice = jax.vmap(lambda *one: choose(*one, self.pc_range))(uniforms, scene, path)

        feature = jax.vmap(lambda choice: added_feature(choice, self.pc_range))(choice)
        added_position = jnp.clip(geometry.normalize_xy(choice.track[:, 0], self.pc_range), 0.0, 1.0)
        stays = ~choice.deleted
        return Edit(
            tokens=_append(agents, self.added_token(feature)),
            positions=_append(positions, added_position),
            visible=_append(stays, choice.add),
            centers=_append(scene.agents.track[:, :, 0], choice.track[:, 0]),
            future_offsets=_append(scene.future_offsets, jnp.diff(choice.track, axis=1)),
            vehicles=_append(scene.agents.mask & stays, choice.add),
            row=2 * jnp.where(choice.add, 1 + choice.kind, 0) + choice.in_ego_path,
            in_ego_path=choice.in_ego_path,
            edited=choice.add | choice.deleted.any(axis=1),
        )


class Choice(NamedTuple):
    """One sample's edit: add (a vehicle of ADDED_CLASSES[kind] on track, with heading) or delete (one of A)."""

    add: Bool[Array, ""]
    deleted: Bool[Array, " A"]
    kind: Int[Array, ""]
    track: Float[Array, "F1 2"]
    heading: Float[Array, ""]
    in_ego_path: Bool[Array, ""]


def choose(
    uniforms: Float[Array, " u"], scene: Scene, path: Float[Array, "F1 2"], pc_range: tuple[float, ...]
) -> Choice:
    """Adds or deletes with equal chance, and as often in the ego's way as out of it, as far as the scene allows.

    uniforms: uniform random numbers: 3 decisions, one for each agent, five for each candidate place.
    """
    decisions, agent_noise, where = jnp.split(uniforms, [3, 3 + len(scene.confident)])
    want_add, want_block = decisions[:2] < 0.5
    kind = (decisions[2] * len(ADDED_CLASSES)).astype(jnp.int32)
    size = jnp.array(ADDED_SIZES)[kind, :2]
    everybody = scene.agents._replace(mask=scene.confident)
    placed = placement.place(where.reshape(-1, 5), scene.lines, everybody, path, size, pc_range, want_block)

    in_way = blocks_way(scene.agents.track[:, 0], path)
    vehicles = scene.agents.mask
    deleted_index = jnp.argmax(jnp.where(vehicles, 1.0 + agent_noise + (in_way == want_block), 0.0))

    add = placed.found & (want_add | ~vehicles.any())
    delete = vehicles.any() & ~add
    in_ego_path = jnp.where(add, placement.conflicts(placed.track, path), delete & in_way[deleted_index])
    deleted = delete & (jnp.arange(len(vehicles)) == deleted_index)
    return Choice(add, deleted, kind, placed.track, placed.heading, in_ego_path)


def blocks_way(centers: Float[Array, "A 2"], path: Float[Array, "F1 2"]) -> Bool[Array, " A"]:
    """Vehicles that stand in the ego's way: near its path or the next meters beyond the path's end."""
    step = path[-1] - path[0]
    length = jnp.linalg.norm(step)
    ahead = jnp.where(length > 1.0, step / jnp.maximum(length, 1e-3), jnp.array([0.0, 1.0]))
    way = jnp.concatenate([path, path[-1:] + LOOK_AHEAD * ahead])
    return placement.distance_to_lines(centers, way[None])[:, 0] < WAY_WIDTH


def ego_path(ego: EgoTargets, planned: Float[Array, "n R F 2"], command: Float[Array, "n 3"]) -> Float[Array, "n F1 2"]:
    """Where the ego goes, now and at F steps: as recorded, and as the student plans where the recording has ended."""
    commanded = jnp.einsum("nr,nrfc->nfc", command, planned)
    offsets = jnp.where(ego.future_mask[..., None], ego.future_offsets, commanded)
    return _track(jnp.zeros_like(offsets[:, 0]), offsets)


def read_scene(student: StudentOutput, samples: int, pc_range: tuple[float, ...], threshold: float) -> Scene:
    """Last-layer predictions of the edited samples: best mode of each agent, boxes, map lines."""
    seen = predictions.decode(jax.lax.stop_gradient(student), pc_range)
    seen = jax.tree.map(lambda x: edited_samples(x, samples), seen)
    offsets = predictions.likeliest_offsets(seen)
    agents = Agents(
        track=_track(seen.agent_boxes[..., :2], offsets),
        heading=-seen.agent_boxes[..., 6] - jnp.pi / 2,
        size=jnp.clip(seen.agent_boxes[..., 3:5], 0.0, MAX_SIZE),
        mask=predictions.is_vehicle(seen, threshold),
    )
    confident = predictions.is_agent(seen, threshold)
    lines = Lines(
        points=seen.map_lines,
        divider=predictions.is_line(seen, "divider", threshold),
        boundary=predictions.is_line(seen, "boundary", threshold),
    )
    return Scene(agents, confident, offsets, lines)


def added_feature(choice: Choice, pc_range: tuple[float, ...]) -> Float[Array, " c"]:
    """(class, box code, future offsets) of the added vehicle; its position in the code is scaled to [-1, 1]."""
    width, length, height = jnp.array(ADDED_SIZES)[choice.kind]
    offsets = jnp.diff(choice.track, axis=0)
    velocity = offsets[0] / STEP_SECONDS
    yaw = -choice.heading - jnp.pi / 2
    x, y = 2.0 * geometry.normalize_xy(choice.track[0], pc_range) - 1.0
    box = jnp.stack([x, y, height / 2 - LIDAR_HEIGHT, width, length, height, yaw, *velocity])
    label = jax.nn.one_hot(jnp.array(ADDED_CLASSES)[choice.kind], len(AGENT_CLASSES))
    return jnp.concatenate([label, geometry.encode_boxes(box), offsets.reshape(-1)])


def _track(start, offsets):
    """Positions now and at every step, from [..., 2] and offsets [..., F, 2]."""
    later = start[..., None, :] + geometry.offsets_to_waypoints(offsets)
    return jnp.concatenate([start[..., None, :], later], axis=-2)


def _append(rows, row):
    """[n, A, ...] and [n, ...] to [n, A + 1, ...]."""
    return jnp.concatenate([rows, row[:, None]], axis=1)
