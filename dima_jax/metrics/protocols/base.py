"""What a planning protocol is: its definition, what it says of one frame, and how that becomes one number per column.

F = 6 future steps of 0.5 s, P planners on the same frames. Meters; shares in [0, 1].
"""

import abc
import hashlib
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from dima_jax.output_files import json_text
from dima_jax.scoring.truth import Truth


class Column(NamedTuple):
    """One number of a table: a quantity at some steps of a frame, then its mean over frames.

    steps: numbers from 0. how: "mean", "any" (the largest, of a quantity that is 0 or 1) or "sum" of the steps. weight:
    what becomes of steps whose mask is False. "mask": they are left out, and so is a frame without any other. "frame":
    they count as 0.
    """

    name: str
    quantity: str
    steps: tuple[int, ...]
    how: str
    weight: str = "mask"


class Definition(NamedTuple):
    """All that makes one protocol's numbers comparable. Its hash stands beside the numbers.

    frames: which frames enter, a key of `FRAMES`. quantities: {name: unit}. averages: {name: the columns whose means it
    is the mean of}. mask_rule: in words. constants: sizes, thresholds, categories. needs: groups of the truth
    (`scoring.truth.GROUPS`) without which there is no number at all.
    """

    name: str
    version: int
    title: str
    source: str
    frames: str
    quantities: dict[str, str]
    columns: tuple[Column, ...]
    averages: dict[str, tuple[str, ...]]
    mask_rule: str
    constants: dict[str, float | str | list]
    needs: tuple[str, ...]

    @property
    def hash(self) -> str:
        """12 hexadecimal digits of the SHA-256 of all fields."""
        return hashlib.sha256(json_text(self._asdict(), sort_keys=True).encode()).hexdigest()[:12]


class Plans(NamedTuple):
    """The plans of P planners in the n frames of a truth; NaN where a planner has none.

    lidar, ego: x, y, heading of the LiDAR's origin in the LiDAR frame, and of the ego's in the ego frame. native: in
    which of them each planner's distances are measured. covered: the planner has a plan for the frame.
    """

    names: list[str]
    lidar: Float[np.ndarray, "P n F 3"]
    ego: Float[np.ndarray, "P n F 3"]
    native: list[str]
    covered: Bool[np.ndarray, "P n"]


class Steps(NamedTuple):
    """What a protocol says of P plans in one frame, by quantity.

    hit: the row, in the truth's agents, of the agent that is struck, -1 for none. recorded: the recorded path itself
    collides, without any exemption.
    """

    values: dict[str, Float[np.ndarray, "P F"]]
    masks: dict[str, Bool[np.ndarray, "P F"]]
    hit: Int[np.ndarray, "P F"]
    recorded: Bool[np.ndarray, " F"]


class Protocol(abc.ABC):
    """A planning protocol. grids: the occupancy grids that `frame` reads, () for one that compares polygons."""

    definition: Definition
    grids: tuple[Any, ...]

    @abc.abstractmethod
    def frame(
        self,
        frame: Any,
        grids: Any,
        lidar: Float[np.ndarray, "P F 3"],
        ego: Float[np.ndarray, "P F 3"],
        l2: Float[np.ndarray, "P F"],
    ) -> Steps:
        """Scores all plans of one frame. frame: what was there; grids: by spec; l2: meters in each planner's frame."""

    def sequence(self, truth: Truth, plans: Plans, steps: dict) -> None:  # noqa: B027 - most have nothing to do
        """Called once after all frames, for what compares plans of consecutive frames; changes `steps`."""


FRAMES = {  # {name: (groups that it needs, which frames enter)}
    "all": ((), lambda truth: np.ones(len(truth.tokens), bool)),
    "future_valid": (("masks",), lambda truth: truth.future_valid),
    "not_first": (("scenes",), lambda truth: truth.frame_index > 0),
}


def enters(definition: Definition, truth: Truth) -> Bool[np.ndarray, " N"]:
    """Which frames of the truth the protocol takes. ValueError where the truth lacks what says so."""
    groups, chosen = FRAMES[definition.frames]
    if not truth.has(*groups):
        raise ValueError(f"{definition.name} takes {definition.frames} frames, which needs {', '.join(groups)}")
    return chosen(truth)


def reduce(
    definition: Definition,
    values: dict[str, Float[np.ndarray, "n F"]],
    masks: dict[str, Bool[np.ndarray, "n F"]],
    entered: Bool[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, "n C"], Float[np.ndarray, "n C"]]:
    """(value, weight) of each column in each frame of one planner, float64; a table says sum(weight * value) / sum(weight).

    values, masks: by quantity; a quantity that is not there (the truth lacks what it needs) has weight 0. entered: the
    protocol takes the frame and the planner has a plan for it. weight: the part of the column's steps that counts, in
    [0, 1]. value: NaN where the weight is 0. A step that counts and is NaN makes the value NaN.
    """
    shape = (len(entered), len(definition.columns))
    value, weight = np.full(shape, np.nan), np.zeros(shape)
    for number, column in enumerate(definition.columns):
        if column.quantity in values:
            steps = list(column.steps)
            found, share = _column(column, values[column.quantity][:, steps], masks[column.quantity][:, steps])
            weight[:, number] = np.where(entered, share, 0.0)
            value[:, number] = np.where(weight[:, number] > 0, found, np.nan)
    return value, weight


def _column(
    column: Column, values: Float[np.ndarray, "n steps"], mask: Bool[np.ndarray, "n steps"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """(value, weight) of each frame."""
    known = np.where(mask, values.astype(np.float64), 0.0)
    whole, count = mask.shape[1], mask.sum(axis=1)
    if column.weight == "frame":
        count = np.full(len(mask), whole)
    elif column.weight != "mask":
        raise ValueError(f"{column.name}: no weight {column.weight!r}")
    if column.how == "mean":
        return known.sum(axis=1) / np.maximum(count, 1), count / whole
    if column.how == "any":
        return known.max(axis=1), (count > 0).astype(np.float64)
    if column.how == "sum":
        return known.sum(axis=1), (count > 0).astype(np.float64)
    raise ValueError(f"{column.name}: no way {column.how!r} to join steps")
