"""Iterative refinement, by the numbers of a decoder whose regression branches are constants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import weights
from dima_jax.geometry import inverse_sigmoid
from dima_jax.scan_layers import stack_layers
from dima_jax.student import query_decoder
from dima_jax.student.layers import InitRngs, Mlp

LAYERS, WIDTH, QUERIES, BEV_SHAPE = 2, 8, 5, (4, 3)
CODES = np.float32(
    [[0.3, 9.0, -0.4], [0.1, -9.0, 0.2]]
)  # of the two layers; the entry between the coordinates is unused


def random(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.fixture(scope="module")
def split():
    """The decoder with branches that return CODES whatever the query."""
    decoder = query_decoder.QueryDecoder(
        layers=LAYERS,
        width=WIDTH,
        ffn_width=WIDTH,
        num_heads=2,
        dropout=0.0,
        code_size=3,
        coordinates=(0, 2),
        rngs=InitRngs(jax.random.key(0)),
    )
    decoder.branches.last.kernel[...] = jnp.zeros_like(decoder.branches.last.kernel[...])
    decoder.branches.last.bias[...] = jnp.asarray(CODES)
    return weights.split(decoder)


@pytest.fixture(scope="module")
def run(split):
    query, query_pos, bev = random(1, 1, QUERIES, WIDTH), random(2, 1, QUERIES, WIDTH), random(3, 1, 12, WIDTH)

    def run(params, query=query, query_pos=query_pos):
        return weights.bind(split[0], params)(query, query_pos, bev, BEV_SHAPE)

    return jax.jit(run)


def test_reference_points_move_by_the_codes_in_logit_space(split, run):
    out = run(split[1])
    np.testing.assert_allclose(out.codes, np.broadcast_to(CODES[:, None, None], (LAYERS, 1, QUERIES, 3)), atol=1e-6)
    reference = jax.nn.sigmoid(weights.bind(*split).reference(random(2, 1, QUERIES, WIDTH)))
    for i, code in enumerate(CODES):
        reference = jax.nn.sigmoid(code[[0, 2]] + inverse_sigmoid(reference))
        np.testing.assert_allclose(out.references[i], reference, atol=1e-6)


def test_no_gradient_flows_through_the_points_to_the_next_layer(split, run):
    params = split[1]
    before, pullback = jax.vjp(run, params)

    def gradient(layer):
        zeros = jax.tree.map(jnp.zeros_like, before)
        return pullback(zeros._replace(references=zeros.references.at[layer].set(1.0)))[0]["branches/last/bias"]

    first, second = gradient(0), gradient(1)
    assert (np.abs(first[0, [0, 2]]) > 1e-3).all()
    np.testing.assert_array_equal(first[1], 0.0)
    np.testing.assert_array_equal(second[0], 0.0)
    assert (np.abs(second[1, [0, 2]]) > 1e-3).all()
    moved = run({**params, "branches/last/bias": params["branches/last/bias"].at[0].add(1.0)})
    assert (
        float(jnp.abs(moved.references[1] - before.references[1]).max()) > 0.1
    )  # although the value does depend on it
    assert float(jnp.abs(moved.states[1] - before.states[1]).max()) > 1e-4  # sampled around the moved points
    np.testing.assert_array_equal(moved.states[0], before.states[0])


def test_queries_have_no_order(split, run):
    order = np.array([3, 1, 4, 0, 2])
    query, query_pos = random(1, 1, QUERIES, WIDTH), random(2, 1, QUERIES, WIDTH)
    out, permuted = run(split[1]), run(split[1], query[:, order], query_pos[:, order])
    np.testing.assert_allclose(permuted.states, out.states[:, :, order], atol=1e-5)


def test_each_layer_has_its_own_head():
    rngs = InitRngs(jax.random.key(0))
    heads, states = [Mlp((WIDTH, WIDTH, 2), rngs, norm=True) for _ in range(3)], random(0, 3, 1, QUERIES, WIDTH)
    found = query_decoder.apply_per_layer(stack_layers(heads), states)
    for i, head in enumerate(heads):
        np.testing.assert_allclose(found[i], head(states[i]), atol=1e-5)


def test_the_position_is_the_first_half():
    position, query = query_decoder.split_position_and_query(jnp.arange(6.0)[None])
    assert position.tolist() == [[0, 1, 2]]
    assert query.tolist() == [[3, 4, 5]]
