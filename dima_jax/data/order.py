"""In which order training reads the windows of a split: endless, random by place, the same for the same seed."""

import functools
from collections.abc import Sequence

import grain
import numpy as np


def order(scenes: Sequence[str], seed: int, together: int):
    """Record number of every place, `order[place]`: each epoch is a permutation of all records, the next another one.

    scenes: of the records, one after the other. together: how many scenes are mixed at a time, 0 for all.
    """
    return SceneGroups(scenes, seed, together) if together else all_mixed(len(scenes), seed)


def all_mixed(records: int, seed: int) -> grain.MapDataset:
    """`order` of so many records without groups of scenes."""
    return grain.MapDataset.range(records).shuffle(seed=seed).repeat()


class SceneGroups:
    """Epochs whose scenes come in random groups of `together`, and the windows of a group in random order.

    So the frames of a group can stay decoded until its last window is made. The last group may be smaller.
    """

    def __init__(self, scenes: Sequence[str], seed: int, together: int):
        names = np.asarray(scenes)
        starts = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1]]))
        self._scenes = np.split(np.arange(len(names)), starts[1:])
        self._size, self._seed, self._together = len(names), seed, together
        self._epoch = functools.lru_cache(maxsize=2)(self._permutation)

    def __getitem__(self, place: int) -> int:
        epoch, place = divmod(place, self._size)
        return int(self._epoch(epoch)[place])

    def _permutation(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng((self._seed, epoch, self._together))
        order = rng.permutation(len(self._scenes))
        groups = (order[start : start + self._together] for start in range(0, len(order), self._together))
        return np.concatenate([rng.permutation(np.concatenate([self._scenes[i] for i in group])) for group in groups])
