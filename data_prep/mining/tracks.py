"""Scene tracks: what the rules see, the recorded motion of a whole scene in global coordinates.

Everything is at the T key frames, 0.5 s apart, in meters, seconds and radians counterclockwise from +x; a step is what lies
between two key frames. Made from a `Truth`, whatever that was made from.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from data_prep.mining.roads import Roads, closed_lines, grounds
from dima_jax.categories import LIDARSEG_CATEGORIES
from dima_jax.constants import EGO_CENTER_AHEAD
from dima_jax.errors import UserError
from dima_jax.scoring.recorded import Truth

NEEDED = ("scenes", "times", "poses", "commands", "agents", "instances")  # groups of a truth
PEOPLE = tuple(index for index, name in enumerate(LIDARSEG_CATEGORIES) if name.startswith("human."))
VEHICLES = tuple(index for index, name in enumerate(LIDARSEG_CATEGORIES) if name.startswith("vehicle."))
MIN_FRAMES = 3  # of a scene: two steps, from which a change of speed is known
SPACING = 1.0  # meters between points of a path


@dataclass(frozen=True, eq=False)
class Agents:
    """The A annotated objects of a scene; NaN where one is not annotated. category: index in LIDARSEG_CATEGORIES."""

    category: Int[np.ndarray, " A"]
    center: Float[np.ndarray, "A T 2"]
    yaw: Float[np.ndarray, "A T"]

    @cached_property
    def people(self) -> Bool[np.ndarray, " A"]:
        return np.isin(self.category, PEOPLE)

    @cached_property
    def vehicles(self) -> Bool[np.ndarray, " A"]:
        """Bicycles and motorcycles as well."""
        return np.isin(self.category, VEHICLES)


@dataclass(frozen=True, eq=False)
class Tracks:
    """One scene of at least MIN_FRAMES.

    time: from 0. center: of the ego's box. yaw: without jumps of a whole turn. turning: the command is not "straight"
    (`data_prep.ego.path`). roads: the map around the scene; None where it is not known.
    """

    scene: str
    tokens: tuple[str, ...]
    time: Float[np.ndarray, " T"]
    center: Float[np.ndarray, "T 2"]
    yaw: Float[np.ndarray, " T"]
    turning: Bool[np.ndarray, " T"]
    agents: Agents
    roads: Roads | None = None

    def __len__(self) -> int:
        return len(self.time)

    @cached_property
    def steps(self) -> Float[np.ndarray, " T-1"]:
        """Mean speed of each step along the ego's heading, m/s: negative in reverse."""
        return _along(self.center, self.yaw, self.time)

    @cached_property
    def speed(self) -> Float[np.ndarray, " T"]:
        """At the key frames, m/s: the mean of the steps before and after; at the ends as if the change went on."""
        padded = np.concatenate(
            [2 * self.steps[:1] - self.steps[1:2], self.steps, 2 * self.steps[-1:] - self.steps[-2:-1]]
        )
        return (padded[1:] + padded[:-1]) / 2

    @cached_property
    def acceleration(self) -> Float[np.ndarray, " T"]:
        """At the key frames, m/s2: the change from the step before to the one after; NaN at the ends."""
        return _changes(self.steps, self.time)

    @cached_property
    def traveled(self) -> Float[np.ndarray, " T"]:
        """Meters driven since the first key frame."""
        return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(self.center, axis=0), axis=-1))])

    @cached_property
    def agent_steps(self) -> Float[np.ndarray, "A T-1"]:
        """As `steps`, of the agents; NaN where one of the two key frames lacks the agent."""
        return _along(self.agents.center, self.agents.yaw, self.time)

    @cached_property
    def agent_acceleration(self) -> Float[np.ndarray, "A T"]:
        """As `acceleration`, of the agents; NaN where one of the three key frames lacks the agent."""
        return _changes(self.agent_steps, self.time)

    @cached_property
    def agent_moved(self) -> Float[np.ndarray, "A T"]:
        """Speed of the agents in whatever direction, m/s: of the step before or after, the greater. NaN without either."""
        speed = np.linalg.norm(np.diff(self.agents.center, axis=1), axis=-1) / np.diff(self.time)
        speed = np.pad(speed, ((0, 0), (1, 1)), constant_values=np.nan)
        return np.fmax(speed[:, :-1], speed[:, 1:])

    def way(self, frame: int, reach: float) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
        """What the ego drives from a key frame on, `reach` meters at most: (points SPACING apart, headings there)."""
        length = min(reach, self.traveled[-1] - self.traveled[frame])
        along = self.traveled[frame] + SPACING * np.arange(max(int(np.ceil(length / SPACING)), 1))
        x, y, heading = (np.interp(along, self.traveled, column) for column in (*self.center.T, self.yaw))
        return np.stack([x, y], axis=-1), heading

    def ahead(self, frame: int, reach: float) -> tuple[Float[np.ndarray, " A"], Float[np.ndarray, " A"]]:
        """Where each agent is at a key frame: (meters along `way`, meters beside it, left positive), of the centers.

        NaN for an agent that is absent, behind, or farther than the way goes.
        """
        way, heading = self.way(frame, reach)
        offset = self.agents.center[:, frame, None] - way
        nearest = np.argmin(np.nan_to_num(np.linalg.norm(offset, axis=-1), nan=np.inf), axis=1)
        offset, heading = offset[np.arange(len(nearest)), nearest], heading[nearest]
        forward = offset[:, 0] * np.cos(heading) + offset[:, 1] * np.sin(heading)
        left = offset[:, 1] * np.cos(heading) - offset[:, 0] * np.sin(heading)
        along = SPACING * nearest + forward
        is_beside = (along > 0) & (np.abs(forward) <= SPACING)
        return np.where(is_beside, along, np.nan), np.where(is_beside, left, np.nan)


