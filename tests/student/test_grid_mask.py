"""GridMask against the loops of VAD's models/utils/grid_mask.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.student.grid_mask import grid_mask, strips


def test_keeps_strips():
    images = jnp.ones((2, 64, 48, 3))
    masked = np.asarray(grid_mask(images, 1.0, jax.random.key(3)))
    assert 0.5 < masked.mean() < 1.0  # rows or columns: about three quarters stay
    np.testing.assert_array_equal(masked[0], masked[1])  # one mask for all images
    kept = masked[0, :, :, 0]
    full_rows, full_columns = kept.all(axis=1), kept.all(axis=0)
    np.testing.assert_array_equal(kept, full_rows[:, None] | full_columns[None])
    np.testing.assert_array_equal(grid_mask(images, 0.0, jax.random.key(3)), images)


def test_is_applied_with_the_given_probability():
    run = jax.jit(jax.vmap(lambda key: grid_mask(jnp.ones((1, 64, 64, 1)), 0.7, key).min() == 0))
    assert 0.6 < float(run(jax.random.split(jax.random.key(0), 500)).mean()) < 0.8


@pytest.mark.parametrize(("size", "period", "width"), [(6, 2, 1), (7, 3, 2), (8, 7, 3), (12, 5, 2), (9, 8, 4)])
@pytest.mark.parametrize("seed", range(4))
def test_strips_are_those_of_the_reference(size, period, width, seed):
    key = jax.random.key(seed)
    start = int(jax.random.randint(key, (), 0, period))
    canvas = int(1.5 * size)
    kept = np.zeros(canvas, bool)
    for i in range(canvas // period):
        kept[period * i + start : min(period * i + start + width, canvas)] = True
    margin = (canvas - size) // 2
    found = strips(size, jnp.int32(period), jnp.int32(width), key)
    np.testing.assert_array_equal(found, kept[margin : margin + size])
