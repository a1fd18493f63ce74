"""Sampling over visible pairs against the passes over all queries: values and every gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.student.deformable_attention import sample_cameras
from dima_jax.student.pair_sampling import TILES, list_pairs, sample_pairs

SHAPES = ((5, 7), (3, 4))
BATCH, CAMERAS, QUERIES, HEADS, CHANNELS, POINTS, ANCHORS = 2, 6, 21, 2, 3, 8, 4


def inputs(visible_share):
    rng = np.random.default_rng(0)
    cells = sum(rows * columns for rows, columns in SHAPES)
    value = rng.normal(size=(BATCH, CAMERAS, cells, HEADS, CHANNELS)).astype(np.float32)
    references = rng.uniform(-0.2, 1.2, (BATCH, CAMERAS, QUERIES, ANCHORS, 2)).astype(np.float32)
    visible = rng.random((BATCH, CAMERAS, QUERIES)) < visible_share
    offsets = rng.normal(size=(BATCH, QUERIES, HEADS, len(SHAPES), POINTS, 2)).astype(np.float32)
    weights = rng.random((BATCH, QUERIES, HEADS, len(SHAPES), POINTS)).astype(np.float32)
    return value, references, visible, offsets, weights


@pytest.mark.parametrize("visible_share", [0.0, 0.02, 0.3, 1.0])
def test_equals_the_passes_over_all_queries(visible_share):
    value, references, visible, offsets, weights = inputs(visible_share)
    gradient = np.random.default_rng(1).normal(size=(BATCH, QUERIES, HEADS * CHANNELS)).astype(np.float32)

    def results(sample):
        def total(value, offsets, weights):
            out = sample(value, SHAPES, jnp.asarray(references), jnp.asarray(visible), offsets, weights)
            return (out * gradient).sum(), out

        (_, out), gradients = jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True))(
            value, offsets, weights
        )
        return out, *gradients

    for got, expected in zip(results(sample_pairs), results(sample_cameras), strict=True):
        np.testing.assert_allclose(got, expected, atol=3e-5)


def test_lists_the_visible_pairs_of_each_sample_and_counts_the_tiles_of_the_longest_list():
    visible = np.zeros((2, 3, 8), bool)
    visible[0, 1, [2, 5]] = visible[0, 2, 7] = True
    pairs = list_pairs(jnp.asarray(visible))
    found = [
        set(zip(camera[valid].tolist(), query[valid].tolist(), strict=True))
        for camera, query, valid in zip(*map(np.asarray, pairs[:3]), strict=True)
    ]
    assert found == [{(1, 2), (1, 5), (2, 7)}, set()]
    assert pairs.tile_size == 8 // TILES
    assert int(pairs.tiles) == 2
