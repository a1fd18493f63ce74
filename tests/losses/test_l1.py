"""The absolute value and its gradient, at 0 above all."""

import jax
import jax.numpy as jnp
import numpy as np

from dima_jax.losses.l1 import absolute

X = jnp.array([-2.5, -0.0, 0.0, 1e-30, 3.0, np.inf])


def test_value_is_that_of_abs():
    np.testing.assert_array_equal(absolute(X), jnp.abs(X))


def test_gradient_is_the_sign_and_0_at_0():
    gradient = jax.jit(jax.grad(lambda x: absolute(x).sum()))(X)
    np.testing.assert_array_equal(gradient, [-1, 0, 0, 1, 1, 1])
