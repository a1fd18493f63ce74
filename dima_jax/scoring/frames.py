"""One frame of a truth as a protocol sees it: the recorded path, and the agents' boxes at each future step.

F = 6 future steps of 0.5 s, B boxes: one of each agent that is there at a step. Meters and radians in the LiDAR frame
(x right, y forward) or the ego frame (x forward, y left) of the frame itself.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import shapely
from jaxtyping import Bool, Float, Int

from dima_jax.categories import AREA_LAYERS, LIDARSEG_CATEGORIES
from dima_jax.scoring.recorded import GROUPS, Truth

F = 6


class AgentSelection(NamedTuple):
    """Which agents a protocol knows of, and where it takes their future from.

    source: "now" = this frame's agents, moved by their own recorded futures; "future" = the annotations of each future
    key frame, brought into this frame. categories: indices of LIDARSEG_CATEGORIES. points: "lidar" = hit by a LiDAR
    point, "any" = by one of LiDAR or radar, "none" = or by none. min_visibility: nuScenes' levels below it are left out
    (0, unknown, is not). rectangle: the box's center is strictly inside of +- (x, y). frame: "lidar" or "ego".
    """

    source: str
    categories: tuple[int, ...]
    points: str
    min_visibility: int = 0
    rectangle: tuple[float, float] | None = None
    frame: str = "lidar"

    @property
    def needs(self) -> list[str]:
        """Groups of the truth without which these agents cannot be had."""
        of_source = {"now": ["futures"], "future": ["scenes", "poses"]}[self.source]
        path = {"lidar": "paths", "ego": "ego_paths"}[self.frame]
        return [path, "agents", *of_source, *(["visibility"] if self.min_visibility else [])]


class StepAgents(NamedTuple):
    """Boxes of agents at steps. rows: of the truth's agents; step: from 0; boxes: x, y, heading, length, width."""

    rows: Int[np.ndarray, " B"]
    step: Int[np.ndarray, " B"]
    boxes: Float[np.ndarray, "B 5"]


