"""Decoding of raw outputs on a hand-made frame."""

import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import geometry
from dima_jax.metrics import decode
from tests.metrics.metric_frames import PC_RANGE


def test_decode_orders_filters_and_converts():
    logits = np.full((4, 10), -5.0)
    logits[2, 1], logits[0, 8], logits[3, 0] = 3.0, 2.0, 4.0  # truck, pedestrian, and a car far outside
    boxes = np.array([[1, 2, 0, 2, 4, 1.5, 0.3, 1, 0]] * 3 + [[50, 0, 0, 2, 4, 1.5, 0, 0, 0]], np.float32)
    codes = np.asarray(geometry.encode_boxes(jnp.asarray(boxes)))
    found = decode.decode_agents(logits, codes, np.zeros((4, 6, 6, 2)), np.zeros((4, 6)), max_agents=3)
    assert found.labels.tolist() == [1, 8]
    assert found.scores == pytest.approx(1 / (1 + np.exp([-3.0, -2.0])))
    np.testing.assert_allclose(found.boxes[0], boxes[0], atol=1e-5)
    points = np.stack([np.full((5, 2), 0.5), np.full((5, 2), 1.5)])  # the second lies outside
    found = decode.decode_lines(np.array([[9.0, -9, -9], [9.0, -9, -9]]), points, PC_RANGE, max_lines=2)
    assert len(found.points) == 1 and found.labels.tolist() == [0]
    np.testing.assert_allclose(found.points[0], np.zeros((5, 2)), atol=1e-6)
