"""Scene editing: "what if this vehicle were not there?", "what if a car stood here?" (decision D10).

In each edited sample either one confident vehicle is deleted (the LLM does not read its agent token) or one car or truck
is added (`placement.py` decides where; its token is a Linear of class, box code and future). The LLM reads the edited
agents with a question and answer about the edit, and a head of its own predicts the ego path in the edited scene.

The student's predictions are read without gradient, because an edit is a new training example and not something to
optimize. The agent tokens keep their gradient, so the edited rows train the scene encoder too (D11).

Axis letters besides those of `types.py`: n edited samples, A1 = A + 1 agents of which the last is the added one,
F1 = F + 1 positions: now and after each future step. Decision: docs/decisions.md#d10.
"""

from collections.abc import Sequence
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
ADDED_SIZES = ((1.95, 4.6, 1.75), (2.5, 6.9, 2.8))  # m, (width, length, height): nuScenes' class means, rounded
MAX_BOX_SIZE = 20.0  # m, to which predicted widths and lengths are clipped
PATH_EXTENSION = 12.0  # m straight on beyond the end of the ego's path that still count as its path
PATH_HALF_WIDTH = 2.0  # m to either side of the path


class Edit(NamedTuple):
    """The edits of n samples.

    tokens, positions (normalized to [0, 1] by pc_range), visible: the agents for the LLM; it reads the visible ones.
    centers (m), future_offsets (m per step), vehicles (mask): the confident vehicles in the edited scene.
    text_row: the row of `data.prompts.EDIT_TEXTS` with the question and answer of the edit.
    in_ego_path: the added vehicle is, or the deleted one was, in the ego's path.
    edited: False where nothing could be edited: no confident vehicle and no valid place for another one.
    """

    tokens: Float[Array, "n A1 D"]
    positions: Float[Array, "n A1 2"]
    visible: Bool[Array, "n A1"]
    centers: Float[Array, "n A1 2"]
    future_offsets: Float[Array, "n A1 F 2"]
    vehicles: Bool[Array, "n A1"]
    text_row: Int[Array, " n"]
    in_ego_path: Bool[Array, " n"]
    edited: Bool[Array, " n"]


class Scene(NamedTuple):
    """The student's predictions for n samples, without gradient, in meters.

    agents: its mask is True for confident vehicles. confident: agents of any class that count as real.
    future_offsets: of each agent's most likely motion mode, m per step.
    """

    agents: Agents
    confident: Bool[Array, "n A"]
    future_offsets: Float[Array, "n A F 2"]
    lines: Lines


class SceneEditor(nnx.Module):
    """Draws edits, and makes the tokens of added vehicles.

    width: of the student's agent tokens. score_threshold: predicted agents and map lines that score at least this count
    as real (VAD's planning constraints use 0.5).
    """

    def __init__(
        self, width: int, *, num_future: int, pc_range: Sequence[float], score_threshold: float, rngs: nnx.Rngs
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
        """Edits `samples` samples of the batch, those that `edited_samples` selects. samples: divides B, or 0."""
        batch = (tokens.agents, tokens.agent_positions, command, ego, jax.lax.stop_gradient(student.ego_offsets))
        agents, positions, command, ego, planned = jax.tree.map(lambda x: edited_samples(x, samples), batch)
        scene = read_scene(student, samples, self.pc_range, self.score_threshold)
        path = ego_path(ego, planned, command)
        uniforms = jax.random.uniform(key, (samples, 3 + scene.confident.shape[1] + 5 * placement.CANDIDATES))
        choice = jax.vmap(lambda *one: choose_edit(*one, self.pc_range))(uniforms, scene, path)

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
            text_row=2 * jnp.where(choice.add, 1 + choice.kind, 0) + choice.in_ego_path,
            in_ego_path=choice.in_ego_path,
            edited=choice.add | choice.deleted.any(axis=1),
        )


class EditChoice(NamedTuple):
    """The edit of one sample: a vehicle is added, or at most one agent is deleted.

    add: whether a vehicle is added. deleted: True for the agent that is deleted.
    kind (index into ADDED_CLASSES), track (m), heading (rad, counterclockwise from +x): of the vehicle that is added, or
    would have been. in_ego_path: as in `Edit`.
    """

    add: Bool[Array, ""]
    deleted: Bool[Array, " A"]
    kind: Int[Array, ""]
    track: Float[Array, "F1 2"]
    heading: Float[Array, ""]
    in_ego_path: Bool[Array, ""]


