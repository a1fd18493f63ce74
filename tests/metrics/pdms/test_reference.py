"""The driver that progress is measured against: alone, behind others, and on a bend."""

import numpy as np
import pytest
import shapely

from dima_jax.metrics.pdms import reference
from tests.metrics.pdms.test_collisions import T, track

LINE = shapely.LineString([(-20, 0), (100, 0)])
AHEAD = 1.486


def plan(others, speed=6.0, aim=6.0, line=LINE):
    return reference.plan(line, others, np.array([AHEAD, 0.0]), AHEAD, speed, aim)


def test_alone_it_aims_at_a_speed():
    alone = track(20, 30)
    faster = plan(alone, speed=6.0, aim=12.0)
    assert faster[-1, 0] == pytest.approx(6 * 3 + 1.5 * 3 * 2.9 / 2, abs=0.3) and np.ptp(faster[:, 1:]) == 0
    assert plan(alone)[-1, 0] == pytest.approx(18, abs=0.5)
    assert plan(alone, speed=9.0, aim=6.0)[-1, 0] < 9 * 3 - 3
    assert plan(alone, speed=0.0, aim=0.0)[-1, 0] < 0.3


def test_it_keeps_its_distance():
    """The stopped car's rear is at 16 m: the ego's front stays behind it."""
    behind = plan(track(18, 0))
    assert behind[-1, 0] + AHEAD + 2.042 < 16.0 < plan(track(18, 4))[-1, 0] + AHEAD + 2.042
    assert plan(track(18, 0, speed=6.0))[-1, 0] > behind[-1, 0] + 2
    assert plan(track(-9, 0, speed=6.0))[-1, 0] == plan(track(20, 30))[-1, 0]


def test_who_is_in_the_way():
    """Half the ego's width from the centerline, by a corner, or a body across it."""
    for y, blocks in ((1.92, True), (1.93, False)):
        low, high, _ = reference.in_the_way(LINE, track(20, y, speed=3.0))
        assert low.shape == (1, 7) and np.isfinite(low).all() == blocks
    assert np.isnan([low[0], high[0]]).all()
    low, high, along = reference.in_the_way(LINE, track(20, 0, speed=3.0))
    np.testing.assert_allclose(low[0], 20 + 18 + 1.5 * np.arange(7))
    np.testing.assert_allclose([high[0] - low[0], along[0]], [[4.0] * 7, [3.0] * 7])
    across = track(20, 0, heading=np.pi / 2, length=12.0)
    assert np.isfinite(reference.in_the_way(LINE, across)[0]).all()
    assert reference.in_the_way(LINE, track(20, 30))[0].shape == (0, 7)
    appears = reference.in_the_way(LINE, track(20, 0, since=7))[0]
    assert np.isnan(appears[0]).tolist() == [True, True, False, False, False, False, False]


def test_one_that_comes_towards_it_is_nearer():
    comes = plan(track(40, 0, speed=6.0, heading=np.pi))
    assert comes[-1, 0] < plan(track(40, 0))[-1, 0] and T == 31


def test_it_follows_a_bend():
    bend = shapely.LineString([(-20, 0), (AHEAD + 6, 0), (AHEAD + 6, 90)])
    found = plan(track(20, 80), line=bend)
    assert found[-1, 0] == pytest.approx(AHEAD + 6) and found[-1, 1] == pytest.approx(18 - AHEAD - 6, abs=0.6)
    assert found[-1, 2] == pytest.approx(np.pi / 2) and found[0, 2] == pytest.approx(0)
