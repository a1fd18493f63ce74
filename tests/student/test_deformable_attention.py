"""Bilinear sampling against numbers one can do in the head, and its gradients against a plain formulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import sharding
from dima_jax.student import deformable_attention as deformable
from dima_jax.student import kernel_sampling, tile_sampling


@pytest.fixture(autouse=True, params=["rows", "products", "patches", "kernel"])
def form(request, monkeypatch):
    """Every test with every way to sample: rows of a table, the two of TPUs, and the kernel of GPUs."""
    if request.param == "rows":
        yield
        return
    if request.param == "kernel":
        monkeypatch.setattr(kernel_sampling, "INTERPRET", True)
        with sharding.tracing_for("gpu"):
            yield
        return
    monkeypatch.setattr(tile_sampling, "DENSE_CELLS", {"products": 1000, "patches": 0}[request.param])
    with sharding.tracing_for("tpu"):
        yield


def sample_at(image, x, y, weight=1.0):
    """One query, one head, one point on a one-channel image [rows, columns]."""
    image = np.asarray(image, np.float32)
    value = jnp.asarray(image.reshape(1, -1, 1, 1))
    locations = jnp.asarray([x, y], jnp.float32).reshape(1, 1, 1, 1, 1, 2)
    weights = jnp.full((1, 1, 1, 1, 1), weight)
    return float(deformable.sample_levels(value, (image.shape,), locations, weights)[0, 0, 0])


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (0.125, 0.25, 0.0),  # center of the first cell
        (0.875, 0.75, 7.0),  # center of the last cell
        (0.25, 0.25, 0.5),  # between two columns
        (0.125, 0.5, 2.0),  # between two rows
        (0.25, 0.5, 2.5),  # between four cells
        (1.0, 0.25, 1.5),  # on the border: half of it is outside, where everything is zero
        (1.125, 0.25, 0.0),  # a whole cell outside
        (-0.125, 0.25, 0.0),
        (1e9, -1e9, 0.0),
    ],
)
def test_samples_a_ramp(x, y, expected):
    assert sample_at([[0, 1, 2, 3], [4, 5, 6, 7]], x, y) == pytest.approx(expected, abs=1e-5)


def test_one_pixel_fades_over_one_cell():
    assert sample_at([[8]], 0.5, 0.5) == 8.0
    assert sample_at([[8]], 0.0, 0.5) == 4.0
    assert sample_at([[8]], 0.5, 0.5, weight=0.25) == 2.0


def plain(value, shapes, locations, weights):
    """Sum over levels and points of hat functions times the level's cells: dense, differentiable, slow."""
    out, start = 0.0, 0
    for i, (rows, columns) in enumerate(shapes):
        x, y = locations[:, :, :, i, :, 0] * columns - 0.5, locations[:, :, :, i, :, 1] * rows - 0.5
        near_x = jnp.maximum(0.0, 1.0 - jnp.abs(x[..., None] - jnp.arange(columns)))
        near_y = jnp.maximum(0.0, 1.0 - jnp.abs(y[..., None] - jnp.arange(rows)))
        level = value[:, start : start + rows * columns].reshape(value.shape[0], rows, columns, *value.shape[2:])
        out += jnp.einsum("bqhp,bqhpy,bqhpx,byxhd->bqhd", weights[:, :, :, i], near_y, near_x, level)
        start += rows * columns
    return out.reshape(*out.shape[:2], -1)


def inputs(shapes, batch=2, queries=5, heads=2, points=4, channels=3):
    rng = np.random.default_rng(0)
    cells = deformable.num_cells(shapes)
    value = rng.normal(size=(batch, cells, heads, channels)).astype(np.float32)
    locations = rng.uniform(-0.2, 1.2, (batch, queries, heads, len(shapes), points, 2)).astype(np.float32)
    weights = rng.normal(size=locations.shape[:-1]).astype(np.float32)
    return value, locations, weights


@pytest.mark.parametrize("shapes", [((4, 7),), ((6, 5), (3, 2))])
def test_values_and_gradients_equal_the_plain_sum(shapes):
    def squared(sampler):
        return jax.jit(jax.value_and_grad(lambda *x: (sampler(x[0], shapes, *x[1:]) ** 2).sum(), argnums=(0, 1, 2)))

    arrays = inputs(shapes)
    value, gradients = squared(deformable.sample_levels)(*arrays)
    expected, expected_gradients = squared(plain)(*arrays)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])  # no query hits a grid; some; every query hits all three
def test_grids_are_summed_over_hits_only(share):
    shapes, grids = ((3, 4),), 3
    value, _, weights = inputs(shapes, points=4)
    rng = np.random.default_rng(1)
    batch, queries, heads, _, points = weights.shape
    values = rng.normal(size=(batch, grids, *value.shape[1:])).astype(np.float32)
    references = rng.uniform(size=(batch, grids, queries, 2, 2)).astype(np.float32)
    offsets = rng.normal(size=(*weights.shape, 2)).astype(np.float32)
    hits = rng.uniform(size=(batch, grids, queries)) < share

    def expected(values):
        total = jnp.zeros((batch, queries, heads * value.shape[-1]))
        for g in range(grids):
            locations = references[:, g][:, :, None, None].repeat(points // 2, axis=-2)  # the points' anchors: 0 0 1 1
            locations = locations[..., [0, 2, 1, 3], :] + offsets / np.asarray([4, 3], np.float32)  # wanted: 0 1 0 1
            total += plain(values[:, g], shapes, locations, weights) * hits[:, g, :, None]
        return total

    def ours(values):
        return deformable.sample_cameras(values, shapes, *map(jnp.asarray, (references, hits, offsets, weights)))

    np.testing.assert_allclose(jax.jit(ours)(values), expected(values), atol=1e-5)
    ours_gradient, expected_gradient = (
        jax.jit(jax.grad(lambda v, f=f: (f(v) ** 2).sum()))(values) for f in (ours, expected)
    )
    np.testing.assert_allclose(ours_gradient, expected_gradient, atol=1e-4)


def test_offsets_start_as_a_star():
    grid = deformable.initial_offsets(8, 1, 2)
    np.testing.assert_allclose(grid[0, 0], [[1, 0], [2, 0]], atol=1e-6)
    np.testing.assert_allclose(grid[1, 0], [[1, 1], [2, 2]], atol=1e-6)
    np.testing.assert_allclose(grid[2, 0], [[0, 1], [0, 2]], atol=1e-6)