def choose_edit(
    uniforms: Float[Array, " u"], scene: Scene, path: Float[Array, "F1 2"], pc_range: tuple[float, ...]
) -> EditChoice:
    """Adds or deletes with equal probability, and as often in the ego's path as outside, where the scene allows both.

    uniforms: numbers uniform in [0, 1): 3 for the decisions add or delete, inside or outside the path, car or truck;
    then 1 for each agent and 5 for each candidate of `placement.place_vehicle`. scene: of one sample, without the axis
    n. path: the ego's positions.
    """
    decisions, agent_noise, candidate_uniforms = jnp.split(uniforms, [3, 3 + len(scene.confident)])
    want_add, want_in_path = decisions[:2] < 0.5
    kind = (decisions[2] * len(ADDED_CLASSES)).astype(jnp.int32)
    added = placement.place_vehicle(
        candidate_uniforms.reshape(-1, 5),
        scene.lines,
        scene.agents._replace(mask=scene.confident),  # the added vehicle keeps clear of agents of every class
        path,
        jnp.array(ADDED_SIZES)[kind, :2],
        pc_range,
        want_in_path,
    )

    vehicles = scene.agents.mask
    agent_in_path = is_in_path(scene.agents.track[:, 0], path)
    deleted_index = jnp.argmax(jnp.where(vehicles, 1.0 + agent_noise + (agent_in_path == want_in_path), 0.0))

    add = added.found & (want_add | ~vehicles.any())
    delete = vehicles.any() & ~add
    in_ego_path = jnp.where(
        add, placement.conflicts_with_path(added.track, path), delete & agent_in_path[deleted_index]
    )
    deleted = delete & (jnp.arange(len(vehicles)) == deleted_index)
    return EditChoice(add, deleted, kind, added.track, added.heading, in_ego_path)


def is_in_path(centers: Float[Array, "A 2"], path: Float[Array, "F1 2"]) -> Bool[Array, " A"]:
    """True for centers within PATH_HALF_WIDTH of the ego's path or of its straight extension by PATH_EXTENSION.

    The extension follows the direction from the path's start to its end; straight ahead (+y) if they are within 1 m.
    """
    displacement = path[-1] - path[0]
    length = jnp.linalg.norm(displacement)
    direction = jnp.where(length > 1.0, displacement / jnp.maximum(length, 1e-3), jnp.array([0.0, 1.0]))
    extended = jnp.concatenate([path, path[-1:] + PATH_EXTENSION * direction])
    return placement.distance_to_lines(centers, extended[None])[:, 0] < PATH_HALF_WIDTH


def ego_path(ego: EgoTargets, planned: Float[Array, "n R F 2"], command: Float[Array, "n 3"]) -> Float[Array, "n F1 2"]:
    """Positions of the ego, meters: as recorded, and where the recording has ended, as the student plans.

    planned: ego offsets for each command, m per step.
    """
    commanded = jnp.einsum("nr,nrfc->nfc", command, planned)
    offsets = jnp.where(ego.future_mask[..., None], ego.future_offsets, commanded)
    return _track(jnp.zeros_like(offsets[:, 0]), offsets)


def read_scene(student: StudentOutput, samples: int, pc_range: tuple[float, ...], threshold: float) -> Scene:
    """The student's predictions for the edited samples; those that score at least `threshold` count as real."""
    decoded = predictions.decode(jax.lax.stop_gradient(student), pc_range)
    decoded = jax.tree.map(lambda x: edited_samples(x, samples), decoded)
    offsets = predictions.likeliest_offsets(decoded)
    agents = Agents(
        track=_track(decoded.agent_boxes[..., :2], offsets),
        heading=-decoded.agent_boxes[..., 6] - jnp.pi / 2,
        size=jnp.clip(decoded.agent_boxes[..., 3:5], 0.0, MAX_BOX_SIZE),
        mask=predictions.is_vehicle(decoded, threshold),
    )
    lines = Lines(
        points=decoded.map_lines,
        divider=predictions.is_line(decoded, "divider", threshold),
        boundary=predictions.is_line(decoded, "boundary", threshold),
    )
    return Scene(agents, predictions.is_agent(decoded, threshold), offsets, lines)


def added_feature(choice: EditChoice, pc_range: tuple[float, ...]) -> Float[Array, " features"]:
    """What the token of an added vehicle is made of: class (one-hot), box code, future offsets (m per step).

    In the box code (`geometry.encode_boxes`) the center's x and y are scaled from pc_range to [-1, 1].
    """
    width, length, height = jnp.array(ADDED_SIZES)[choice.kind]
    offsets = jnp.diff(choice.track, axis=0)
    velocity = offsets[0] / STEP_SECONDS
    yaw = -choice.heading - jnp.pi / 2
    x, y = 2.0 * geometry.normalize_xy(choice.track[0], pc_range) - 1.0
    box = jnp.stack([x, y, height / 2 - LIDAR_HEIGHT, width, length, height, yaw, *velocity])
    label = jax.nn.one_hot(jnp.array(ADDED_CLASSES)[choice.kind], len(AGENT_CLASSES))
    return jnp.concatenate([label, geometry.encode_boxes(box), offsets.reshape(-1)])


def _track(start, offsets):
    """Positions [..., F + 1, 2] from a start [..., 2] and offsets [..., F, 2]."""
    later = start[..., None, :] + geometry.offsets_to_waypoints(offsets)
    return jnp.concatenate([start[..., None, :], later], axis=-2)


def _append(agents, added):
    """[n, A, ...] and [n, ...] to [n, A + 1, ...]."""
    return jnp.concatenate([agents, added[:, None]], axis=1)
