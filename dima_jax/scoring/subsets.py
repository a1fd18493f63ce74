"""The groups of frames that scores are reported for one by one."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool

from dima_jax.constants import STEP_SECONDS
from dima_jax.scoring.recorded import Truth

ALL, TURNING, STOPPING, EITHER = ("all frames", "turning frames", "stopping frames", "turns and stops")
MOVING = 1.0  # m/s; a slower ego has nothing to brake


def masks(truth: Truth, lists: Mapping[str, Bool[np.ndarray, " N"]] | None = None) -> dict[str, Bool[np.ndarray, " N"]]:
    """{subset: its frames}: all, then those that the truth can tell, one for each tag of scenes, one for each list.

    A turning frame is one whose command is not "straight"; a stopping frame: `is_stopping`. lists: `token_lists.masks`.
    """
    found = {ALL: np.ones(len(truth.tokens), bool)}
    if truth.targeted is not None:
        found[TURNING] = truth.targeted
    if truth.history is not None and truth.path is not None:
        found[STOPPING] = is_stopping(truth)
    if TURNING in found and STOPPING in found:
        found[EITHER] = found[TURNING] | found[STOPPING]
    if truth.tags is not None:
        for number, tag in enumerate(truth.tag_names.tolist()):
            found[f"scenes with {tag}"] = truth.tags[truth.scene, number]
    return found | {f"frames of {name}": mask for name, mask in (lists or {}).items()}


def is_stopping(truth: Truth) -> Bool[np.ndarray, " N"]:
    """The ego drives faster than 1 m/s and, in some step of the recorded 3 s, at less than half of that.

    Speeds are lengths of the recorded steps of 0.5 s: the last one before the frame, and those after it that exist.
    """
    now = np.linalg.norm(truth.history[:, -1], axis=-1) / STEP_SECONDS
    steps = np.diff(truth.path, axis=1, prepend=np.zeros_like(truth.path[:, :1]))
    future = np.linalg.norm(steps, axis=-1) / STEP_SECONDS
    return (now > MOVING) & ((future < now[:, None] / 2) & truth.path_mask).any(axis=1)
