"""Components of a feature vary alike, are the same whatever the axes, and never stand for what is not there."""

import numpy as np
import pytest

from dima_jax import components
from dima_jax.errors import UserError


def frames(rank=5, width=12, count=400, seed=0):
    rng = np.random.default_rng(seed)
    scale = 2.0 ** -np.arange(rank)
    return (3.0 + (rng.normal(size=(count, rank)) * scale) @ rng.normal(size=(rank, width))).astype(np.float32)


def test_have_mean_0_variance_1_and_no_correlation():
    found = components.standardized(frames(), 4, "x")
    assert found.dtype == np.float32 and found.shape == (400, 4)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.T @ found / len(found), np.eye(4), atol=1e-4)


def test_are_those_that_explain_most():
    """As a singular value decomposition has them, but for the sign."""
    feature = frames()
    centered = feature - feature.mean(0, dtype=np.float64)
    left = np.linalg.svd(centered, full_matrices=False)[0][:, :3] * np.sqrt(len(feature))
    found = components.standardized(feature, 3, "x")
    np.testing.assert_allclose(np.abs(found), np.abs(left), atol=1e-3)


def test_have_the_sign_of_their_largest_weight():
    feature = frames()
    found = components.standardized(feature, 3, "x")
    weights = found.T @ (feature - feature.mean(0))
    largest = np.abs(weights).argmax(1)
    assert (weights[np.arange(3), largest] > 0).all()
    np.testing.assert_allclose(components.standardized(-feature, 3, "x"), -found, atol=1e-3)


def test_what_the_frames_do_not_have_is_0():
    found = components.standardized(frames(rank=3), 6, "x")
    assert not found[:, 3:].any() and np.abs(found[:, :3]).max() > 1


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        (frames(width=5), "text: the feature is 5 wide, fewer than the 6"),
        (np.full((9, 8), 3.3, np.float32), "the same in every"),
    ],
)
def test_a_feature_that_teaches_nothing_is_refused(feature, words):
    with pytest.raises(UserError, match=words):
        components.standardized(feature, 6, "text")
