"""Agents between key frames, in gaps, and where they are not."""

import numpy as np
import pytest

from dima_jax.categories import LIDARSEG_CATEGORIES
from dima_jax.metrics.pdms import tracks
from tests.metrics.pdms.changed import changed
from tests.scoring.fake import KINDS, LIDAR2EGO, SPEED, along_road, fake_truth, pose

TRUTH = fake_truth(scenes=2, frames=10, agents=8)


def test_agents_are_where_the_road_takes_them():
    """Scene 0 is straight: between key frames too."""
    for index in (0, 3):
        found = tracks.tracks(TRUTH, index)
        assert found.boxes.shape == (8, 31, 5) and found.present.all()
        times = 0.5 * index + 0.1 * np.arange(31)
        back = np.linalg.inv(pose(*along_road(0, SPEED * 0.5 * index, 0.0)))
        for i, (category, width, length, start, left, speed) in enumerate(KINDS[:8]):
            x, y, _ = along_road(0, start + speed * times, left)
            at = np.stack([x, y], -1) @ back[:2, :2].T + back[:2, 3]
            np.testing.assert_allclose(found.boxes[i, :, :2], at, atol=1e-4)
            np.testing.assert_allclose(found.boxes[i, :, 3:], np.tile([length, width], (31, 1)), atol=1e-6)
            np.testing.assert_allclose(found.speed[i], abs(speed), atol=1e-3)
            assert found.is_agent[i] == category.startswith(("vehicle", "human"))
    lidar = (np.linalg.inv(LIDAR2EGO) @ [*found.boxes[0, 0, :2], 0, 1])[:2]
    np.testing.assert_allclose(lidar, TRUTH.boxes[found.rows[0, 0], :2], atol=1e-4)


def test_rows_are_those_of_the_key_frames():
    found = tracks.tracks(TRUTH, 11)
    assert (TRUTH.instance[found.rows] == np.arange(8, 16)[:, None]).all()
    assert found.rows[0].tolist() == [8 * (11 + k) for k in range(7)]


def without(index, keys, instance=0):
    """The truth of a scene in which an instance is not annotated at some key frames after `index`."""
    rows = [int(TRUTH.agent_start[index + k]) + instance for k in keys]
    return changed(TRUTH, category={row: LIDARSEG_CATEGORIES.index("noise") for row in rows})


def test_a_gap_is_filled_and_nobody_is_there_before_and_after():
    whole = tracks.tracks(TRUTH, 0)
    found = tracks.tracks(without(0, [0, 1, 3, 4, 6]), 0)
    assert np.flatnonzero(found.present[0]).tolist() == list(range(10, 26))
    np.testing.assert_allclose(found.boxes[0, 10:26], whole.boxes[0, 10:26], atol=1e-4)
    assert found.rows[0].tolist() == [-1, -1, 16, -1, -1, 40, -1]
    np.testing.assert_allclose(found.speed[0, 10:26], 6.0, atol=1e-3)


def test_one_key_frame_alone_is_one_moment():
    found = tracks.tracks(without(0, [0, 1, 2, 4, 5, 6]), 0)
    assert np.flatnonzero(found.present[0]).tolist() == [15] and found.speed[0, 15] == 0.0


def test_headings_turn_the_short_way():
    heading = np.array([3.1, -3.1, 3.1, -3.1, 3.1, 3.1, 3.1])
    truth = changed(TRUTH, boxes={(8 * k, 6): -one - np.pi for k, one in enumerate(heading)})
    found = tracks.tracks(truth, 0).boxes[0, :, 2]
    assert np.abs(np.diff(found)).max() < 0.03 and np.ptp(found) == pytest.approx(2 * np.pi - 6.2, abs=1e-4)


def test_every_category_is_an_agent_or_an_object_or_nothing_that_moves():
    known = {*tracks.AGENTS, *tracks.OBJECTS}
    assert {name.split(".")[0] for name in set(LIDARSEG_CATEGORIES) - known} == {"noise", "flat", "static", "vehicle"}
    assert not set(tracks.AGENTS) & set(tracks.OBJECTS) and "vehicle.ego" not in known
