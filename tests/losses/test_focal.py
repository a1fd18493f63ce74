"""Focal loss and cost at logit 0, where p = 1/2, and in the limits."""

import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.losses import focal

LOG2 = np.log(2.0)


def test_values_at_one_half():
    positive, negative = 0.25 * 0.25 * LOG2, 0.75 * 0.25 * LOG2
    logits = jnp.zeros((1, 3))
    assert float(focal.focal_sum(logits, jnp.array([1]))) == pytest.approx(positive + 2 * negative, rel=1e-6)
    assert float(focal.focal_sum(logits, jnp.array([-1]))) == pytest.approx(3 * negative, rel=1e-6)
    cost = focal.focal_cost(logits, jnp.array([0, 2]))
    np.testing.assert_allclose(cost, np.full((2, 1), positive - negative), rtol=1e-6)


def test_cost_is_that_of_the_targets_class():
    logits = jnp.array([[9.0, -9.0], [-9.0, 9.0], [-9.0, -9.0]])
    cost = np.asarray(focal.focal_cost(logits, jnp.array([0, 1])))
    assert cost.argmin(1).tolist() == [0, 1]
    assert cost[0, 1] == pytest.approx(cost[0, 2], abs=1e-5)


def test_saturated_logits_are_finite():
    logits = jnp.array([[1e4, -1e4]])
    assert np.isfinite(focal.focal_sum(logits, jnp.array([1])))
    assert np.isfinite(focal.focal_cost(logits, jnp.array([1]))).all()
