"""The planner: order of its outputs, its feature, and where it takes the ego to be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.student.layers import InitRngs
from dima_jax.student.planner import Planner
from dima_jax.types import SceneTokens

COMMANDS, FUTURE, WIDTH = 3, 4, 8


def random(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.fixture
def planner():
    sizes = dict(width=WIDTH, ffn_width=WIDTH, num_heads=2, dropout=0.0)
    return Planner(**sizes, num_commands=COMMANDS, num_future=FUTURE, rngs=InitRngs(jax.random.key(0)))


@pytest.fixture
def tokens():
    return SceneTokens(
        bev=jnp.zeros((2, 12, WIDTH)),
        ego=random(0, 2, 1, WIDTH),
        agents=random(1, 2, 5, WIDTH),
        agent_positions=jax.nn.sigmoid(random(2, 2, 5, 2)),
        map=random(3, 2, 4, WIDTH),
        map_positions=jax.nn.sigmoid(random(4, 2, 4, 2)),
    )


def test_offsets_are_ordered_by_command_step_and_coordinate(planner, tokens):
    planner.waypoints.last.kernel[...] = jnp.zeros_like(planner.waypoints.last.kernel[...])
    planner.waypoints.last.bias[...] = jnp.arange(COMMANDS * FUTURE * 2.0)
    offsets, _ = planner(tokens)
    assert offsets.shape == (2, COMMANDS, FUTURE, 2)
    for command in range(COMMANDS):
        for step in range(FUTURE):
            first = 2.0 * (command * FUTURE + step)
            np.testing.assert_array_equal(offsets[:, command, step], [[first, first + 1]] * 2)


def test_the_feature_is_what_enters_the_last_linear(planner, tokens):
    """Distillation compares it, and `dual.py` fuses it."""
    offsets, feature = planner(tokens)
    assert feature.shape == (2, 2 * WIDTH)
    assert float(feature.min()) == 0.0  # after a ReLU
    expected = feature @ planner.waypoints.last.kernel[...] + planner.waypoints.last.bias[...]
    np.testing.assert_allclose(expected.reshape(offsets.shape), offsets, atol=1e-5)
    np.testing.assert_allclose(
        planner.plan(2.0 * feature) - planner.plan(feature), offsets - planner.plan(0 * feature), atol=1e-5
    )


def test_agents_come_before_the_map_and_the_ego_is_at_the_corner(planner, tokens):
    """Quirk Q5: the position (0, 0) is that of the corner behind on the left."""
    corner = jnp.zeros((2, 1, 2))
    ego_agent = planner.ego_agent(
        tokens.ego, planner.agent_position(corner), tokens.agents, planner.agent_position(tokens.agent_positions)
    )
    ego_map = planner.ego_map(
        ego_agent, planner.map_position(corner), tokens.map, planner.map_position(tokens.map_positions)
    )
    expected = planner.waypoints.features(jnp.concatenate([ego_agent, ego_map], axis=-1)[:, 0])
    np.testing.assert_allclose(planner(tokens)[1], expected, atol=1e-5)
    centered = planner.ego_agent(
        tokens.ego, planner.agent_position(corner + 0.5), tokens.agents, planner.agent_position(tokens.agent_positions)
    )
    assert float(jnp.abs(centered - ego_agent).max()) > 1e-4


def test_every_agent_and_line_counts_whatever_its_order(planner, tokens):
    offsets, _ = planner(tokens)
    order = np.array([4, 2, 0, 3, 1])
    permuted = tokens.replace(agents=tokens.agents[:, order], agent_positions=tokens.agent_positions[:, order])
    np.testing.assert_allclose(planner(permuted)[0], offsets, atol=1e-5)
    gradient = jax.grad(lambda tokens: planner(tokens)[0].sum())(tokens)
    for field in ("ego", "agents", "agent_positions", "map", "map_positions"):
        assert (jnp.abs(getattr(gradient, field)).sum(axis=-1) > 0).all(), field
