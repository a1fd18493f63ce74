"""Which key frames make a training sample, and what changes when they stand in a row (docs/vad.md#windows).

A window is history + 1 + future key frames of one scene. The history is VAD's (of the history + 1 frames before the
current one, one is left out by chance, and the next later frame replaces one before the start of the scene) or the one
of a drive that began 0 to `history` frames ago, as evaluation has it. A frame after the end of the scene is absent.
"""

from typing import NamedTuple

import numpy as np


class Window(NamedTuple):
    """records [T] int: record number of each frame; mask [T] bool: False where the window has no such frame."""

    records: np.ndarray
    mask: np.ndarray


def window(
    record: int, frame_index: int, scene_length: int, history: int, future: int, rng, random_start: bool
) -> Window:
    """The window around the current frame `record`, which is number `frame_index` of its scene.

    The records of a scene are consecutive. rng: numpy Generator; it draws once either way, so that the rest of a window
    does not depend on random_start. random_start False: VAD's history, a gap at the start of the scene repeats the next
    frame, which counts. True: the drive begins 0 to history frames before the current one, drawn evenly, or where the
    scene does; the places before it hold its first frame and are False in the mask. A gap in the future holds the
    current frame (to be blanked) and is False, too.
    """
    drawn = int(rng.integers(history + 1)) if history else 0
    if random_start:
        past, first = np.arange(-history, 0), -min(drawn, frame_index)
        known = past >= first
    else:
        past = np.delete(np.arange(-history - 1, 0), drawn)
        first = min((step for step in past if frame_index + step >= 0), default=0)
        known = np.ones(history, bool)
    ahead = np.arange(future + 1)
    inside = frame_index + ahead < scene_length
    steps = np.concatenate([np.maximum(past, first), np.where(inside, ahead, 0)])
    return Window(record + steps, np.concatenate([known, inside]))


def can_bus_deltas(can_bus: np.ndarray) -> np.ndarray:
    """[T, 18] absolute to what the student reads: position [0:3] and yaw [17] relative to the frame before, first zero.

    The yaw difference (degrees) is not wrapped: VAD lets +-360 into its CAN bus MLP.
    """
    result = can_bus.copy()
    for column in (0, 1, 2, 17):
        result[:, column] = np.diff(can_bus[:, column], prepend=can_bus[0, column])
    return result
