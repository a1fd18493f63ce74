"""The subsets are those of the evaluation, and those that a truth can tell."""

from types import SimpleNamespace

import numpy as np

from dima_jax import subsets as frame_by_frame
from dima_jax.scoring import subsets
from tests.scoring.fake import fake_truth


def test_they_are_those_of_the_evaluation():
    truth, rng = fake_truth(scenes=4, frames=40, agents=1), np.random.default_rng(0)
    speeds = np.cumsum(rng.normal(0, 1.5, (160, 7)), axis=1) + rng.uniform(0, 6, (160, 1))
    steps = np.stack([np.zeros((160, 7)), speeds * 0.5], -1).astype(np.float32)
    arrays = truth.arrays() | {
        "history": np.stack([steps[:, 0], steps[:, 0]], 1),
        "path": np.cumsum(steps[:, 1:], axis=1),
        "path_mask": np.arange(6) < rng.integers(0, 7, (160, 1)),
    }
    truth = type(truth)(truth.header, **arrays)
    tags = truth.tag_names[np.argmax(truth.tags, 1)]
    frames = [
        SimpleNamespace(
            ego=SimpleNamespace(
                history_offsets=truth.history[i : i + 1],
                future_offsets=steps[i : i + 1, 1:],
                future_mask=truth.path_mask[i : i + 1],
            ),
            command=int(truth.command[i]),
            tags=(tags[truth.scene[i]],),
        )
        for i in range(160)
    ]
    expected = frame_by_frame.masks([frame_by_frame.subsets_of(frame) for frame in frames])
    found = subsets.masks(truth)
    assert list(found) == list(expected) and 10 < found["stopping frames"].sum() < 120
    for name, mask in expected.items():
        np.testing.assert_array_equal(found[name], mask, err_msg=name)


def test_what_a_truth_cannot_tell_is_left_out():
    truth = fake_truth(scenes=2, frames=3, agents=1)
    bare = {key: array for key, array in truth.arrays().items() if key not in ("targeted", "tags", "tag_names")}
    assert list(subsets.masks(type(truth)(truth.header, **bare))) == ["all frames", "stopping frames"]
    del bare["history"]
    assert list(subsets.masks(type(truth)(truth.header, **bare))) == ["all frames"]