def wrap(angle):
    """To [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _along(center, yaw, time):
    """Mean signed speeds [..., T-1] of the steps of a motion [..., T, 2] with headings [..., T]."""
    step = np.diff(center, axis=-2)
    middle = yaw[..., :-1] + wrap(np.diff(yaw)) / 2
    return (step[..., 0] * np.cos(middle) + step[..., 1] * np.sin(middle)) / np.diff(time)


def _changes(steps, time):
    """Accelerations [..., T] of the speeds of steps [..., T-1]."""
    middle = (time[1:] + time[:-1]) / 2
    rate = np.diff(steps, axis=-1) / np.diff(middle)
    return np.pad(rate, [(0, 0)] * (steps.ndim - 1) + [(1, 1)], constant_values=np.nan)


def of_truth(truth: Truth) -> list[Tracks]:
    """The tracks of every scene of at least MIN_FRAMES key frames. UserError for a truth without poses or instances, or
    with parts of scenes.
    """
    if lacking := [group for group in NEEDED if not truth.has(group)]:
        raise UserError(f"the truth lacks {', '.join(lacking)}: tracks need poses and instances; docs/scores/truth.md")
    places = grounds(truth)
    long_enough = (frames for frames in truth.scene_frames() if truth.scene_length[frames[0]] >= MIN_FRAMES)
    return [_scene(truth, frames, places) for frames in long_enough]


def _scene(truth: Truth, frames, places) -> Tracks:
    name = str(truth.scene_names[truth.scene[frames[0]]])
    if len(frames) != (whole := truth.scene_length[frames[0]]):
        raise UserError(f"{name}: {len(frames)} of {whole} key frames are there; give whole scenes")
    pose = truth.ego2global[frames]
    yaw = np.unwrap(np.arctan2(pose[:, 1, 0], pose[:, 0, 0]))
    lidar = (pose @ truth.lidar2ego[frames])[:, :2, 3]
    closed = [closed_lines(truth, frame) for frame in frames.tolist()]
    return Tracks(
        scene=name,
        tokens=tuple(truth.tokens[frames].tolist()),
        time=(truth.timestamp[frames] - truth.timestamp[frames[0]]) / 1e6,
        center=lidar + EGO_CENTER_AHEAD * np.stack([np.cos(yaw), np.sin(yaw)], axis=-1),
        yaw=yaw,
        turning=truth.targeted[frames],
        agents=_agents(truth, frames),
        roads=Roads(places[int(truth.location[frames[0]])], closed) if places else None,
    )


def _agents(truth: Truth, frames) -> Agents:
    number: dict[int, int] = {}
    found = []
    for t, frame in enumerate(frames.tolist()):
        rows = np.arange(*truth.agent_start[frame : frame + 2])
        boxes = truth.boxes[rows].astype(np.float64)
        pose = truth.ego2global[frame] @ truth.lidar2ego[frame]
        center = (boxes[:, :3] @ pose[:3, :3].T + pose[:3, 3])[:, :2]
        heading = -boxes[:, 6] - np.pi / 2
        forward = np.stack([np.cos(heading), np.sin(heading)], axis=-1) @ pose[:2, :2].T
        agents = [number.setdefault(one, len(number)) for one in truth.instance[rows].tolist()]
        found.append((agents, t, center, np.arctan2(forward[:, 1], forward[:, 0]), truth.category[rows]))
    center = np.full((len(number), len(frames), 2), np.nan)
    yaw, category = np.full(center.shape[:2], np.nan), np.zeros(len(number), int)
    for agents, t, places, headings, categories in found:
        center[agents, t], yaw[agents, t], category[agents] = places, headings, categories
    return Agents(category, center, yaw)
