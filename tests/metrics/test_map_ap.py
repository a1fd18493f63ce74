"""Map AP on lines whose distances one can see."""

import numpy as np
import pytest

from dima_jax.metrics import map_ap
from tests.metrics.metric_frames import along, lines


def test_map_ap_of_perfect_shifted_and_missing_lines():
    recorded = lines(along(0), along(8))
    assert map_ap.average_precisions([map_ap.frame_matches(recorded, recorded)])[:, 0].tolist() == [1, 1, 1]
    shifted = lines(along(0.8), along(8.8))
    table = map_ap.average_precisions([map_ap.frame_matches(shifted, recorded)])
    assert table[:, 0] == pytest.approx([0, 1, 1]) and np.isnan(table[:, 1:]).all()
    backwards = lines(along(0)[::-1], along(8))
    assert map_ap.summarize([map_ap.frame_matches(backwards, recorded)])["mAP"] == 1.0
    twice = lines(along(0), along(0.1), scores=[0.9, 0.8])  # the second finds its line taken
    assert map_ap.average_precisions([map_ap.frame_matches(twice, recorded)])[:, 0] == pytest.approx([0.5] * 3)
    assert np.isnan(map_ap.summarize([map_ap.frame_matches(recorded, lines())])["mAP"])


def test_lines_whose_buffers_do_not_touch_are_not_compared():
    """The caps of buffers are flat: a short line 0.6 m beyond the end of another is no match, however near."""
    recorded, beside = lines([[0, 0], [0, 0.4]]), lines([[0.4, 0], [0.4, 0.4]])
    beyond = lines([[0, 1.0], [0, 1.4]])
    assert map_ap.average_precisions([map_ap.frame_matches(beside, recorded)])[:, 0].tolist() == [1, 1, 1]
    assert map_ap.average_precisions([map_ap.frame_matches(beyond, recorded)])[:, 0].tolist() == [0, 0, 0]


def test_a_degenerate_line_is_wrong_but_no_crash():
    point = lines([[0, 0], [0, 0]])
    assert map_ap.summarize([map_ap.frame_matches(point, lines(along(0)))])["mAP"] == 0.0
