"""Cameras that see some queries: random arguments of `deformable_attention.sample_cameras`, and what comes of them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


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
