"""Which frames of an evaluation are drawn: the widest of the first scenes, and those that show the usual and the worst.

Nothing of a frame's images is kept; what is chosen is read again from the records.
"""

from typing import NamedTuple

import numpy as np

from dima_jax.data.sequences import Drives
from dima_jax.driving import Drive


class Picture(NamedTuple):
    """A frame to be drawn. name: of its file, without suffix; note: why it was chosen, or empty."""

    name: str
    note: str
    driven: Drive


class _Scored(NamedTuple):
    """l2: meters, of the frame or the scene's mean. median, worst: of the scene's frames by L2."""

    l2: float
    median: Drive
    worst: Drive


class Highlights:
    """Sees every driven frame once (`add`), scene by scene, and then names the pictures (`pictures`).

    num_scenes: of how many scenes, from the first, the frame whose recorded path goes farthest to a side is drawn.
    Without any there are no pictures at all. Frames without a whole recorded future do not count.
    """

    def __init__(self, num_scenes: int):
        self._num_scenes = num_scenes
        self._widest: dict[str, Drive] = {}
        self._scenes: list[_Scored] = []
        self._current: list[tuple[float, Drive]] = []  # of the scene that is being driven

    def add(self, driven: Drive, l2: float) -> None:
        """driven: the next frame; l2: the student's error in it, meters."""
        if self._num_scenes and driven.frame.future_valid:
            driven = _without_images(driven)
            if self._current and self._current[0][1].frame.scene != driven.frame.scene:
                self._end_scene()
            self._current.append((l2, driven))
            self._keep_widest(driven)

    def pictures(self, drives: Drives) -> list[Picture]:
        """The widest frames by the name of their scene, then "median" and "worst", a frame each.

        By the student's mean L2 over a scene: of the median scene the frame of median L2, of the worst scene the worst.
        drives: of the same split.
        """
        if self._current:
            self._end_scene()
        chosen = [Picture(name, "", driven) for name, driven in self._widest.items()]
        if self._scenes:
            ordered = sorted(self._scenes, key=lambda scene: scene.l2)
            usual, worst = _median(ordered), ordered[-1]
            chosen.append(Picture("median", f"median scene by L2 ({usual.l2:.2f} m)", usual.median))
            chosen.append(Picture("worst", f"worst scene by L2 ({worst.l2:.2f} m)", worst.worst))
        return [p._replace(driven=p.driven._replace(frame=drives[p.driven.frame.index])) for p in chosen]

    def _end_scene(self) -> None:
        ordered = sorted(self._current, key=lambda scored: scored[0])
        mean = float(np.mean([l2 for l2, _ in ordered]))
        self._scenes.append(_Scored(mean, _median(ordered)[1], ordered[-1][1]))
        self._current = []

    def _keep_widest(self, driven: Drive) -> None:
        scene, side = driven.frame.scene, abs(driven.recorded_path[-1, 0])
        if scene not in self._widest and len(self._widest) >= self._num_scenes:
            return
        if scene not in self._widest or side > abs(self._widest[scene].recorded_path[-1, 0]):
            self._widest[scene] = driven


def _median(ordered: list):
    """The lower of the two middle ones of an even number."""
    return ordered[(len(ordered) - 1) // 2]


def _without_images(driven: Drive) -> Drive:
    """The frame without what fills memory."""
    return driven._replace(frame=driven.frame._replace(frame=None, agents=None, map=None, jpegs=[]))
