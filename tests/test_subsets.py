"""Which frames turn, which stop, and the subsets of a split."""

from types import SimpleNamespace

import numpy as np
import pytest

from dima_jax import subsets


def frame(*speeds, command=2, tags=(), known=6):
    """speeds: m/s of the step before the frame and of the six after it."""
    steps = np.zeros((7, 2))
    steps[: len(speeds), 1] = np.array(speeds) * 0.5
    ego = SimpleNamespace(
        history_offsets=np.stack([steps[:1], steps[:1]], axis=1),
        future_offsets=steps[None, 1:],
        future_mask=(np.arange(6) < known)[None],
    )
    return SimpleNamespace(ego=ego, command=command, tags=tags)


STEADY = (8.0,) * 7


@pytest.mark.parametrize(
    ("speeds", "known", "stops"),
    [
        (STEADY, 6, False),
        ((8, 7, 6, 5, 4.1, 4.1, 4.1), 6, False),
        ((8, 7, 6, 5, 3.9, 5, 8), 6, True),  # more than halved, if only for a moment
        ((1.2, 0.4, 0, 0, 0, 0, 0), 6, True),
        ((0.9, 0, 0, 0, 0, 0, 0), 6, False),  # hardly moved before
        ((8, 8, 8, 8, 0, 0, 0), 3, False),  # the drop is beyond what was recorded
    ],
)
def test_stopping_is_more_than_half_of_the_speed_lost(speeds, known, stops):
    assert subsets.is_stopping(frame(*speeds, known=known)) is stops


def test_subsets_grow_with_their_tags():
    seen = [frame(*STEADY), frame(*STEADY, command=0, tags=("overtake",)), frame(8, 1, tags=("overtake", "stop"))]
    masks = subsets.masks([subsets.subsets_of(one) for one in seen])
    assert {name: mask.tolist() for name, mask in masks.items()} == {
        "all frames": [True, True, True],
        "turning frames": [False, True, False],
        "stopping frames": [False, False, True],
        "turns and stops": [False, True, True],
        "scenes with overtake": [False, True, True],
        "scenes with stop": [False, False, True],
    }
    assert [*masks][:4] == [*subsets.ALWAYS]
