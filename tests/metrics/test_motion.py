"""Motion metrics on hand-made frames."""

import numpy as np
import pytest

from dima_jax.metrics import motion
from tests.metrics.metric_frames import agents


def test_motion_counts_hits_misses_and_inventions():
    recorded = agents([(0, 0), (5, 5), (9, 9)], [0, 8, 1])
    predicted = agents([(0.5, 0), (9, 9.5), (-9, 0), (5, 5)], [0, 0, 3, 8], [0.9, 0.9, 0.9, 0.5], speed=1.5)
    row = motion.summarize([motion.frame_counts(predicted, recorded)])
    # Cars: one 0.5 m off and 0.5 m per step too fast, one that starts 0.5 m ahead, an invented bus; the person is missed.
    ade = np.mean([np.hypot(0.5, 0.5 * np.arange(1, 7)).mean(), np.mean(0.5 + 0.5 * np.arange(1, 7))])
    assert row["ADE_car"] == pytest.approx(ade, rel=1e-5)
    assert row["FDE_car"] == pytest.approx((np.hypot(0.5, 3.0) + 3.5) / 2, rel=1e-5)
    assert row["MR_car"] == 1.0 and row["EPA_car"] == pytest.approx((0 - 0.5) / 2)
    assert row["EPA_pedestrian"] == 0.0 and np.isnan(row["ADE_pedestrian"])


def test_motion_takes_the_best_mode_and_only_real_steps():
    recorded, predicted = agents([(0, 0)], [0], steps=3), agents([(0, 0)], [0], modes=3)
    row = motion.summarize([motion.frame_counts(predicted, recorded)])
    assert row["ADE_car"] == 0.0 and np.isnan(row["FDE_car"]) and np.isnan(row["EPA_car"])


def test_the_zero_predictor_leaves_everybody_where_it_is():
    recorded = agents([(0, 0), (3, 3)], [0, 8], speed=2.0)
    still = motion.standing(agents([(0, 0), (3, 3)], [0, 8], speed=2.0, modes=3))
    row = motion.summarize([motion.frame_counts(still, recorded)])
    assert row["FDE_car"] == row["FDE_pedestrian"] == pytest.approx(12.0)
    assert row["ADE_car"] == pytest.approx(7.0) and row["MR_car"] == 1.0
