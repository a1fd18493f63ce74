"""The other road users of a frame every 0.1 s: what was annotated at its key frame and the six that follow.

Between two key frames a box moves and turns evenly; a track that misses key frames between two others is filled in the
same way, and is nowhere before its first and after its last. Ego frame of the frame; meters, radians, m/s.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from dima_jax.categories import LIDARSEG_CATEGORIES
from dima_jax.constants import STEP_SECONDS
from dima_jax.metrics.pdms.ego_start import around
from dima_jax.metrics.pdms.tracker import EVERY, SAMPLES, STEPS
from dima_jax.scoring.frames import brought
from dima_jax.scoring.recorded import Truth

AGENTS = tuple(
    name for name in LIDARSEG_CATEGORIES if name.startswith(("human.", "vehicle.")) and name != "vehicle.ego"
)
OBJECTS = tuple(
    name for name in LIDARSEG_CATEGORIES if name.startswith(("movable_object.", "static_object.", "animal"))
)
_IS_AGENT = np.isin(LIDARSEG_CATEGORIES, AGENTS)
_IS_KNOWN = _IS_AGENT | np.isin(LIDARSEG_CATEGORIES, OBJECTS)


class Tracks(NamedTuple):
    """A tracks, T = 31 samples. boxes: x, y, heading, length, width, NaN where not `present`.

    is_agent: a vehicle or a person, else an object. rows: of the truth's agents at each of the seven key frames, -1 where
    it is not annotated.
    """

    boxes: Float[np.ndarray, "A T 5"]
    present: Bool[np.ndarray, "A T"]
    speed: Float[np.ndarray, "A T"]
    is_agent: Bool[np.ndarray, " A"]
    rows: Int[np.ndarray, "A 7"]


def tracks(truth: Truth, index: int) -> Tracks:
    """Every annotation counts, whatever its points and visibility. For a frame with six future key frames."""
    frames, steps = around(truth, index, 0, STEPS)
    first, end = int(truth.agent_start[frames[0]]), int(truth.agent_start[frames[-1] + 1])
    rows = first + np.flatnonzero(_IS_KNOWN[truth.category[first:end]])
    of_frame = np.searchsorted(truth.agent_start[frames + 1], rows, side="right")
    own = np.linalg.inv(truth.ego2global[index])
    poses = own @ truth.ego2global[frames] @ truth.lidar2ego[frames]
    found = brought(truth.boxes[rows], poses[of_frame])
    _, first_row, track = np.unique(truth.instance[rows], return_index=True, return_inverse=True)
    count, step = len(first_row), steps[of_frame]
    keys, at = np.full((count, STEPS + 1, 5), np.nan), np.full((count, STEPS + 1), -1)
    keys[track, step], at[track, step] = found, rows
    boxes, speed = _between(_filled(keys))
    present = ~np.isnan(boxes[..., 0])
    return Tracks(boxes, present, speed, _IS_AGENT[truth.category[rows[first_row]]], at)


def _filled(keys: Float[np.ndarray, "A 7 5"]) -> Float[np.ndarray, "A 7 5"]:
    """Missing key frames between two others, and headings that turn the short way."""
    known = ~np.isnan(keys[..., 0])
    steps = np.arange(keys.shape[1])
    gaps = ~known & np.maximum.accumulate(known, axis=1) & np.maximum.accumulate(known[:, ::-1], axis=1)[:, ::-1]
    turned = np.flatnonzero((np.abs(np.diff(keys[..., 2], axis=1)) > np.pi).any(axis=1) | gaps.any(axis=1))
    for track in turned:
        here = steps[known[track]]
        values = keys[track, here]
        values[:, 2] = np.unwrap(values[:, 2])
        inside = steps[here[0] : here[-1] + 1]
        keys[track, inside] = np.stack([np.interp(inside, here, column) for column in values.T], axis=1)
    return keys


def _between(keys: Float[np.ndarray, "A 7 5"]) -> tuple[Float[np.ndarray, "A 31 5"], Float[np.ndarray, "A 31"]]:
    """(boxes, speeds) at all samples. A speed is that of the stretch that begins at a sample, or else that ends there."""
    part = (np.arange(SAMPLES - 1) % EVERY)[:, None] / EVERY
    step = np.repeat(np.arange(STEPS), EVERY)
    boxes = np.concatenate([keys[:, step] * (1 - part) + keys[:, step + 1] * part, keys[:, -1:]], axis=1)
    boxes[:, ::EVERY] = keys  # a key frame whose next one is missing
    stretch = np.linalg.norm(np.diff(keys[..., :2], axis=1), axis=-1) / STEP_SECONDS
    ahead = np.concatenate([stretch[:, step], stretch[:, -1:]], axis=1)
    behind = np.concatenate([stretch[:, :1], stretch[:, step]], axis=1)
    return boxes, np.nan_to_num(np.where(np.isnan(ahead), behind, ahead))
