"""A raw output decoded: the last layer, scores, meters."""

import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import geometry, predictions
from dima_jax.types import StudentOutput

PC_RANGE = (-15.0, -30.0, -2.0, 15.0, 30.0, 2.0)
BOX = (1.0, 2.0, -0.5, 2.0, 4.0, 1.5, 0.3, 1.0, 0.0)


@pytest.fixture
def decoded():
    """Of two decoder layers, the first of which says something else: one sample, two agents, two lines, two modes."""
    codes = np.asarray(geometry.encode_boxes(jnp.asarray([[BOX, BOX]])))
    logits = np.full((1, 2, 10), -5.0)
    logits[0, 0, 1], logits[0, 1, 8] = 3.0, 0.0
    points = np.full((1, 2, 5, 2), 0.5)
    points[0, 1] = 0.0, 1.0
    output = StudentOutput(
        tokens=None,
        agent_logits=jnp.asarray(np.stack([-logits, logits])),
        agent_codes=jnp.asarray(np.stack([codes + 1, codes])),
        agent_future_offsets=jnp.asarray(np.stack([np.zeros((1, 2, 6, 2)), np.ones((1, 2, 6, 2))], axis=2)),
        agent_mode_logits=jnp.asarray([[[0.0, 1.0], [1.0, 0.0]]]),
        map_logits=jnp.asarray(np.stack([np.zeros((1, 2, 3)), np.full((1, 2, 3), [2.0, -2.0, 0.0])])),
        map_points=jnp.asarray(np.stack([points + 1, points])),
        ego_offsets=None,
        ego_feature=None,
    )
    return predictions.decode(output, PC_RANGE)


def test_the_last_layer_in_scores_and_meters(decoded):
    assert decoded.agent_scores[0, 0, 1] == pytest.approx(1 / (1 + np.exp(-3.0)))
    np.testing.assert_allclose(decoded.agent_boxes[0], [BOX, BOX], atol=1e-5)
    np.testing.assert_allclose(decoded.map_scores[0, 0], 1 / (1 + np.exp([-2.0, 2.0, 0.0])), rtol=1e-6)
    np.testing.assert_allclose(decoded.map_lines[0, 0], np.zeros((5, 2)), atol=1e-6)
    np.testing.assert_allclose(decoded.map_lines[0, 1], np.tile((-15.0, 30.0), (5, 1)), atol=1e-5)


def test_futures_start_at_the_centers(decoded):
    futures = predictions.agent_futures(decoded)
    np.testing.assert_allclose(futures[0, 0, 0], np.tile((1.0, 2.0), (6, 1)), atol=1e-5)
    np.testing.assert_allclose(futures[0, 0, 1, -1], (7.0, 8.0), atol=1e-5)
    np.testing.assert_allclose(predictions.likeliest_offsets(decoded)[0, :, 0, 0], (1.0, 0.0))


def test_a_score_at_the_threshold_counts(decoded):
    assert predictions.is_agent(decoded, 0.5).tolist() == [[True, True]]
    assert predictions.is_agent(decoded, 0.6).tolist() == [[True, False]]
    assert predictions.is_vehicle(decoded, 0.5).tolist() == [[True, False]]
    assert predictions.is_line(decoded, "boundary", 0.5).tolist() == [[True, True]]
    assert predictions.is_line(decoded, "ped_crossing", 0.5).tolist() == [[False, False]]
