"""Means as sums over questions."""

import numpy as np

from dima_jax.metrics.language import measure


def test_only_what_counts_is_in_the_mean():
    found = measure.mean(np.array([1.0, np.nan, 0.0, 1.0]), np.array([True, False, True, True]))
    assert found.value == 2 / 3
    assert found.reduce(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [0.75, 0.0]
