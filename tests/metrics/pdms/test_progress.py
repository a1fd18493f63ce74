"""Progress and lane keeping by hand and against their twin."""

import numpy as np
import pytest
import shapely

from dima_jax.metrics.pdms import progress
from tests.oracles import pdms as twin

LINE = shapely.LineString([(0, 0), (20, 0), (20, 50)])


def test_progress_follows_the_line_and_is_not_negative():
    first = np.array([[5.0, 1.0]] * 3)
    assert progress.progress(LINE, first, np.array([[18.0, -2.0], [21.0, 10.0], [2.0, 0.0]])).tolist() == [13, 25, 0]


@pytest.mark.parametrize(
    ("meters", "allowed", "reference", "extended", "first"),
    [
        (10.0, 1.0, 20.0, 0.5, 0.5),
        (30.0, 1.0, 20.0, 1.0, 1.0),
        (10.0, 0.0, 20.0, 0.5, 0.0),  # v1.1 shows nothing after an infraction
        (10.0, 0.5, 20.0, 0.5, 0.25),
        (30.0, 0.0, 20.0, 1.0, 0.0),  # more than the reference, but not allowed
        (4.0, 1.0, 4.9, 1.0, 1.0),  # nobody comes far
        (0.0, 1.0, 5.0, 1.0, 1.0),
        (0.0, 1.0, 5.1, 0.0, 0.0),
        (4.0, 0.0, 0.0, 1.0, 0.0),
        (30.0, 0.0, 0.0, 1.0, 0.0),
    ],
)
def test_progress_is_a_share_of_the_best(meters, allowed, reference, extended, first):
    told = np.array([meters]), np.array([allowed]), reference
    assert progress.ego_progress(*told, counts_allowed=False).tolist() == [extended]
    assert progress.ego_progress(*told, counts_allowed=True).tolist() == [first]


def kept(aside, crossing=()):
    """LK of a drive at these distances from a straight centerline, with samples in an intersection."""
    centers = np.stack([np.arange(31.0), np.broadcast_to(aside, 31)], axis=-1)
    skipped = np.isin(np.arange(31), crossing)
    line = shapely.LineString([(-5, 0), (50, 0)])
    found = progress.lane_keeping(line, centers[None], skipped[None]).item()
    assert found == twin.lane_keeping(line, centers, skipped)
    return found


def test_lane_keeping_by_distance_and_by_time():
    assert kept(0.5) == 1.0 and kept(0.51) == 0.0 and kept(-0.51) == 0.0
    assert kept(np.where(np.arange(31) < 19, 0.6, 0)) == 1.0
    assert kept(np.where(np.arange(31) < 20, 0.6, 0)) == 0.0
    assert kept(np.where(np.arange(31) == 15, 0, 0.6)) == 1.0


def test_intersections_neither_count_nor_end_a_count():
    assert kept(0.6, crossing=range(12)) == 1.0
    assert kept(0.6, crossing=range(10, 21)) == 0.0
    on_line_there = np.where((np.arange(31) >= 10) & (np.arange(31) < 15), 0, 0.6)
    assert kept(on_line_there) == 1.0 and kept(on_line_there, crossing=range(10, 15)) == 0.0


def test_lane_keeping_equals_its_twin():
    rng = np.random.default_rng(0)
    told = [
        kept(0.5 + rng.choice([0.1, -0.1], 31, p=[0.97, 0.03]), np.flatnonzero(rng.random(31) < 0.1)) for _ in range(60)
    ]
    assert 5 < sum(told) < 55
