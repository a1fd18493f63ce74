"""Sampling over visible pairs against the passes over all queries: values and every gradient."""

import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.student.deformable_attention import sample_cameras
from dima_jax.student.pair_sampling import TILES, list_pairs, sample_pairs
from tests.student.visible_pairs import Sizes, check_on_a_mesh, results

SHAPES = ((5, 7), (3, 4))
SIZES = Sizes(cameras=6, queries=21, heads=2)


@pytest.mark.parametrize("visible_share", [0.0, 0.02, 0.3, 1.0])
def test_equals_the_passes_over_all_queries(visible_share):
    expected = results(sample_cameras, SIZES, SHAPES, visible_share)
    for got, wanted in zip(results(sample_pairs, SIZES, SHAPES, visible_share), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=3e-5)


def test_devices_of_a_mesh_do_not_wait_for_each_other():
    check_on_a_mesh("cpu", SIZES, SHAPES, sample_pairs)


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
