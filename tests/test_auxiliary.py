"""Heads that exist in training only: they leave the student's weights, paths and predictions alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax import auxiliary, weights
from dima_jax.constants import NUM_FACTS
from dima_jax.student import student as student_lib
from dima_jax.types import QueryGroups
from tests.mini import mini_config


@pytest.fixture(scope="module")
def student_and_bev():
    config = mini_config()
    student = student_lib.build(config, nnx.Rngs(jax.random.key(0)))
    cells = config.student.bev_shape[0] * config.student.bev_shape[1]
    return config, student, jax.random.normal(jax.random.key(1), (2, cells, config.student.width))


def test_further_groups_of_queries_do_not_change_the_own_predictions(student_and_bev):
    _, student, bev = student_and_bev
    own = QueryGroups(student.agent_head.queries[...], student.map_head.line_queries[...])
    twice = QueryGroups(jnp.concatenate([own.agents * 0.5, own.agents]), jnp.concatenate([own.map * 0.5, own.map]))
    alone = student.decode(bev)
    grouped = student.decode(bev, more_queries=twice)
    assert alone.groups is None
    for name in ("agent_logits", "agent_codes", "map_logits", "map_points", "ego_offsets", "agent_future_offsets"):
        np.testing.assert_allclose(getattr(grouped, name), getattr(alone, name), atol=2e-5, err_msg=name)
    layers = len(alone.agent_logits)
    assert grouped.groups.agent_logits.shape == (2 * layers, *alone.agent_logits.shape[1:])
    # The second group holds the student's own queries, so it predicts the same; the first does not.
    for name in ("agent_logits", "agent_codes", "map_logits", "map_points"):
        groups, expected = getattr(grouped.groups, name), getattr(alone, name)
        np.testing.assert_allclose(groups[layers:], expected, atol=2e-5, err_msg=name)
        assert np.abs(groups[:layers] - expected).max() > 1e-3, name


def test_build_follows_the_config(student_and_bev):
    config, student, bev = student_and_bev
    config = config.copy_and_resolve_references()
    assert auxiliary.build_auxiliary(config, nnx.Rngs(0)) is None
    config.auxiliary.update(image=True, agent_groups=2)
    heads = auxiliary.build_auxiliary(config, nnx.Rngs(0))
    features = [jnp.ones((2, 6, 3, 5, config.student.width))]
    output = heads(features, student.decode(bev).tokens)
    assert output.image_logits[0].shape == (2, 6, 3, 5, auxiliary.NUM_CLASSES)
    assert output.image_depths[0].shape == (2, 6, 3, 5)
    assert output.bev_logits is None and output.fact_logits is None
    more = heads.more_queries()
    assert more.agents.shape == (2 * config.student.num_agents, 2 * config.student.width)
    assert more.map is None
    assert not {path for path in weights.split(heads)[1] if path.startswith("student")}
    assert student.decode(bev, more_queries=more).groups.map_logits is None


def test_the_fact_head_reads_every_kind_of_scene_token(student_and_bev):
    config, student, bev = student_and_bev
    config = config.copy_and_resolve_references()
    config.auxiliary.facts = True
    graph, params = weights.split(auxiliary.build_auxiliary(config, nnx.Rngs(0)))
    params["facts/weights"] = jax.random.normal(jax.random.key(2), params["facts/weights"].shape)
    tokens = student.decode(bev).tokens

    @jax.jit
    def logits(tokens):
        output = weights.bind(graph, params)([], tokens)
        assert output.image_logits is output.bev_logits is None
        return output.fact_logits

    first = logits(tokens)
    assert first.shape == (2, NUM_FACTS)
    for name in ("bev", "ego", "agents", "agent_positions", "map", "map_positions"):
        moved = tokens.replace(**{name: jax.random.uniform(jax.random.key(3), getattr(tokens, name).shape)})
        assert np.abs(logits(moved) - first).max() > 1e-4, name
