"""Planning metrics as VAD publishes them (`stp3-vad`; metric_stp3.py, docs/vad.md#metrics), and those at the horizon.

Per frame: the distance of each waypoint to the recorded path, and whether the ego's box overlaps an agent's box on a
grid of 0.5 m. The reference's peculiarities are kept, because the published numbers were measured with them: the ego
box never turns, agents are those visible at the current frame, road users are selected by raw category index (quirk
Q2), steps at which the recorded path itself collides count as free, and the point collision tests the wrong cell (Q7).
Distances in meters in the LiDAR frame of the current key frame (x right, y forward), steps of 0.5 s.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from dima_jax.constants import EGO_CENTER_AHEAD, EGO_LENGTH, EGO_WIDTH

HUMAN_CATEGORIES = range(2, 9)  # quirk Q2: rows of the 32-entry lidarseg category table
VEHICLE_CATEGORIES = range(14, 24)
CELL = 0.5  # meters
GRID = 200  # cells per side
HALF = GRID * CELL / 2  # meters from the center to the border
EGO_FRONT, EGO_REAR = EGO_LENGTH / 2 + EGO_CENTER_AHEAD, EGO_LENGTH / 2 - EGO_CENTER_AHEAD  # meters from the LiDAR
EGO_SIDE = EGO_WIDTH / 2
STEPS_PER_SECOND = 2
HORIZONS = (1, 2, 3)  # seconds
PROTOCOLS = {"stp3-vad": "mean of the steps up to the horizon", "at-horizon": "value at the horizon, grid of stp3-vad"}


class FrameScore(NamedTuple):
    """The scores of one plan at one frame. Collisions leave out steps at which the recorded path itself collides.

    l2: meters to the recorded waypoint. recorded_collision: of the recorded path. counted: the whole recorded future
    exists; only such frames enter a mean (`fut_valid_flag`).
    """

    l2: Float[np.ndarray, " F"]
    box_collision: Bool[np.ndarray, " F"]
    point_collision: Bool[np.ndarray, " F"]
    recorded_collision: Bool[np.ndarray, " F"]
    counted: bool


def score_frame(
    waypoints: Float[np.ndarray, "F 2"],
    recorded_waypoints: Float[np.ndarray, "F 2"],
    occupied: Bool[np.ndarray, "F rows columns"],
    *,
    counted: bool | np.bool,
) -> FrameScore:
    """Scores a plan. Waypoints in meters; occupied: from `occupancy`; counted: see `FrameScore`."""
    waypoints, recorded = np.asarray(waypoints, np.float32), np.asarray(recorded_waypoints, np.float32)
    recorded_collision = box_collision(recorded, occupied)
    return FrameScore(
        l2=np.linalg.norm(waypoints - recorded, axis=-1),
        box_collision=box_collision(waypoints, occupied) & ~recorded_collision,
        point_collision=_point_collision(waypoints, occupied) & ~recorded_collision,
        recorded_collision=recorded_collision,
        counted=bool(counted),
    )


def summarize(
    scores: Sequence[FrameScore], subset: Sequence[bool] | Bool[np.ndarray, " frames"] | None = None
) -> dict[str, dict[str, float]]:
    """{protocol: {"frames", "l2_1s" ... "l2_avg", "collision_1s" ... "collision_avg", "point_collision_..."}}.

    subset: mask of the frames to use. Meters, and shares in [0, 1] (published tables: percent). Without a counted frame
    in the subset every mean is NaN.
    """
    chosen = [s for i, s in enumerate(scores) if s.counted and (subset is None or subset[i])]
    table = {}
    for protocol in PROTOCOLS:
        row = {"frames": len(chosen)}
        for name, field in (
            ("l2", "l2"),
            ("collision", "box_collision"),
            ("point_collision", "point_collision"),
        ):
            steps = np.array([getattr(s, field) for s in chosen], np.float64)  # [frames, F]
            values = [_reduce(steps, seconds * STEPS_PER_SECOND, protocol) for seconds in HORIZONS]
            row |= {f"{name}_{seconds}s": value for seconds, value in zip(HORIZONS, values, strict=True)}
            row[f"{name}_avg"] = float(np.mean(values))
        table[protocol] = row
    return table


def _reduce(steps: Float[np.ndarray, "frames ..."], upto: int, protocol: str) -> float:
    """The mean over frames, and over the first `upto` steps or at the last of them. NaN of no frames."""
    if not len(steps):
        return float("nan")
    return float(steps[:, upto - 1].mean() if protocol == "at-horizon" else steps[:, :upto].mean())


def occupancy(
    boxes: Float[np.ndarray, "G 9"],
    category: Int[np.ndarray, " G"],
    future_offsets: Float[np.ndarray, "G F 2"],
    future_mask: Shaped[np.ndarray, "G F"],
    future_yaw: Float[np.ndarray, "G F"],
    categories: Iterable[int] | None = None,
) -> Bool[np.ndarray, "F rows columns"]:
    """Grids of where road users will be at each step: row 0 = 50 m ahead, column 0 = 50 m to the left.

    boxes: (cx, cy, cz, w, l, h, yaw_box, vx, vy) of real agents. category: index in the lidarseg table (quirk Q2).
    future_offsets: meters per step. future_mask: above 0 = the step is real. future_yaw: radians per step. categories:
    the indices that count, by default humans and vehicles.
    """
    categories = [*HUMAN_CATEGORIES, *VEHICLE_CATEGORIES] if categories is None else list(categories)
    future_mask = future_mask > 0
    grids = np.zeros((future_mask.shape[-1], GRID, GRID), np.uint8)
    for agent in np.flatnonzero(np.isin(category, categories)):
        corners = _future_corners(boxes[agent], future_offsets[agent], future_yaw[agent])
        for step in np.flatnonzero(future_mask[agent]):
            cv2.fillPoly(grids[step], [_pixels(corners[step])], 1)
    return grids.astype(bool)


def _future_corners(
    box: Float[np.ndarray, "9"], offsets: Float[np.ndarray, "F 2"], yaw_steps: Float[np.ndarray, " F"]
) -> Float[np.ndarray, "F 4 2"]:
    """Corners in meters of a box moved and turned by its offsets and yaw changes of each step."""
    centers = box[:2] + np.cumsum(offsets, axis=0)
    heading = -(box[6] + np.pi / 2) + np.cumsum(yaw_steps)
    width, length = box[3], box[4]
    local = np.array([[length, width], [length, -width], [-length, -width], [-length, width]]) / 2
    cos, sin = np.cos(heading), np.sin(heading)
    turn = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)  # [F, 2, 2]
    return centers[:, None] + np.einsum("fij,cj->fci", turn, local)


def _pixels(corners: Float[np.ndarray, "4 2"]) -> Int[np.ndarray, "4 2"]:
    """Meters to integer (column, row), halves rounded to even."""
    return np.round(np.stack([corners[:, 0] + HALF, HALF - corners[:, 1]], -1) / CELL).astype(np.int32)


@lru_cache(maxsize=1)
def _ego_cells() -> tuple[Float[np.ndarray, " cells"], Float[np.ndarray, " cells"]]:
    """(rows, columns) offsets of the cells under the ego box, counted from the grid's lower left corner."""
    first = HALF - CELL / 2  # meters from the LiDAR to the center of cell 0
    low, high = np.ceil((first - EGO_REAR) / CELL), np.floor((first + EGO_FRONT) / CELL)
    left, right = np.ceil((first - EGO_SIDE) / CELL), np.floor((first + EGO_SIDE) / CELL)
    rows, columns = np.meshgrid(np.arange(low, high + 1), np.arange(left, right + 1), indexing="ij")
    return rows.ravel(), columns.ravel()


