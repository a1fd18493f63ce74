"""Distillation by hand, and its one-way gradient."""

import jax
import jax.numpy as jnp
import numpy as np

from dima_jax.losses.distill import distillation


def test_by_hand():
    """Teacher (3/4, 1/4), student (1/2, 1/2): KL = 3/4 log 3/2 + 1/4 log 1/2."""
    term = distillation(jnp.log(jnp.array([[3.0, 1.0]])), jnp.zeros((1, 2)), 1.0)
    np.testing.assert_allclose(term.sum / term.count, 0.75 * np.log(1.5) + 0.25 * np.log(0.5), rtol=1e-6)


def test_temperature_softens_and_keeps_scale():
    """At temperature 2 the teacher is (sqrt 3, 1) / (sqrt 3 + 1), and the divergence counts four times."""
    term = distillation(jnp.log(jnp.array([[3.0, 1.0], [1.0, 3.0]])), jnp.zeros((2, 2)), 2.0)
    p = np.sqrt(3) / (np.sqrt(3) + 1)
    expected = 4 * (p * np.log(2 * p) + (1 - p) * np.log(2 * (1 - p)))
    np.testing.assert_allclose(term.sum / term.count, expected, rtol=1e-5)


def test_gradient_reaches_the_student_only():
    teacher, student = jnp.array([[0.5, -1.0, 2.0]]), jnp.array([[0.0, 1.0, 0.0]])
    to_teacher, to_student = jax.grad(lambda t, s: distillation(t, s, 1.0).sum, argnums=(0, 1))(teacher, student)
    np.testing.assert_array_equal(to_teacher, 0.0)
    np.testing.assert_allclose(to_student, jax.nn.softmax(student) - jax.nn.softmax(teacher), atol=1e-6)


def test_equal_features_cost_nothing():
    feature = jnp.array([[5.0, -3.0, 0.0]], jnp.bfloat16)
    assert float(distillation(feature, feature, 1.0).sum) == 0.0
