"""Which frames turn, which stop, the tags of scenes, and what a truth cannot tell."""

import numpy as np
import pytest

from dima_jax.constants import COMMANDS
from dima_jax.scoring import subsets
from tests.scoring.fake import fake_truth

STEADY = (8.0,) * 7


def driven(speeds, known=6):
    """A truth of one frame. speeds: m/s of the step before the frame and of the six after it."""
    truth = fake_truth(scenes=1, frames=1, agents=1)
    steps = np.zeros((7, 2), np.float32)
    steps[: len(speeds), 1] = np.array(speeds) * 0.5
    arrays = truth.arrays() | {
        "history": np.stack([steps[:1], steps[:1]], axis=1),
        "path": np.cumsum(steps[None, 1:], axis=1),
        "path_mask": (np.arange(6) < known)[None],
    }
    return type(truth)(truth.header, **arrays)


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
    assert subsets.is_stopping(driven(speeds, known)).tolist() == [stops]


def test_each_frame_is_in_its_groups():
    truth = fake_truth(scenes=3, frames=4, agents=1)
    found = subsets.masks(truth)
    assert list(found)[:4] == ["all frames", "turning frames", "stopping frames", "turns and stops"]
    assert found["all frames"].all()
    np.testing.assert_array_equal(found["turning frames"], truth.command != COMMANDS.index("straight"))
    np.testing.assert_array_equal(found["turns and stops"], found["turning frames"] | found["stopping frames"])
    for number, tag in enumerate(truth.tag_names):
        expected = np.concatenate([np.full(4, has) for has in truth.tags[:, number]])
        np.testing.assert_array_equal(found[f"scenes with {tag}"], expected)


def test_what_a_truth_cannot_tell_is_left_out():
    truth = fake_truth(scenes=2, frames=3, agents=1)
    bare = {key: array for key, array in truth.arrays().items() if key not in ("targeted", "tags", "tag_names")}
    assert list(subsets.masks(type(truth)(truth.header, **bare))) == ["all frames", "stopping frames"]
    del bare["history"]
    assert list(subsets.masks(type(truth)(truth.header, **bare))) == ["all frames"]


def test_lists_are_groups_too():
    truth = fake_truth(scenes=2, frames=3, agents=1)
    mask = np.arange(6) == 2
    found = subsets.masks(truth, {"overtake": mask})
    assert list(found)[-1] == "frames of overtake"
    np.testing.assert_array_equal(found["frames of overtake"], mask)
    assert list(found)[:-1] == list(subsets.masks(truth))
