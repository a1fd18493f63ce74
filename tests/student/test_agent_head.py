"""Boxes in meters, and which map lines a motion query attends to, against VAD's explicit keys of every pair."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import weights
from dima_jax.student.agent_head import AgentHead, MapInteraction
from dima_jax.student.layers import AttentionBlock, InitRngs
from dima_jax.student.map_head import MapOutput

AGENTS, MODES, LINES, WIDTH, FUTURE = 3, 2, 5, 8, 4
BEV_SHAPE, PC_RANGE = (4, 3), (-15.0, -30.0, -2.0, 15.0, 30.0, 2.0)
SCORE, DISTANCE = 0.5, 0.2


def random(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.fixture(scope="module")
def interaction():
    return MapInteraction(WIDTH, WIDTH, 2, 0.0, SCORE, DISTANCE, InitRngs(jax.random.key(0)))


@pytest.fixture(scope="module")
def head():
    return AgentHead(
        width=WIDTH,
        ffn_width=WIDTH,
        num_heads=2,
        dropout=0.0,
        decoder_layers=2,
        num_agents=AGENTS,
        num_modes=MODES,
        num_future=FUTURE,
        num_classes=10,
        pc_range=PC_RANGE,
        map_score_threshold=SCORE,
        map_distance_threshold=DISTANCE,
        rngs=InitRngs(jax.random.key(0)),
    )


def map_output(tokens, positions, logits):
    """One decoder layer; logits [M] are those of the first of three classes, the others are far below."""
    logits = jnp.stack([logits, jnp.full_like(logits, -9.0), jnp.full_like(logits, -9.0)], axis=-1)
    return MapOutput(logits[None, None], jnp.zeros((1, 1, len(positions), 2, 2)), tokens[None], positions[None])


def test_split_scores_equal_explicit_keys(interaction):
    """The scores of all (agent, line) pairs, split into lines and a rank-2 term, against VAD's keys of every pair."""
    interaction.position.bias[...] = random(9, WIDTH)
    query, tokens, logits = random(0, 1, AGENTS, MODES, WIDTH), random(1, LINES, WIDTH), random(2, LINES)
    positions = jnp.asarray(np.random.default_rng(3).uniform(size=(1, AGENTS, 2)), jnp.float32)
    line_positions = positions[0, [0, 0, 1, 1, 2]] + 0.1 * random(4, LINES, 2)
    ours = interaction(query, positions, map_output(tokens, line_positions, logits))
    attn, num_attended = interaction.block.attn, 0

    @jax.jit
    def one_agent(queries, relative, attended_to):
        """The K queries of an agent and its keys, as VAD makes them; the last key is always there."""
        keys = jnp.concatenate([tokens, jnp.zeros((1, WIDTH))])
        key_pos = interaction.position(jnp.concatenate([relative, jnp.ones((1, 2))]))
        q = attn.split_heads(attn.q(queries + interaction.position(jnp.zeros(2))))
        scores = jnp.einsum("khd,mhd->hkm", q, attn.split_heads(attn.k(keys + key_pos))) / jnp.sqrt(WIDTH // 2)
        scores = jnp.where(jnp.append(attended_to, True), scores, -jnp.inf)
        attended = attn.attend(scores[None], attn.split_heads(attn.v(keys))[None], None)
        return interaction.block.add_and_norm(queries[None], attended, None)[0]

    for a in range(AGENTS):
        relative = line_positions - positions[0, a]
        attended_to = (jax.nn.sigmoid(logits) > SCORE) & (jnp.linalg.norm(relative, axis=-1) <= DISTANCE)
        num_attended += int(attended_to.sum())
        np.testing.assert_allclose(ours[0, a], one_agent(query[0, a], relative, attended_to), atol=1e-5)
    assert 0 < num_attended < AGENTS * LINES


@pytest.mark.parametrize(
    ("offset", "logit", "attended"),
    [
        ((0.0, 0.0), 1.0, True),
        ((0.12, 0.159), 1.0, True),  # 0.199 away
        ((0.12, 0.161), 1.0, False),  # 0.201 away
        ((0.0, 0.0), 0.01, True),
        ((0.0, 0.0), 0.0, False),  # a score of exactly 0.5 is not above the threshold
        ((0.0, 0.0), -1.0, False),
    ],
)
def test_only_confident_lines_nearby_are_attended_to(interaction, offset, logit, attended):
    query, position, other = random(0, 1, 1, MODES, WIDTH), jnp.array([[[0.3, 0.4]]]), random(1, WIDTH)

    def run(token):
        tokens = jnp.stack([token, other])
        positions = jnp.stack([position[0, 0] + jnp.asarray(offset), position[0, 0]])
        return interaction(query, position, map_output(tokens, positions, jnp.array([logit, 1.0])))

    change = float(jnp.abs(run(random(2, WIDTH)) - run(random(3, WIDTH))).max())
    assert change > 1e-3 if attended else change == 0.0


def test_an_agent_without_lines_attends_to_the_zero_token(interaction):
    query, tokens = random(0, 1, 1, MODES, WIDTH), random(1, LINES, WIDTH)
    lines = map_output(tokens, jnp.ones((LINES, 2)), jnp.ones(LINES))
    out = interaction(query, jnp.zeros((1, 1, 2)), lines)
    zero_value = interaction.block.attn.o(interaction.block.attn.v(jnp.zeros((1, 1, WIDTH))))
    expected = interaction.block.add_and_norm(query[:, 0], jnp.broadcast_to(zero_value, (1, MODES, WIDTH)), None)
    np.testing.assert_allclose(out[:, 0], expected, atol=1e-5)


def test_centers_are_reference_points_in_meters(head):
    codes = jnp.arange(10.0).reshape(1, 1, 1, 10)
    found = head.codes_in_meters(codes, jnp.array([0.5, 0.75, 1.0]).reshape(1, 1, 1, 3))
    np.testing.assert_allclose(found.ravel(), [0.0, 15.0, 2, 3, 2.0, 5, 6, 7, 8, 9], atol=1e-6)


def test_output_and_gradients_of_the_head(head):
    graph, params = weights.split(head)
    lines = map_output(random(0, LINES, WIDTH), jnp.full((LINES, 2), 0.5), jnp.ones(LINES))
    bev = random(1, 1, 12, WIDTH)

    @jax.jit
    def run(params):
        return weights.bind(graph, params)(bev, BEV_SHAPE, lines)

    out, pullback = jax.vjp(run, params)
    assert out.logits.shape == out.codes.shape == (2, 1, AGENTS, 10)
    assert out.future_offsets.shape == (1, AGENTS, MODES, FUTURE, 2)
    assert out.mode_logits.shape == (1, AGENTS, MODES)
    low, high = np.array(PC_RANGE[:2]), np.array(PC_RANGE[3:5])
    np.testing.assert_allclose(out.positions * (high - low) + low, out.codes[-1, ..., :2], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(params["classes/last/bias"], -np.log(99.0), rtol=1e-6)

    def to_last_branch(*fields):
        """The gradient of the fields' sum to the last regression branch, on which the positions depend."""
        ones = jax.tree.map(jnp.zeros_like, out)._replace(
            **{name: jnp.ones_like(getattr(out, name)) for name in fields}
        )
        return pullback(ones)[0]["decoder/branches/last/bias"][-1]

    np.testing.assert_array_equal(to_last_branch("tokens", "positions", "future_offsets", "mode_logits"), 0.0)
    assert float(jnp.abs(to_last_branch("codes")).min()) > 1e-4


def test_motion_queries_are_ordered_by_agent(head, monkeypatch):
    states, positions = random(0, 1, AGENTS, WIDTH), random(1, 1, AGENTS, 2)
    received = {}

    def record(self, query, query_pos, key, key_pos, dropout_keys=None):
        received.update(query=query, query_pos=query_pos)
        return query

    monkeypatch.setattr(AttentionBlock, "__call__", record)
    lines = map_output(random(1, LINES, WIDTH), jnp.zeros((LINES, 2)), jnp.ones(LINES))
    features = head.motion_features(states, positions, lines, None, None)
    for a in range(AGENTS):
        for k in range(MODES):
            expected = states[0, a] + head.mode_queries[...][k]
            np.testing.assert_allclose(received["query"][0, a * MODES + k], expected, atol=1e-6)
            np.testing.assert_allclose(features[0, a, k, :WIDTH], expected, atol=1e-6)
            expected_pos = head.position(positions[0, a])
            np.testing.assert_allclose(received["query_pos"][0, a * MODES + k], expected_pos, atol=1e-6)
