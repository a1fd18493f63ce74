"""Cameras that see some queries: random arguments of `deformable_attention.sample_cameras`, what comes of them, and what
every form of it must hold."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dima_jax import sharding
from dima_jax.student.deformable_attention import sample_cameras


class Sizes(NamedTuple):
    """Of the arrays, but for the levels."""

    cameras: int
    queries: int
    heads: int
    channels: int = 3
    batch: int = 2
    points: int = 8
    anchors: int = 4


def inputs(sizes, shapes, visible_share):
    """Values, references, visible, offsets, weights."""
    rng = np.random.default_rng(0)
    cells = sum(rows * columns for rows, columns in shapes)
    seen = (sizes.batch, sizes.cameras, sizes.queries)
    sampled = (sizes.batch, sizes.queries, sizes.heads, len(shapes), sizes.points)
    value = rng.normal(size=(sizes.batch, sizes.cameras, cells, sizes.heads, sizes.channels)).astype(np.float32)
    references = rng.uniform(-0.2, 1.2, (*seen, sizes.anchors, 2)).astype(np.float32)
    visible = rng.random(seen) < visible_share
    offsets = rng.normal(size=(*sampled, 2)).astype(np.float32)
    weights = rng.random(sampled).astype(np.float32)
    return value, references, visible, offsets, weights


def results(sample, sizes, shapes, visible_share):
    """What `sample` makes of them, and the gradients of values, offsets and weights."""
    value, references, visible, offsets, weights = inputs(sizes, shapes, visible_share)
    gradient = np.random.default_rng(1).normal(size=(sizes.batch, sizes.queries, sizes.heads * sizes.channels))
    gradient = gradient.astype(np.float32)

    def total(value, offsets, weights):
        out = sample(value, shapes, jnp.asarray(references), jnp.asarray(visible), offsets, weights)
        return (out * gradient).sum(), out

    gradients = jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True))
    (_, out), found = gradients(value, offsets, weights)
    return out, *found


def check_bfloat16(sample, sizes, shapes):
    """The gradient of a bfloat16 table is the float32 one, rounded once."""
    value, references, visible, offsets, weights = map(jnp.asarray, inputs(sizes, shapes, 0.9))
    value = value.astype(jnp.bfloat16)

    def gradient(value):
        def total(value):
            return (sample(value, shapes, references, visible, offsets, weights) ** 2).sum()

        return jax.jit(jax.grad(total))(value)

    found, exact = gradient(value), gradient(value.astype(jnp.float32))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), exact, rtol=1.01 * 2.0**-8, atol=1e-4)


def check_on_a_mesh(platform, sizes, shapes, sample=sample_cameras):
    """The form of a platform gives the same on two devices, gradients too, which send each other nothing."""
    arrays = tuple(map(jnp.asarray, inputs(sizes, shapes, 0.3)))
    mesh = sharding.make_mesh(1, 2, 1)

    def run(sample, value, references, visible, offsets, weights):
        def of(value, offsets, weights):
            return sample(value, shapes, references, visible, offsets, weights)

        out, pullback = jax.vjp(of, value, offsets, weights)
        return out, *pullback(2 * out)

    expected = jax.jit(partial(run, sample_cameras))(*arrays)
    with sharding.tracing_for(platform):
        traced = jax.jit(sharding.on_mesh(partial(run, sample), mesh))
        placed = jax.device_put(arrays, sharding.batch_sharding(mesh))
        compiled = traced.lower(*placed).compile()
    for got, wanted, atol in zip(compiled(*placed), expected, (1e-5, 3e-5, 3e-5, 3e-5), strict=True):
        np.testing.assert_allclose(got, wanted, atol=atol)
    assert not any(name in compiled.as_text() for name in ("all-reduce", "all-gather", "collective-permute"))
