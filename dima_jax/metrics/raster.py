"""Occupancy grids of agents, as the public evaluators draw them, and the grid's cells under the ego's box.

A grid has square cells over +-half meters, one per future step; the same frame as its agents. B boxes of agents, K cells
under an ego's box, P plans, F steps.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from dima_jax.constants import EGO_CENTER_AHEAD, EGO_LENGTH, EGO_WIDTH
from dima_jax.metrics import polygons
from dima_jax.scoring.frames import AgentSelection, F, FrameTruth


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


class Shapes(NamedTuple):
    """B polygons or lines of n (column, row) each, how far they reach, and the step at which each is there."""

    points: Sequence[Int[np.ndarray, "n 2"]]
    low: Int[np.ndarray, "B 2"]
    high: Int[np.ndarray, "B 2"]
    step: Int[np.ndarray, " B"]


class Grids:
    """What the agents of one frame cover. Where an agent's corners fall in a grid is computed once.

    Only agents near the cells that are asked for are drawn, on a sheet that is blank again afterwards.
    """

    def __init__(self) -> None:
        self._boxes: dict[GridSpec, Shapes] = {}

    def boxes(self, spec: GridSpec, frame: FrameTruth) -> Shapes:
        """Those of `frame.agents(spec.selection)`."""
        if spec not in self._boxes:
            agents = frame.agents(spec.selection)
            corners = pixels(spec, agents.boxes)
            self._boxes[spec] = Shapes(corners, corners.min(axis=1), corners.max(axis=1), agents.step)
        return self._boxes[spec]

    def covered(
        self, spec: GridSpec, frame: FrameTruth, rows: Int[np.ndarray, "P F K"], columns: Int[np.ndarray, "P F K"]
    ) -> Bool[np.ndarray, "P F"]:
        """Whether an agent covers any of the cells at each step."""
        return _covered(_sheet(F, spec.cells), self.boxes(spec, frame), rows, columns, fill)

    def first_hit(
        self,
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
        boxes, number = self.boxes(spec, frame), frame.agents(spec.selection).rows
        near = _near(boxes, rows, columns)
        for plan, step in np.argwhere(struck):
            of_step = np.flatnonzero(near[plan] & (boxes.step == step))
            for box in of_step[np.argsort(number[of_step])]:
                one = Shapes(*(field[[box]] for field in boxes))._replace(step=np.zeros(1, np.int64))
                asked = (cells[None, None, plan, step] for cells in (rows, columns))
                if _covered(_sheet(1, spec.cells), one, *asked, fill).any():
                    result[plan, step] = number[box]
                    break
        return result


def lines_covered(
    spec: GridSpec,
    lines: Sequence[Float[np.ndarray, "n 2"]],
    rows: Int[np.ndarray, "P F K"],
    columns: Int[np.ndarray, "P F K"],
) -> Bool[np.ndarray, "P F"]:
    """Whether a line, one cell wide, covers any of the cells; points beyond the grid are moved to its border."""
    if not lines:
        return np.zeros(rows.shape[:2], bool)
    cells = [(line + (spec.half - spec.cell / 2)) / spec.cell for line in lines]
    points = [np.clip(line, 0, spec.cells - 1).astype(np.int32) for line in cells]
    low, high = (np.stack([end(line, axis=0) for line in points]) for end in (np.min, np.max))
    every = (-1, 1, rows.shape[-1])  # lines are there at each step
    shapes = Shapes(points, low, high, np.zeros(len(lines), np.int64))
    found = _covered(_sheet(1, spec.cells), shapes, rows.reshape(every), columns.reshape(every), trace)
    return found.reshape(rows.shape[:2])


def fill(layer: UInt8[np.ndarray, "R C"], corners: Int[np.ndarray, "n 2"]) -> None:
    """Fills a polygon, border included, one in a call: in one call overlaps cancel."""
    cv2.fillPoly(layer, [corners], 1)


def trace(layer: UInt8[np.ndarray, "R C"], points: Int[np.ndarray, "n 2"]) -> None:
    """Draws a line, one cell wide."""
    cv2.polylines(layer, [points], False, 1, thickness=1)


@lru_cache
def _sheet(layers: int, cells: int) -> UInt8[np.ndarray, "layers R C"]:
    """Blank whenever nothing is being drawn: to make a new one of 10 cells a meter takes as long as to draw on it."""
    return np.zeros((layers, cells, cells), np.uint8)


def _covered(
    sheet: UInt8[np.ndarray, "F R C"],
    shapes: Shapes,
    rows: Int[np.ndarray, "P F K"],
    columns: Int[np.ndarray, "P F K"],
    draw: Callable,
) -> Bool[np.ndarray, "P F"]:
    """Whether a shape covers any of the cells at its step."""
    near = _near(shapes, rows, columns)
    layers, drawn = list(sheet), np.flatnonzero(near.any(axis=0)).tolist()
    for number in drawn:
        draw(layers[shapes.step[number]], shapes.points[number])
    result = np.zeros(rows.shape[:2], bool)
    plan, shape = np.nonzero(near)
    result[plan, shapes.step[shape]] = True
    plan, step = np.nonzero(result)
    result[plan, step] = sheet[step[:, None], rows[plan, step], columns[plan, step]].any(axis=-1)
    for number in drawn:
        (left, top), (right, bottom) = np.maximum(shapes.low[number], 0), shapes.high[number] + 1
        layers[shapes.step[number]][top:bottom, left:right] = 0
    return result


def _near(shapes: Shapes, rows: Int[np.ndarray, "P F K"], columns: Int[np.ndarray, "P F K"]) -> Bool[np.ndarray, "P B"]:
    """Whether the extent of a shape meets that of each plan's cells at its step."""
    ends = [columns.min(axis=-1), rows.min(axis=-1), -columns.max(axis=-1), -rows.max(axis=-1)]
    reach = np.concatenate([shapes.high, -shapes.low], axis=1)
    return (reach.T[:, None] >= np.stack(ends)[..., shapes.step]).all(axis=0)


def pixels(spec: GridSpec, boxes: Float[np.ndarray, "B 5"]) -> Int[np.ndarray, "B 4 2"]:
    """(column, row) of each corner of boxes: x, y, heading, length, width."""
    corners = polygons.corners(boxes)
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
