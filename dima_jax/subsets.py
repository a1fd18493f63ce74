"""The groups of frames that an evaluation reports one by one."""

import numpy as np

from dima_jax.constants import COMMANDS, STEP_SECONDS
from dima_jax.data.sequences import DriveFrame

ALWAYS = ("all frames", "turning frames", "stopping frames", "turns and stops")
MOVING = 1.0  # m/s; a slower ego has nothing to brake


def subsets_of(frame: DriveFrame) -> list[str]:
    """Names of the subsets of a frame: some of ALWAYS, then one for each tag of its scene.

    A turning frame is one whose command is not "straight"; a stopping frame: `is_stopping`.
    """
    turns, stops = COMMANDS[frame.command] != "straight", is_stopping(frame)
    member = dict(zip(ALWAYS, (True, turns, stops, turns or stops), strict=True))
    return [name for name in ALWAYS if member[name]] + [f"scenes with {tag}" for tag in frame.tags]


def is_stopping(frame: DriveFrame) -> bool:
    """The ego drives faster than 1 m/s and, in some step of the recorded 3 s, at less than half of that.

    Speeds are lengths of the recorded steps of 0.5 s: the last one before the frame, and those after it that exist.
    """
    now = np.linalg.norm(frame.ego.history_offsets[0, -1]) / STEP_SECONDS
    future = np.linalg.norm(frame.ego.future_offsets[0], axis=-1)[frame.ego.future_mask[0]] / STEP_SECONDS
    return bool(now > MOVING and (future < now / 2).any())


def masks(members: list[list[str]]) -> dict[str, np.ndarray]:
    """{subset: [frames] bool} of what `subsets_of` says of each frame; ALWAYS first, tags in order of appearance."""
    names = dict.fromkeys([*ALWAYS, *(name for found in members for name in found)])
    return {name: np.array([name in found for found in members], bool) for name in names}
