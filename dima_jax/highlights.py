"""Which frames of an evaluation are drawn: the worst, at most one of a scene, and one that shows the usual."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Picture(NamedTuple):
    """name: of its file, without suffix; note: why it was chosen; frame: its number."""

    name: str
    note: str
    frame: int


def chosen(l2: Float[np.ndarray, " n"], scene: Int[np.ndarray, " n"], count: int) -> list[Picture]:
    """The `count` worst frames by L2, one of a scene, and, unless count is 0, the frame of median L2 of the scene of
    median mean L2 (the lower of two).

    l2: meters of each frame, NaN where it does not count. scene: the number of each frame's scene.
    """
    known = np.flatnonzero(~np.isnan(l2))
    if not count or not len(known):
        return []
    groups = [known[scene[known] == one] for one in np.unique(scene[known])]
    worst = sorted((frames[l2[frames].argmax()] for frames in groups), key=lambda frame: -l2[frame])[:count]
    pictures = [
        Picture(f"worst-{number}", f"worst scenes, number {number}: L2 {l2[frame]:.2f} m", int(frame))
        for number, frame in enumerate(worst, start=1)
    ]
    usual = _median(sorted(groups, key=lambda frames: l2[frames].mean()))
    frame = _median(sorted(usual, key=lambda frame: l2[frame]))
    return [*pictures, Picture("median", f"median scene by L2 ({l2[usual].mean():.2f} m)", int(frame))]


def _median(ordered: list):
    """The lower of the two middle ones of an even number."""
    return ordered[(len(ordered) - 1) // 2]
