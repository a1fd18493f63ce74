"""The order of windows: permutations, by scenes where asked for."""

import numpy as np
import pytest

from dima_jax.data.order import order

LENGTHS = (3, 5, 2, 4, 6)
SCENES = [f"scene-{number}" for number, length in enumerate(LENGTHS) for _ in range(length)]
EPOCH = len(SCENES)


def epochs(together, seed=0, count=2):
    found = order(SCENES, seed, together)
    return [[int(found[place]) for place in range(start, start + EPOCH)] for start in range(0, count * EPOCH, EPOCH)]


@pytest.mark.parametrize("together", [0, 1, 2, 7])
def test_every_epoch_is_another_permutation_that_hangs_on_the_seed(together):
    first, second = epochs(together)
    assert sorted(first) == sorted(second) == list(range(EPOCH)) and first != second
    assert epochs(together) == [first, second] and epochs(together, seed=1)[0] != first


@pytest.mark.parametrize("together", [1, 2])
def test_scenes_come_in_groups_and_their_windows_in_random_order(together):
    for epoch in epochs(together, count=3):
        names = [SCENES[record] for record in epoch]
        seen = list(dict.fromkeys(names))
        groups = [{*seen[start : start + together]} for start in range(0, len(seen), together)]
        for group in groups:
            size = sum(LENGTHS[int(name[-1])] for name in group)
            assert {*names[:size]} == group
            names = names[size:]
        assert not names
    assert epoch != sorted(epoch)
    seen = [tuple(dict.fromkeys(SCENES[record] for record in epoch)) for epoch in epochs(together, count=3)]
    assert len({*seen}) > 1  # scenes are shuffled, too


def test_windows_of_two_scenes_are_mixed():
    epoch = epochs(len(LENGTHS))[0]
    changes = np.count_nonzero(np.diff([int(SCENES[record][-1]) for record in epoch]))
    assert changes > 2 * len(LENGTHS)
