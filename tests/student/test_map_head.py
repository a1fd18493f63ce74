"""Point queries, line tokens and line positions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import weights
from dima_jax.student import map_head
from dima_jax.student.layers import InitRngs

LINES, POINTS, WIDTH, BEV_SHAPE = 3, 4, 8, (4, 3)


def random(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.fixture(scope="module")
def split():
    return weights.split(
        map_head.MapHead(
            width=WIDTH,
            ffn_width=WIDTH,
            num_heads=2,
            dropout=0.0,
            decoder_layers=2,
            num_map=LINES,
            num_points=POINTS,
            num_classes=3,
            rngs=InitRngs(jax.random.key(0)),
        )
    )


@pytest.fixture(scope="module")
def run(split):
    bev = random(0, 1, 12, WIDTH)
    return jax.jit(lambda params: weights.bind(split[0], params)(bev, BEV_SHAPE))


def test_point_queries_are_sums_of_line_and_place(split, run):
    """With branches that move nothing, all points stay where their query's position puts them."""
    still = {name: jnp.zeros_like(split[1][f"decoder/branches/last/{name}"]) for name in ("kernel", "bias")}
    out = run({**split[1], **{f"decoder/branches/last/{name}": value for name, value in still.items()}})
    head = weights.bind(*split)
    for m in range(LINES):
        for p in range(POINTS):
            position = head.line_queries[...][m, :WIDTH] + head.point_queries[...][p, :WIDTH]
            expected = jax.nn.sigmoid(head.decoder.reference(position))
            np.testing.assert_allclose(out.points[:, 0, m, p], np.broadcast_to(expected, (2, 2)), atol=1e-5)


def test_lines_have_no_order(split, run):
    order = np.array([2, 0, 1])
    out, permuted = run(split[1]), run({**split[1], "line_queries": split[1]["line_queries"][order]})
    for name, axis in (("logits", 2), ("points", 2), ("tokens", 1), ("positions", 1)):
        np.testing.assert_allclose(getattr(permuted, name), jnp.take(getattr(out, name), order, axis), atol=1e-5)


def test_scores_start_low_and_positions_have_no_gradient(split, run):
    np.testing.assert_allclose(jax.nn.sigmoid(split[1]["classes/last/bias"]), 0.01, rtol=1e-5)
    name = "decoder/branches/last/bias"
    gradient = jax.grad(lambda bias: run({**split[1], name: bias}).positions.sum())(split[1][name])
    np.testing.assert_array_equal(gradient, 0.0)


def test_line_position_is_nearest_to_the_corner():
    """Quirk Q5: not the point nearest to the ego at (0.5, 0.5)."""
    points = jnp.array([[[[0.5, 0.5], [0.9, 0.1], [0.1, 0.2]]]])
    np.testing.assert_allclose(map_head.nearest_to_corner(points)[0, 0], [0.1, 0.2])


def test_a_lane_layer_joins_each_point_with_its_line():
    layer = map_head.LaneLayer(4, 2, InitRngs(jax.random.key(0)))
    x = random(1, 1, 2, 3, 4)
    own = jax.nn.relu(layer.norm(layer.linear(x)))
    out = layer(x)
    np.testing.assert_allclose(out[..., :2], own, atol=1e-6)
    np.testing.assert_allclose(out[..., 2:], np.broadcast_to(own.max(axis=2, keepdims=True), own.shape), atol=1e-6)


def test_a_lane_token_is_of_one_line_and_of_points_without_order():
    encoder, x = map_head.LaneEncoder(8, InitRngs(jax.random.key(0))), random(1, 1, 2, 3, 8)
    tokens = encoder(x)
    np.testing.assert_allclose(encoder(x[:, :, ::-1]), tokens, atol=1e-6)
    other = encoder(x.at[:, 1].add(1.0))
    np.testing.assert_allclose(other[:, 0], tokens[:, 0], atol=1e-6)
    assert float(jnp.abs(other[:, 1] - tokens[:, 1]).max()) > 1e-3


def test_the_gradient_of_a_maximum_goes_to_the_first_of_equals():
    x = jnp.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    assert map_head.torch_max(x, axis=1).tolist() == [[3.0], [2.0]]
    assert jax.grad(lambda x: map_head.torch_max(x, axis=1).sum())(x).tolist() == [[0, 1, 0], [1, 0, 0]]
