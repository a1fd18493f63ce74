"""Which frames make a window, by VAD's rule."""

import numpy as np
import pytest

from dima_jax.data.windows import can_bus_deltas, window


def test_history_leaves_out_one_of_the_candidates():
    rng = np.random.default_rng(0)
    seen = {tuple(window(20, 10, 40, 3, 2, rng, False).records - 20) for _ in range(200)}
    candidates = {-4, -3, -2, -1}
    assert seen == {(*sorted(candidates - {left_out}), 0, 1, 2) for left_out in candidates}


def test_random_start_is_a_drive_that_began_up_to_history_frames_ago():
    rng = np.random.default_rng(0)
    seen = [window(20, 10, 40, 3, 2, rng, True) for _ in range(4000)]
    assert {tuple(records - 20) for records, _ in seen} == {
        (-3, -2, -1, 0, 1, 2),
        (-2, -2, -1, 0, 1, 2),
        (-1, -1, -1, 0, 1, 2),
        (0, 0, 0, 0, 1, 2),
    }
    began = np.array([mask[:3].sum() for _, mask in seen])
    np.testing.assert_allclose(np.bincount(began) / len(seen), 0.25, atol=0.03)
    for records, mask in seen:
        assert mask[:3].tolist() == (records[:3] - 20 == (-3, -2, -1)).tolist()


def test_random_start_is_never_before_the_scene():
    rng = np.random.default_rng(0)
    seen = {(tuple(records), tuple(mask)) for records, mask in (window(21, 1, 40, 3, 0, rng, True) for _ in range(99))}
    assert seen == {((20, 20, 20, 21), (False, False, True, True)), ((21, 21, 21, 21), (False, False, False, True))}


def test_what_follows_the_window_is_drawn_alike():
    first, second = np.random.default_rng(0), np.random.default_rng(0)
    window(20, 10, 40, 3, 2, first, True)
    window(20, 0, 40, 3, 2, second, False)
    assert first.random() == second.random()


@pytest.mark.parametrize("random_start", [True, False])
def test_window_without_history_or_future_is_the_frame(random_start):
    assert window(5, 3, 9, 0, 0, np.random.default_rng(0), random_start).records.tolist() == [5]


@pytest.mark.parametrize("frame_index", range(4))
def test_gap_before_the_scene_repeats_the_next_frame(frame_index):
    rng = np.random.default_rng(frame_index)
    possible = set()
    for left_out in range(4):
        past = [step for i, step in enumerate((-4, -3, -2, -1)) if i != left_out]
        first = min([step for step in past if frame_index + step >= 0], default=0)
        possible.add(tuple(max(step, first) for step in past))
    seen = [window(100 + frame_index, frame_index, 40, 3, 2, rng, False) for _ in range(100)]
    assert {tuple(records[:3] - 100 - frame_index) for records, _ in seen} == possible
    assert min(records.min() for records, _ in seen) >= 100, "a frame of another scene"
    assert all(mask.all() for _, mask in seen)


def test_future_ends_with_the_scene():
    records, mask = window(38, 38, 40, 1, 2, np.random.default_rng(0), False)
    assert mask.tolist() == [True, True, True, False]
    assert records[1:].tolist() == [38, 39, 38]


def test_can_bus_deltas_are_between_neighbors():
    can_bus = np.arange(3 * 18, dtype=float).reshape(3, 18) ** 2
    deltas = can_bus_deltas(can_bus)
    changed = [0, 1, 2, 17]
    np.testing.assert_array_equal(deltas[0, changed], 0)
    np.testing.assert_array_equal(deltas[1:, changed], np.diff(can_bus[:, changed], axis=0))
    np.testing.assert_array_equal(deltas[:, 3:17], can_bus[:, 3:17])