def box_collision(
    waypoints: Float[np.ndarray, "F 2"], occupied: Bool[np.ndarray, "F rows columns"]
) -> Bool[np.ndarray, " F"]:
    """Whether the ego's box (which never turns) at each waypoint covers an occupied cell."""
    rows, columns = _ego_cells()
    cells = waypoints.astype(np.float64) / CELL
    row = np.clip((GRID - (cells[:, 1:] + rows)).astype(np.int32), 0, GRID - 1)
    column = np.clip((cells[:, :1] + columns).astype(np.int32), 0, GRID - 1)
    return occupied[np.arange(len(cells))[:, None], row, column].any(-1)


def _point_collision(
    waypoints: Float[np.ndarray, "F 2"], occupied: Bool[np.ndarray, "F rows columns"]
) -> Bool[np.ndarray, " F"]:
    """Whether the cell of each waypoint is occupied, at half the true offset of the grid (quirk Q7), so hardly ever."""
    offset = (HALF - CELL / 2) / 2
    row = ((offset - waypoints[:, 1]) / CELL).astype(np.int64)
    column = ((offset + waypoints[:, 0]) / CELL).astype(np.int64)
    inside = (row >= 0) & (row < GRID) & (column >= 0) & (column < GRID)
    hit = occupied[np.arange(len(waypoints)), np.clip(row, 0, GRID - 1), np.clip(column, 0, GRID - 1)]
    return inside & hit
