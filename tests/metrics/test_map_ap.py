"""Map AP on lines whose distances one can see."""

import numpy as np
import pytest
import shapely

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


def test_a_line_that_turns_back_onto_itself():
    """GEOS finds no mitre at the turn of this one. The line is compared all the same, and changes no other."""
    there = [[14.800000190734863, 9.404292106628418], [14.293411254882812, 9.090075492858887]]
    there += [[13.786821365356445, 8.775858879089355], [13.280232429504395, 8.461641311645508]]
    there += [[12.773643493652344, 8.147424697875977]]
    folded = np.array(there + there[::-1])
    with pytest.raises(shapely.errors.GEOSException), np.errstate(invalid="ignore", divide="ignore"):
        line = shapely.linestrings(map_ap.resample(folded, map_ap.SAMPLES))
        shapely.buffer(line, map_ap.BUFFER, cap_style="flat", join_style="mitre")
    corner = np.array([[-5.0, 0.0], [0.0, 0.0], [0.0, 5.0]])
    alone = map_ap._buffered(np.stack([map_ap.resample(corner, map_ap.SAMPLES)]))
    both = map_ap._buffered(
        np.stack([map_ap.resample(corner, map_ap.SAMPLES), map_ap.resample(folded, map_ap.SAMPLES)])
    )
    assert shapely.equals_exact(alone[0], both[0]) and both[1].is_valid and both[1].area > 0
    recorded, predicted = lines(folded, along(0)), lines(along(0), folded)
    assert map_ap.average_precisions([map_ap.frame_matches(predicted, recorded)])[:, 0].tolist() == [1, 1, 1]


def test_no_finite_line_is_a_crash():
    rng = np.random.default_rng(0)
    for _ in range(50):
        there = rng.normal(size=(5, 2)).cumsum(axis=0).astype(np.float32)
        straight = there[:1] + np.linspace(0, 1, 5, dtype=np.float32)[:, None] * (there[-1] - there[0])
        kinds = [np.concatenate([way, way[::-1]]) for way in (there, straight)]
        kinds += [np.repeat(there, 2, axis=0), np.concatenate([straight[::2], straight[1::2], straight[:1]])]
        frame = lines(*kinds)
        assert map_ap.frame_matches(frame, frame)[0].correct.any()
