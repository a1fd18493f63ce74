"""Sampling in tiles of one table against the passes over all queries: values and every gradient."""

import numpy as np
import pytest

from dima_jax.student import tile_sampling
from dima_jax.student.deformable_attention import sample_cameras
from tests.student.visible_pairs import Sizes, check_bfloat16, check_on_a_mesh, results

SIZES = Sizes(cameras=3, queries=37, heads=4)
SMALL, LARGE = ((5, 7), (3, 4)), ((18, 20), (5, 7), (21, 17))  # cells: below and above DENSE_CELLS


@pytest.mark.parametrize(
    ("shapes", "visible_share", "table_bytes"),
    [(SMALL, 0.3, 1), (LARGE, 0.0, 1), (LARGE, 0.3, 10**9), (LARGE[:1], 1.0, 500_000)],
)
def test_equals_the_passes_over_all_queries(monkeypatch, shapes, visible_share, table_bytes):
    monkeypatch.setattr(tile_sampling, "TILE", 16)
    monkeypatch.setattr(tile_sampling, "DENSE_TILE", 16)
    monkeypatch.setattr(tile_sampling, "TABLE_BYTES", table_bytes)
    expected = results(sample_cameras, SIZES, shapes, visible_share)
    for got, wanted in zip(results(tile_sampling.sample_tables, SIZES, shapes, visible_share), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=3e-5)


@pytest.mark.parametrize("shapes", [SMALL, LARGE[:1]])
def test_a_bfloat16_table_is_rounded_once(monkeypatch, shapes):
    monkeypatch.setattr(tile_sampling, "TILE", 16)
    monkeypatch.setattr(tile_sampling, "DENSE_TILE", 16)
    check_bfloat16(tile_sampling.sample_tables, SIZES, shapes)


def test_every_device_of_a_mesh_samples_its_own_part_of_the_batch():
    check_on_a_mesh("tpu", SIZES, SMALL)


def test_a_table_holds_as_many_heads_as_fit():
    base = ((92, 160), (46, 80), (23, 40), (12, 20))
    plan = tile_sampling.layout(base, heads=8, points=8, channels=32, item_bytes=4, queries=40_000)
    assert (plan.groups, plan.heads, plan.gathered, plan.dense) == (2, 4, [0, 1, 2], [3])
    assert tile_sampling.layout(base, 8, 8, 32, 2, 40_000).groups == 1
    tiny = tile_sampling.layout(base[3:], 8, 8, 32, 4, 300)
    assert (tiny.groups, tiny.gathered, tiny.tile) == (1, [], 384)
