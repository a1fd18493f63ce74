"""The perception tables together."""

import numpy as np
import pytest

from dima_jax.metrics import perception
from tests.metrics.metric_frames import PC_RANGE, agents, along, lines


def test_perception_tables_and_empty_frames():
    nothing = agents([], [])
    frame = perception.score_frame(nothing, lines(), nothing, lines(), PC_RANGE)
    tables = perception.summarize([frame, frame])
    assert set(tables) == set(perception.PROTOCOLS)
    assert tables["map"]["frames"] == 2 and np.isnan(tables["detection"]["mAP"])
    truth = agents([(0, 0)], [0])
    tables = perception.summarize([perception.score_frame(truth, lines(along(0)), truth, lines(along(0)), PC_RANGE)])
    assert tables["detection"]["mAP"] == pytest.approx(1)
    assert tables["map"]["mAP"] == tables["motion"]["EPA_car"] == 1.0
    assert tables["zero motion"]["EPA_car"] == 0.0  # it drove 6 m
