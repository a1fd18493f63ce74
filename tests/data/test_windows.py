"""Which frames make a window, by VAD's rule."""

import numpy as np
import pytest

from dima_jax.data.windows import can_bus_deltas, window


def test_history_leaves_out_one_of_the_candidates():
    rng = np.random.default_rng(0)
    seen = {tuple(window(20, 10, 40, 3, 2, rng, True).records - 20) for _ in range(200)}
    candidates = {-4, -3, -2, -1}
    assert seen == {(*sorted(candidates - {left_out}), 0, 1, 2) for left_out in candidates}


def test_history_of_evaluation_is_directly_before():
    rng = np.random.default_rng(0)
    assert {tuple(window(20, 10, 40, 3, 2, rng, False).records - 20) for _ in range(20)} == {(-3, -2, -1, 0, 1, 2)}
    assert window(21, 1, 40, 3, 0, rng, False).records.tolist() == [20, 20, 20, 21]


def test_what_follows_the_window_is_drawn_alike():
    first, second = np.random.default_rng(0), np.random.default_rng(0)
    window(20, 10, 40, 3, 2, first, True)
    window(20, 10, 40, 3, 2, second, False)
    assert first.random() == second.random()


@pytest.mark.parametrize("drop_history", [True, False])
def test_window_without_history_or_future_is_the_frame(drop_history):
    assert window(5, 3, 9, 0, 0, np.random.default_rng(0), drop_history).records.tolist() == [5]


@pytest.mark.parametrize("frame_index", range(4))
def test_gap_before_the_scene_repeats_the_next_frame(frame_index):
    rng = np.random.default_rng(frame_index)
    for _ in range(50):
        records, mask = window(100 + frame_index, frame_index, 40, 3, 2, rng, True)
        assert records.min() >= 100, "a frame of another scene"
        assert mask[3:].all()
        for t in range(3):
            if not mask[t]:
                assert records[t] == records[t + 1]
        assert (np.diff(records[:4][mask[:4]]) > 0).all()


def test_future_ends_with_the_scene():
    records, mask = window(38, 38, 40, 1, 2, np.random.default_rng(0), True)
    assert mask.tolist() == [True, True, True, False]
    assert records[1:].tolist() == [38, 39, 38]


def test_can_bus_deltas_are_between_neighbors():
    can_bus = np.arange(3 * 18, dtype=float).reshape(3, 18) ** 2
    deltas = can_bus_deltas(can_bus)
    changed = [0, 1, 2, 17]
    np.testing.assert_array_equal(deltas[0, changed], 0)
    np.testing.assert_array_equal(deltas[1:, changed], np.diff(can_bus[:, changed], axis=0))
    np.testing.assert_array_equal(deltas[:, 3:17], can_bus[:, 3:17])
