"""Map terms: blind to vertex order, values by hand, empty maps finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import geometry
from dima_jax.data import targets as data_targets
from dima_jax.losses import map as map_losses
from tests.losses.loss_scene import PC_RANGE, map_targets, random_output

LINES = np.stack([np.stack([np.full(5, x), np.linspace(0, 8, 5)], -1) for x in (-3.0, 6.0)]).astype(np.float32)
assign = jax.jit(lambda o, t: map_losses.assign(o, t, class_weight=2.0, points_weight=1.0))
terms_of = jax.jit(lambda o, t, q, i: map_losses.map_terms(o, t, PC_RANGE, q, i))


@jax.jit
@jax.value_and_grad
def total(output, targets, query, order):
    terms = map_losses.map_terms(output, targets, PC_RANGE, query, order)
    return sum(term.sum / term.count for term in terms.values())


def perfect_output():
    """Query 2 tells line 0 backwards, query 1 tells line 1 forwards."""
    output = random_output(0)
    points = jnp.full_like(output.map_points, 0.9)
    points = points.at[:, 0, 2].set(geometry.normalize_xy(LINES[0, ::-1], PC_RANGE))
    points = points.at[:, 0, 1].set(geometry.normalize_xy(LINES[1], PC_RANGE))
    return output.replace(map_points=points, map_logits=jnp.zeros_like(output.map_logits))


def test_reversed_line_is_no_error():
    output, targets = perfect_output(), map_targets(LINES, [0, 2])
    query, order = assign(output, targets)
    np.testing.assert_array_equal(query, np.tile([2, 1, -1], (2, 1, 1)))
    np.testing.assert_array_equal(order[..., :2], np.tile([1, 0], (2, 1, 1)))
    terms = terms_of(output, targets, query, order)
    assert float(terms["map_points"].sum) == pytest.approx(0.0, abs=1e-5)
    assert float(terms["map_direction"].sum) == pytest.approx(0.0, abs=1e-5)


def test_points_and_direction_by_hand():
    output, targets = perfect_output(), map_targets(LINES[1:], [2])
    points = output.map_points.at[1, 0, 1, 2, 0].add(2 / 30)  # the middle point 2 m to the right, in the last layer
    output = output.replace(map_points=points)
    query, order = assign(output, targets)
    terms = terms_of(output, targets, query, order)
    assert float(terms["map_points"].sum) == pytest.approx(2 / 30, rel=1e-4)
    slanted = 2 * (1 - np.cos(np.pi / 4))  # two segments of 2 m, both turned by 45 degrees
    assert float(terms["map_direction"].sum) == pytest.approx(slanted, rel=1e-4)
    assert float(terms["map_points"].count) == 1.0


def test_class_loss_by_hand():
    output, targets = perfect_output(), map_targets(LINES, [0, 2])
    terms = terms_of(output, targets, *assign(output, targets))
    positive, negative = 0.25 * 0.25 * np.log(2), 0.75 * 0.25 * np.log(2)
    assert float(terms["map_class"].sum) == pytest.approx(2 * (2 * positive + 10 * negative), rel=1e-5)


@pytest.mark.parametrize("num_real", [0, 2])
def test_gradients_are_finite(num_real):
    targets, output = map_targets(LINES[:num_real].reshape(num_real, 5, 2), [0, 2][:num_real]), random_output(1)
    value, gradient = total(output, targets, *assign(output, targets))
    assert np.isfinite(value) and value > 0
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
    assert bool(gradient.map_points.any()) == (num_real > 0)


def test_a_line_clipped_at_the_range_has_no_gradient_where_the_prediction_is_exact():
    """The line leaves the range ahead, so some points are clipped to exactly 1; a saturated sigmoid predicts exactly 1.

    A target that is divided on the device and fused with the difference is 1 + 4e-8, and the gradient -1.
    """
    lines = {
        "vertices": np.array([(0, 20), (0, 45), (-40, -50), (5, -50)], np.float32),
        "lengths": np.array([2, 2]),
        "labels": np.array([0, 2]),
    }
    found, _ = data_targets.map_targets(lines, PC_RANGE, 5, 3)
    targets = jax.tree.map(lambda x: x[None], found)
    exact = np.isin(targets.normalized_points[:, :2, 0], (0.0, 1.0))  # [1, 2, P, 2]
    assert exact.any(axis=(0, 2, 3)).all() and not exact.all()
    output = random_output(0)
    points = output.map_points.at[:, :, :2].set(jnp.where(exact, targets.normalized_points[:, :2, 0], 0.3))
    query = jnp.broadcast_to(jnp.array([0, 1, -1]), (2, 1, 3))

    def points_loss(points, targets):
        terms = map_losses.map_terms(output.replace(map_points=points), targets, PC_RANGE, query, jnp.zeros_like(query))
        return terms["map_points"].sum

    gradient = np.asarray(jax.jit(jax.grad(points_loss))(points, targets))[:, :, :2]
    np.testing.assert_array_equal(gradient[:, exact], 0.0)
    assert (np.abs(gradient[:, ~exact]) == 1.0).all()