class FrameTruth:
    """A frame of a truth. What was asked for is kept as long as this object."""

    def __init__(self, truth: Truth, index: int) -> None:
        self.truth, self.index = truth, int(index)
        self._agents: dict[AgentSelection, StepAgents] = {}

    def has(self, *groups: str) -> bool:
        """Whether the truth has all of these groups (`scoring.recorded.GROUPS`); quicker than `Truth.has`."""
        return all(getattr(self.truth, GROUPS[name][0]) is not None for name in groups)

    @property
    def path(self) -> Float[np.ndarray, "F 2"]:
        return self.truth.path[self.index]

    @property
    def known(self) -> Bool[np.ndarray, " F"]:
        """Steps at which the recorded path is known."""
        return self.truth.path_mask[self.index]

    @property
    def path_yaw(self) -> Float[np.ndarray, " F"]:
        return self.truth.path_yaw[self.index]

    @property
    def ego_path(self) -> Float[np.ndarray, "F 2"]:
        return self.truth.ego_path[self.index]

    @property
    def lidar2global(self) -> Float[np.ndarray, "4 4"]:
        return self.truth.ego2global[self.index] @ self.truth.lidar2ego[self.index]

    def agents(self, selection: AgentSelection) -> StepAgents:
        """The boxes of a selection. ValueError where the truth lacks a key frame that the path says exists."""
        if selection not in self._agents:
            source = {"now": self._moved, "future": self._annotated}[selection.source]
            self._agents[selection] = source(selection)
        return self._agents[selection]

    def curbs(self) -> list[Float[np.ndarray, "n 2"]]:
        """The lines of the road's boundary, in the ego frame."""
        truth = self.truth
        lines = range(*truth.curb_start[self.index : self.index + 2])
        return [truth.curb_vertices[slice(*truth.curb_vertex_start[line : line + 2])] for line in lines]

    def inside(self, layers: tuple[str, ...], points: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
        """Whether points of the LiDAR frame lie in an area of one of these layers of the map, or on its border."""
        pose = self.lidar2global
        x, y = (points @ pose[:2, :2].T + pose[:2, 3]).T
        place = int(self.truth.location[self.index])
        return shapely.intersects_xy(_union(Same(self.truth.ring_vertices, self.truth), layers, place), x, y)

    def _moved(self, selection: AgentSelection) -> StepAgents:
        """This frame's agents in single precision, as the public evaluators have them."""
        if selection.frame != "lidar":
            raise ValueError('agents "now" are in the LiDAR frame')
        truth = self.truth
        first, end = truth.agent_start[self.index : self.index + 2].tolist()
        chosen = first + np.flatnonzero(_selected(truth, slice(first, end), selection))
        boxes = truth.boxes[chosen]
        return followed(
            chosen, boxes, truth.future_offsets[chosen], truth.future_mask[chosen], truth.future_yaw[chosen]
        )

    def _annotated(self, selection: AgentSelection) -> StepAgents:
        truth, index = self.truth, self.index
        ahead = np.arange(index + 1, min(index + 1 + F, len(truth.tokens)))
        step = (truth.frame_index[ahead] - truth.frame_index[index] - 1).astype(np.int64)
        kept = (truth.scene[ahead] == truth.scene[index]) & (step < F)
        ahead, step = ahead[kept], step[kept]
        if absent := sorted(set(np.flatnonzero(self.known).tolist()) - set(step.tolist())):
            raise ValueError(f"{truth.tokens[index]}: the truth lacks the key frame of step {absent[0] + 1}")
        if not len(ahead):
            return StepAgents(np.zeros(0, np.int64), step, np.zeros((0, 5)))
        first, end = truth.agent_start[ahead[0]], truth.agent_start[ahead[-1] + 1]
        chosen = np.flatnonzero(_selected(truth, slice(first, end), selection))
        count = np.diff(truth.agent_start[ahead[0] : ahead[-1] + 2])
        of_frame = np.repeat(np.arange(len(ahead)), count)[chosen]
        own = self.lidar2global if selection.frame == "lidar" else truth.ego2global[index]
        pose = np.linalg.inv(own) @ (truth.ego2global[ahead] @ truth.lidar2ego[ahead])
        boxes = brought(truth.boxes[first + chosen], pose[of_frame])
        return StepAgents(first + chosen, step[of_frame], boxes)


def followed(
    rows: Int[np.ndarray, " A"],
    boxes: Float[np.ndarray, "A 9"],
    offsets: Float[np.ndarray, "A F 2"],
    mask: Bool[np.ndarray, "A F"],
    yaw: Float[np.ndarray, "A F"],
) -> StepAgents:
    """Agents moved and turned, step by step, by their own futures. Arguments as in `recorded.Truth`."""
    direction = boxes[:, 6] - np.floor(boxes[:, 6] / (2 * np.pi) + 0.5) * 2 * np.pi  # to [-pi, pi), as VAD has it
    heading = -(direction + np.pi / 2)[:, None] + np.cumsum(yaw, axis=1)
    centers = boxes[:, None, :2] + np.cumsum(offsets, axis=1)
    agent, step = np.nonzero(mask)
    size = boxes[agent][:, [4, 3]]
    moved = np.concatenate([centers[agent, step], heading[agent, step, None], size], axis=1)
    return StepAgents(rows[agent], step, moved)


def brought(boxes: Float[np.ndarray, "B 9"], pose: Float[np.ndarray, "B 4 4"]) -> Float[np.ndarray, "B 5"]:
    """x, y, heading, length, width of boxes after a 4x4 transform each; the heading is that of their direction."""
    center = np.einsum("bij,bj->bi", pose[:, :2, :3], boxes[:, :3]) + pose[:, :2, 3]
    heading = -(boxes[:, 6].astype(np.float64) + np.pi / 2)
    cos, sin = np.cos(heading), np.sin(heading)
    x = pose[:, 0, 0] * cos + pose[:, 0, 1] * sin
    y = pose[:, 1, 0] * cos + pose[:, 1, 1] * sin
    return np.stack([*center.T, np.arctan2(y, x), boxes[:, 4], boxes[:, 3]], axis=1)


@lru_cache
def _table(categories: tuple[int, ...]) -> Bool[np.ndarray, " categories"]:
    return np.isin(np.arange(len(LIDARSEG_CATEGORIES)), categories)


def _selected(truth: Truth, rows: slice, selection: AgentSelection) -> Bool[np.ndarray, " rows"]:
    chosen = _table(selection.categories)[truth.category[rows]]
    if selection.points == "lidar":
        chosen &= truth.lidar_points[rows] > 0
    elif selection.points == "any":
        chosen &= truth.lidar_points[rows] + truth.radar_points[rows] > 0
    elif selection.points != "none":
        raise ValueError(f"no points {selection.points!r}")
    if selection.min_visibility:
        level = truth.visibility[rows]
        chosen &= (level >= selection.min_visibility) | (level == 0)
    if selection.rectangle is not None:
        chosen &= (np.abs(truth.boxes[rows, :2]) < selection.rectangle).all(axis=1)
    return chosen


class Same:
    """Equal to what has the very same array; keeps the truth that the array is of."""

    def __init__(self, array: np.ndarray, truth: Truth) -> None:
        self.array, self.truth = array, truth

    def __hash__(self) -> int:
        return id(self.array)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.array is self.array


@lru_cache(maxsize=16)
def _union(areas: Same, layers: tuple[str, ...], place: int) -> shapely.Geometry:
    """All areas of these layers at a place as one prepared geometry, global coordinates."""
    truth = areas.truth
    wanted = np.isin(truth.area_layer, [AREA_LAYERS.index(name) for name in layers]) & (truth.area_location == place)
    union = shapely.unary_union([area_shape(truth, area) for area in np.flatnonzero(wanted).tolist()])
    shapely.prepare(union)
    return union


def area_shape(truth: Truth, area: int) -> shapely.Geometry:
    """One area of the map with its holes, global coordinates."""
    rings = range(*truth.area_ring_start[area : area + 2])
    lines = {ring: truth.ring_vertices[slice(*truth.ring_vertex_start[ring : ring + 2])] for ring in rings}
    holes = [line for ring, line in lines.items() if truth.ring_is_hole[ring]]
    outer = [shapely.Polygon(line, holes) for ring, line in lines.items() if not truth.ring_is_hole[ring]]
    return shapely.make_valid(outer[0]) if len(outer) == 1 else shapely.unary_union(shapely.make_valid(outer))
