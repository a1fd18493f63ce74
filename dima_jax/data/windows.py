"""Which key frames make a training sample, and what changes when they stand in a row (docs/vad.md#windows).

A window is history + 1 + future key frames of one scene. The history is VAD's (of the history + 1 frames before the
current one, one is left out by chance) or the one that evaluation has: the frames directly before. A frame before the
start of the scene is replaced by the next later one of the window; a frame after its end is absent.
"""

from typing import NamedTuple

import numpy as np


class Window(NamedTuple):
    """records [T] int: record number of each frame; mask [T] bool: False where the scene has no such frame."""

    records: np.ndarray
    mask: np.ndarray


def window(
    record: int, frame_index: int, scene_length: int, history: int, future: int, rng, drop_history: bool
) -> Window:
    """The window around the current frame `record`, which is number `frame_index` of its scene.

    The records of a scene are consecutive. A gap in the history repeats the next frame, a gap in the future the current
    one (to be blanked); both are False in the mask. rng: numpy Generator. drop_history: leave one of the history + 1
    frames out, else the earliest; rng draws either way, so that the rest of a window does not depend on it.
    """
    candidates = np.arange(-history - 1, 0)
    left_out = rng.integers(history + 1) if history else 0
    past = np.delete(candidates, left_out if drop_history else 0)
    steps = np.concatenate([past, np.arange(future + 1)])
    mask = (frame_index + steps >= 0) & (frame_index + steps < scene_length)
    following = 0
    for t in range(history - 1, -1, -1):
        following = steps[t] = steps[t] if mask[t] else following
    steps[~mask & (np.arange(len(steps)) > history)] = 0
    return Window(record + steps, mask)


def can_bus_deltas(can_bus: np.ndarray) -> np.ndarray:
    """[T, 18] absolute to what the student reads: position [0:3] and yaw [17] relative to the frame before, first zero.

    The yaw difference (degrees) is not wrapped: VAD lets +-360 into its CAN bus MLP.
    """
    result = can_bus.copy()
    for column in (0, 1, 2, 17):
        result[:, column] = np.diff(can_bus[:, column], prepend=can_bus[0, column])
    return result
