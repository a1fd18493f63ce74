"""The heads on the LLM's states: what each prediction depends on, and the drawing of the BEV mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax.teacher.surrogate_heads import AgentFutureHead, BevHead, EgoHead, draw_mask

LLM_WIDTH, WIDTH = 12, 8


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.fixture(scope="module")
def ego_head():
    return EgoHead(LLM_WIDTH, WIDTH, num_commands=3, num_future=6, rngs=nnx.Rngs(0))


def test_the_ego_feature_is_the_input_of_the_last_linear(ego_head):
    """It is as wide as the student's, not negative (after ReLU), and reads the mean of the states."""
    states = normal(2, 5, LLM_WIDTH)
    feature, offsets = ego_head(states)
    assert feature.shape == (2, 2 * WIDTH) and offsets.shape == (2, 3, 6, 2)
    assert (feature >= 0).all() and (feature > 0).any()
    expected = feature @ ego_head.out.kernel[...] + ego_head.out.bias[...]
    np.testing.assert_allclose(offsets.reshape(2, -1), expected, atol=1e-6)
    of_mean, _ = ego_head(states.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(of_mean, feature, atol=1e-5)


def test_a_future_belongs_to_its_agent():
    """Agents in another order, with their positions, give the same futures in that order; another place, another future."""
    head = jax.jit(AgentFutureHead(LLM_WIDTH, WIDTH, 2, num_future=6, rngs=nnx.Rngs(0)))
    states, agents = normal(2, 5, LLM_WIDTH), normal(2, 7, WIDTH, seed=1)
    positions = jnp.asarray(np.random.default_rng(2).uniform(size=(2, 7, 2)), jnp.float32)
    futures = head(states, agents, positions)
    assert futures.shape == (2, 7, 6, 2)
    order = jnp.array([3, 0, 6, 1, 5, 2, 4])
    np.testing.assert_allclose(head(states, agents[:, order], positions[:, order]), futures[:, order], atol=1e-5)
    moved = jnp.abs(head(states, agents, positions.at[:, 2].set(0.5)) - futures).max(axis=(0, 2, 3))
    np.testing.assert_array_equal(moved > 1e-5, np.arange(7) == 2)
    assert float(jnp.abs(head(states[:, ::-1], agents, positions) - futures).max()) < 1e-5  # the states are a set
    assert float(jnp.abs(head(states + 1.0 * normal(5, LLM_WIDTH, seed=3), agents, positions) - futures).max()) > 1e-3


def test_a_bev_cell_is_predicted_from_its_own_state():
    head = BevHead(LLM_WIDTH, WIDTH, rngs=nnx.Rngs(0))
    states = normal(2, 4, LLM_WIDTH)
    moved = jnp.abs(head(states.at[:, 1].add(1.0)) - head(states)).max(axis=(0, 2))
    np.testing.assert_array_equal(moved > 0, np.arange(4) == 1)
    assert head(states).shape == (2, 4, WIDTH)


def test_mask_has_the_drawn_share():
    masked = np.asarray(draw_mask(jax.random.key(0), 64, 50, (0.2, 0.4)))
    counts = masked.sum(axis=1)
    assert counts.min() >= 10 and counts.max() <= 20 and len(set(counts)) > 3
    assert (masked.mean(axis=0) > 0.1).all()  # every cell has its turn
    exact = draw_mask(jax.random.key(1), 4, 50, (0.3, 0.3))
    np.testing.assert_array_equal(exact.sum(axis=1), 15)
