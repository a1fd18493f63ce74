"""Sampling in tiles of one table against the passes over all queries: values and every gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import sharding
from dima_jax.student import tile_sampling
from dima_jax.student.deformable_attention import sample_cameras
from tests.student.visible_pairs import Sizes, inputs, results

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
    value, references, visible, offsets, weights = map(jnp.asarray, inputs(SIZES, shapes, 0.9))
    value = value.astype(jnp.bfloat16)

    def gradient(value):
        def total(value):
            return (tile_sampling.sample_tables(value, shapes, references, visible, offsets, weights) ** 2).sum()

        return jax.jit(jax.grad(total))(value)

    found, exact = gradient(value), gradient(value.astype(jnp.float32))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), exact, rtol=1.01 * 2.0**-8, atol=1e-4)


def test_every_device_of_a_mesh_samples_its_own_part_of_the_batch():
    value, references, visible, offsets, weights = map(jnp.asarray, inputs(SIZES, SMALL, 0.3))
    expected = sample_cameras(value, SMALL, references, visible, offsets, weights)
    mesh = sharding.make_mesh(1, 2, 1)
    with sharding.tracing_for("tpu"):
        run = jax.jit(sharding.on_mesh(lambda *x: sample_cameras(x[0], SMALL, *x[1:]), mesh))
        placed = jax.device_put((value, references, visible, offsets, weights), sharding.batch_sharding(mesh))
        compiled = run.lower(*placed).compile()
    np.testing.assert_allclose(compiled(*placed), expected, atol=1e-5)
    assert not any(name in compiled.as_text() for name in ("all-reduce", "all-gather", "collective-permute"))


def test_a_table_holds_as_many_heads_as_fit():
    base = ((92, 160), (46, 80), (23, 40), (12, 20))
    plan = tile_sampling.layout(base, heads=8, points=8, channels=32, item_bytes=4, queries=40_000)
    assert (plan.groups, plan.heads, plan.gathered, plan.dense) == (2, 4, [0, 1, 2], [3])
    assert tile_sampling.layout(base, 8, 8, 32, 2, 40_000).groups == 1
    tiny = tile_sampling.layout(base[3:], 8, 8, 32, 4, 300)
    assert (tiny.groups, tiny.gathered, tiny.tile) == (1, [], 384)
