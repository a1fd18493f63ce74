"""Agent terms on hand-made scenes: values by hand, padding without effect, empty scenes finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import geometry
from dima_jax.losses import agents
from tests.losses.loss_scene import agent_targets, random_output

assign = jax.jit(lambda o, t: agents.assign(o, t, class_weight=2.0, box_weight=0.25))
terms_of = jax.jit(agents.agent_terms)
motion_of = jax.jit(agents.motion_term)


@jax.jit
@jax.value_and_grad
def total(output, targets, query_of_target):
    terms = agents.agent_terms(output, targets, query_of_target)
    assert set(terms) == {"agent_class", "agent_box", "agent_motion", "agent_mode"}
    return sum(term.sum / term.count for term in terms.values())


def perfect_output(targets, query_of_target, num_agents=6):
    """Codes of the targets at the given queries of the last layer, elsewhere far away."""
    output = random_output(0, num_agents=num_agents)
    codes = jnp.full_like(output.agent_codes, 100.0)
    real = len(query_of_target)
    codes = codes.at[:, 0, jnp.array(query_of_target)].set(geometry.encode_boxes(targets.boxes[0, :real]))
    return output.replace(agent_codes=codes, agent_logits=jnp.zeros_like(output.agent_logits))


def test_match_finds_the_right_queries_and_box_loss_vanishes():
    targets = agent_targets(3)
    output = perfect_output(targets, [4, 0, 2])
    query = assign(output, targets)
    np.testing.assert_array_equal(query, np.tile([4, 0, 2, -1], (2, 1, 1)))
    terms = terms_of(output, targets, query)
    assert float(terms["agent_box"].sum) == pytest.approx(0.0, abs=1e-5)
    assert float(terms["agent_box"].count) == 3.0


def test_box_loss_by_hand():
    targets = agent_targets(1)
    output = perfect_output(targets, [1])
    shifted = output.agent_codes.at[1, 0, 1, 0].add(0.5).at[1, 0, 1, 9].add(-2.0)  # cx; vy counts a fifth
    output = output.replace(agent_codes=shifted)
    terms = terms_of(output, targets, assign(output, targets))
    assert float(terms["agent_box"].sum) == pytest.approx(0.5 + 0.4, rel=1e-4)


def test_class_loss_counts_every_query_of_every_layer():
    targets = agent_targets(2)
    output = perfect_output(targets, [1, 2])
    terms = terms_of(output, targets, assign(output, targets))
    positive, negative = 0.25 * 0.25 * np.log(2), 0.75 * 0.25 * np.log(2)
    assert float(terms["agent_class"].sum) == pytest.approx(2 * (2 * positive + 58 * negative), rel=1e-5)


def test_motion_takes_the_mode_that_ends_nearest():
    targets = agent_targets(1)
    query = jnp.array([[1, -1, -1, -1]])
    offsets = jnp.zeros((1, 6, 6, 6, 2)).at[0, 1, 3, :, 1].set(1.5).at[0, 1, 2, :, 1].set(5.0)  # mode 3 ends at 9 m
    assert agents.winning_mode(offsets[:, 1:2], jax.tree.map(lambda x: x[:, :1], targets)).tolist() == [[3]]
    term = motion_of(offsets, targets, query)
    assert float(term.sum) == pytest.approx(6 * 0.5)
    one_step = targets.replace(future_mask=np.arange(6) < 1 + np.zeros((1, 4, 1), int))
    assert agents.winning_mode(offsets[:, 1:2], jax.tree.map(lambda x: x[:, :1], one_step)).tolist() == [[0]]  # Q6
    assert float(motion_of(offsets, one_step, query).sum) == pytest.approx(1.0)  # |0 - 1| of one step


def test_padding_changes_nothing():
    output = random_output(3)
    small, large = agent_targets(3), agent_targets(3, padded=6)
    a, b = (terms_of(output, t, assign(output, t)) for t in (small, large))
    for name in a:
        np.testing.assert_allclose(a[name].sum, b[name].sum, rtol=1e-6, err_msg=name)
        assert a[name].count == b[name].count


@pytest.mark.parametrize("num_real", [0, 2])
def test_gradients_are_finite(num_real):
    targets, output = agent_targets(num_real), random_output(1)
    value, gradient = total(output, targets, assign(output, targets))
    assert np.isfinite(value) and value > 0
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
    if num_real == 0:
        assert not gradient.agent_codes.any() and gradient.agent_logits.any()  # background is still learned


def test_a_box_with_nan_velocity_is_dropped_from_regression():
    targets, output = agent_targets(2), random_output(2)
    boxes = targets.boxes.copy()
    boxes[0, 1, 7] = np.nan
    broken = targets.replace(boxes=boxes)
    terms = terms_of(output, broken, assign(output, broken))
    assert all(np.isfinite(t.sum) for t in terms.values())
    assert float(terms["agent_box"].count) == 2.0
