"""Runs of true values, and back."""

import numpy as np
import pytest

from data_prep.mining.spans import mask_of, spans


@pytest.mark.parametrize(
    ("mask", "found"),
    [([], []), ([0, 0], []), ([1, 1], [(0, 2)]), ([1, 0, 1, 1, 0], [(0, 1), (2, 4)]), ([0, 0, 1], [(2, 3)])],
)
def test_runs(mask, found):
    mask = np.array(mask, bool)
    assert spans(mask) == found
    np.testing.assert_array_equal(mask_of(len(mask), found), mask)


def test_runs_may_overlap():
    assert mask_of(5, [(0, 2), (1, 4)]).tolist() == [True, True, True, True, False]
