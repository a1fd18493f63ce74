"""Sampling in tiles of one table against the passes over all queries: values and every gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.student import patch_table, tile_sampling
from dima_jax.student.deformable_attention import sample_cameras
from tests.student.visible_pairs import Sizes, check_bfloat16, check_on_a_mesh, results

SIZES = Sizes(cameras=3, queries=37, heads=4)
SMALL, LARGE = ((5, 7), (3, 4)), ((18, 20), (5, 7), (21, 17))  # cells: below and above DENSE_CELLS


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    for name in ("SAMPLES", "DENSE_TILE", "LANES"):
        monkeypatch.setattr(tile_sampling, name, 16)


@pytest.mark.parametrize(
    ("shapes", "visible_share", "table_bytes"),
    [(SMALL, 0.3, 1), (LARGE, 0.0, 1), (LARGE, 0.3, 10**9), (LARGE[:1], 1.0, 500_000)],
)
def test_equals_the_passes_over_all_queries(monkeypatch, shapes, visible_share, table_bytes):
    monkeypatch.setattr(tile_sampling, "TABLE_BYTES", table_bytes)
    expected = results(sample_cameras, SIZES, shapes, visible_share)
    for got, wanted in zip(results(tile_sampling.sample_tables, SIZES, shapes, visible_share), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=3e-5)


@pytest.mark.parametrize("shapes", [SMALL, LARGE[:1]])
def test_a_bfloat16_table_is_rounded_once(shapes):
    check_bfloat16(tile_sampling.sample_tables, SIZES, shapes)


@pytest.mark.parametrize("shapes", [SMALL, LARGE])
def test_queries_that_are_all_seen_are_read_in_runs(shapes):
    def in_runs(value, shapes, references, visible, *arrays):
        return tile_sampling.sample_tables(value, shapes, references, None, *arrays)

    expected = results(tile_sampling.sample_tables, SIZES, shapes, 1.0)
    for got, wanted in zip(results(in_runs, SIZES, shapes, 1.0), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=3e-5)
    text = str(jax.make_jaxpr(lambda: results(in_runs, SIZES, SMALL, 1.0))())
    assert "scatter" not in text and text.count("dynamic_update_slice") > 3


def test_a_factor_is_the_sum_of_its_three_parts():
    factors = np.random.default_rng(0).normal(size=(2, 4, 50)).astype(np.float32) ** 3
    parts = patch_table.in_three(jnp.asarray(factors))
    assert parts.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(parts, np.float32).reshape(2, 3, 4, 50).sum(axis=1), factors)


def test_every_device_of_a_mesh_samples_its_own_part_of_the_batch():
    check_on_a_mesh("tpu", SIZES, SMALL)


def test_a_table_holds_as_many_heads_as_fit(monkeypatch):
    monkeypatch.undo()
    base = ((92, 160), (46, 80), (23, 40), (12, 20))
    plan = tile_sampling.layout(base, heads=8, points=8, channels=32, item_bytes=4, queries=40_000)
    assert (plan.groups, plan.heads, plan.gathered, plan.dense) == (2, 4, [0, 1, 2], [3])
    assert plan.tile == 2048
    assert tile_sampling.layout(base, 8, 8, 32, 2, 40_000).groups == 1
    tiny = tile_sampling.layout(base[3:], 8, 8, 32, 4, 300)
    assert (tiny.groups, tiny.gathered, tiny.tile) == (1, [], 384)
