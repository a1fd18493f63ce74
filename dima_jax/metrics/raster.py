"""Occupancy grids of agents, as the public evaluators draw them, and the grid's cells under the ego's box.

A grid has square cells over +-half meters, one per future step; the same frame as its agents. B boxes of agents, K cells
under an ego's box, P plans, F steps.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from dima_jax.constants import EGO_CENTER_AHEAD, EGO_LENGTH, EGO_WIDTH
from dima_jax.metrics import polygons
from dima_jax.scoring.frames import AgentSelection, F, FrameTruth, StepAgents


class GridSpec(NamedTuple):
    """How agents are drawn.

    rounding of a corner to a cell: "half_even" = to the nearest corner of cells, halves to even; "truncate" = to the
    nearest center of cells, halves up, toward 0 where negative. down: row 0 is the largest y, not the least.
    """

    selection: AgentSelection
    cell: float
    half: float
    rounding: str
    down: bool

    @property
    def cells(self) -> int:
        """Cells a side."""
        return round(2 * self.half / self.cell)


class Grids:
    """The grids of one frame; each is drawn when it is asked for, once."""

    def __init__(self) -> None:
        self._grids: dict[GridSpec, Bool[np.ndarray, "F R C"]] = {}

    def get(self, spec: GridSpec, frame: FrameTruth) -> Bool[np.ndarray, "F R C"]:
        """Which cells an agent covers at each step; [step, row of y, column of x]."""
        if spec not in self._grids:
            self._grids[spec] = draw(spec, frame.agents(spec.selection))
        return self._grids[spec]


def draw(spec: GridSpec, agents: StepAgents) -> Bool[np.ndarray, "F R C"]:
    """Every agent's box is filled, border included (`cv2.fillPoly`, one call a box: in one call overlaps cancel)."""
    grids = np.zeros((F, spec.cells, spec.cells), np.uint8)
    pixels = _pixels(spec, agents)
    step = agents.step
    if pixels.min(initial=0) < 0 or pixels.max(initial=0) >= spec.cells:  # what is wholly beyond the grid is left out
        seen = (pixels.max(axis=1) >= 0).all(axis=1) & (pixels.min(axis=1) < spec.cells).all(axis=1)
        step, pixels = step[seen], pixels[seen]
    layers = list(grids)
    for layer, box in zip(step.tolist(), pixels, strict=True):
        cv2.fillPoly(layers[layer], [box], 1)
    return grids.view(bool)


def draw_lines(spec: GridSpec, lines: Sequence[Float[np.ndarray, "n 2"]]) -> Bool[np.ndarray, "1 R C"]:
    """Lines one cell wide; points beyond the grid are moved to its border."""
    grid = np.zeros((1, spec.cells, spec.cells), np.uint8)
    for line in lines:
        pixels = np.clip((line + (spec.half - spec.cell / 2)) / spec.cell, 0, spec.cells - 1).astype(np.int32)
        cv2.polylines(grid[0], [pixels], False, 1, thickness=1)
    return grid.view(bool)


def _pixels(spec: GridSpec, agents: StepAgents) -> Int[np.ndarray, "B 4 2"]:
    """(column, row) of each corner."""
    corners = polygons.corners(agents.boxes)
    if spec.down:
        corners = corners * np.array([1, -1], corners.dtype)
    if spec.rounding == "half_even":
        return np.round((corners + spec.half) / spec.cell).astype(np.int32)
    if spec.rounding == "truncate":
        return ((corners + (spec.half - spec.cell / 2)) / spec.cell).astype(np.int32)
    raise ValueError(f"no rounding {spec.rounding!r}")


@lru_cache
def ego_cells(spec: GridSpec, ahead: float) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """(along, across) in cells from the grid's first corner: the cells under an ego's box at the grid's center.

    ahead: meters from the plan's point to the center of the box, forward. A cell is under the box if its center is.
    """
    first = spec.half - spec.cell / 2  # meters from the grid's center to that of its first cell
    low, high = (
        np.ceil((first + ahead - EGO_LENGTH / 2) / spec.cell),
        np.floor((first + ahead + EGO_LENGTH / 2) / spec.cell),
    )
    right, left = np.ceil((first - EGO_WIDTH / 2) / spec.cell), np.floor((first + EGO_WIDTH / 2) / spec.cell)
    along, across = np.meshgrid(np.arange(low, high + 1), np.arange(right, left + 1), indexing="ij")
    return along.ravel(), across.ravel()


def to_cells(spec: GridSpec, cells: Float[np.ndarray, "P F K"]) -> Int[np.ndarray, "P F K"]:
    """Whole numbers of cells, toward 0, moved to the border where they are beyond the grid or not finite."""
    return np.minimum(np.fmax(cells, 0), spec.cells - 1).astype(np.int64)


def level_box_cells(
    spec: GridSpec, plans: Float[np.ndarray, "P F 2"]
) -> tuple[Int[np.ndarray, "P F K"], Int[np.ndarray, "P F K"]]:
    """(rows, columns) under an ego's box that never turns, at each waypoint. Meters in the LiDAR frame."""
    along, across = ego_cells(spec, EGO_CENTER_AHEAD)
    x, y = np.moveaxis(plans.astype(np.float64)[..., None] / spec.cell, 2, 0)
    ahead = y + along
    return to_cells(spec, spec.cells - ahead if spec.down else ahead), to_cells(spec, x + across)


def covered(
    grid: Bool[np.ndarray, "steps R C"], rows: Int[np.ndarray, "P F K"], columns: Int[np.ndarray, "P F K"]
) -> Bool[np.ndarray, "P F"]:
    """Whether an agent covers any of the cells at each step. grid: of each step, or one for all."""
    step = np.arange(rows.shape[1])[:, None] if len(grid) > 1 else 0
    return grid[step, rows, columns].any(axis=-1)


def first_hit(
    spec: GridSpec,
    frame: FrameTruth,
    struck: Bool[np.ndarray, "P F"],
    rows: Int[np.ndarray, "P F K"],
    columns: Int[np.ndarray, "P F K"],
) -> Int[np.ndarray, "P F"]:
    """Of the agents that cover one of the cells where `struck`, the lowest row of the truth's agents; else -1."""
    result = np.full(struck.shape, -1)
    if not struck.any():
        return result
    agents = frame.agents(spec.selection)
    pixels = _pixels(spec, agents)
    scratch = np.zeros((spec.cells, spec.cells), np.uint8)
    for plan, step in np.argwhere(struck):
        row, column = rows[plan, step], columns[plan, step]
        low, high = (row.min(), column.min()), (row.max(), column.max())
        reach = (pixels.max(axis=1) >= low[::-1]) & (pixels.min(axis=1) <= high[::-1])
        near = np.flatnonzero((agents.step == step) & reach.all(axis=1))
        for agent in near[np.argsort(agents.rows[near])]:
            cv2.fillPoly(scratch, [pixels[agent]], 1)
            met = scratch[row, column].any()
            cv2.fillPoly(scratch, [pixels[agent]], 0)
            if met:
                result[plan, step] = agents.rows[agent]
                break
    return result
