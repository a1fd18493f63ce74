"""The whole student at the smallest size: counts, shapes, the previous BEV per sample, training switches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax import fake_frames, jax_student, weights
from dima_jax.convert import torch_vad
from dima_jax.data import fake_batch
from dima_jax.losses import dima_loss
from dima_jax.student import student
from tests.golden.check import recipe
from tests.golden.recipe_student import BASE, TINY, abstract, vad_config
from tests.mini import mini_config

CODE_WEIGHTS = 10 + 4  # VAD stores its losses' constants as weights


@pytest.mark.parametrize(("sizes", "count"), [(TINY, 39_865_999), (BASE, 58_357_786)])
def test_has_as_many_weights_as_vad(sizes, count):
    _, shapes = abstract(vad_config(**sizes))
    statistics = {path: shape for path, shape in shapes.items() if path.endswith(("/mean", "/var"))}
    assert weights.count(shapes) - weights.count(statistics) + CODE_WEIGHTS == count


@pytest.fixture(scope="module")
def config():
    config = mini_config()
    config.student.dropout = 0.1
    config.data.grid_mask = 0.7
    return config


@pytest.fixture(scope="module")
def split(config):
    return weights.split(student.build(config, nnx.Rngs(0)))


@pytest.fixture(scope="module")
def run(split):
    graph, _ = split

    return jax.jit(lambda params, *inputs: weights.bind(graph, params)(*inputs))


@pytest.fixture(scope="module")
def frame(config):
    return fake_frames.drive(config.data.image_shape, 2, batch_size=2)[1]


@pytest.fixture(scope="module")
def prev_bev(config):
    cells = config.student.bev_shape[0] * config.student.bev_shape[1]
    return jnp.asarray(np.random.default_rng(0).normal(size=(2, cells, config.student.width)), jnp.float32)


def test_shapes(config, split, run, frame, prev_bev):
    out = run(split[1], frame, prev_bev, jnp.array([True, True]))
    s = config.student
    assert out.tokens.bev.shape == prev_bev.shape
    assert out.tokens.agents.shape == (2, s.num_agents, s.width)
    assert out.tokens.map.shape == (2, s.num_map, s.width)
    assert out.agent_future_offsets.shape == (2, s.num_agents, s.num_modes, s.num_future, 2)
    assert out.map_points.shape == (s.map_decoder_layers, 2, s.num_map, s.num_points, 2)
    assert out.ego_offsets.shape == (2, s.num_commands, s.num_future, 2)
    assert out.ego_feature.shape == (2, 2 * s.width)
    for name in ("can_bus", "command"):
        np.testing.assert_array_equal(getattr(out.tokens, name), getattr(frame, name))
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(out))


NUMBERED = {  # VAD's lists of layers, and which of the three counts (encoder, agents, map) is theirs
    "pts_bbox_head.transformer.encoder.layers": 0,
    "pts_bbox_head.transformer.decoder.layers": 1,
    "pts_bbox_head.cls_branches": 1,
    "pts_bbox_head.reg_branches": 1,
    "pts_bbox_head.transformer.map_decoder.layers": 2,
    "pts_bbox_head.map_cls_branches": 2,
    "pts_bbox_head.map_reg_branches": 2,
}


def with_layers(config, layers):
    config = config.copy_and_resolve_references()
    config.student.update(dict(zip(("encoder_layers", "decoder_layers", "map_decoder_layers"), layers, strict=True)))
    return config


def vad_state_dict(config, layers):
    """A VAD state dict with these layer counts, from the names of a VAD with one layer of each kind."""
    one_layer = {path: np.zeros(x.shape, np.float32) for path, x in abstract(with_layers(config, (1, 1, 1)))[1].items()}
    result = {}
    for name, array in torch_vad.to_torch(one_layer).items():
        module = next((module for module in NUMBERED if name.startswith(f"{module}.0.")), None)
        for i in range(layers[NUMBERED[module]] if module else 1):
            numbered = name.replace(f"{module}.0.", f"{module}.{i}.")
            result[numbered] = recipe(numbered, array.shape, seed=1)
    return result


@pytest.mark.parametrize("layers", [(3, 3, 2), (2, 2, 3)])
def test_encoder_and_decoders_have_layer_counts_of_their_own(config, layers, prev_bev):
    """VAD has three numbers: a checkpoint converts, is trained and is exported with any of them."""
    config = with_layers(config, layers)
    graph, shapes = student.abstract(config)
    converted, report = torch_vad.from_torch(state_dict := vad_state_dict(config, layers), shapes)
    assert set(report.used) | set(report.ignored) == set(state_dict)
    stacked = ("bev_encoder/layers/norm1/scale", "agent_head/classes/last/bias", "map_head/classes/last/bias")
    assert tuple(len(converted[path]) for path in stacked) == layers
    last = state_dict[f"pts_bbox_head.map_cls_branches.{layers[2] - 1}.6.bias"]
    np.testing.assert_array_equal(converted["map_head/classes/last/bias"][-1], last)

    batch = jax.tree.map(jnp.asarray, fake_batch.example(config))
    loss_weights, pc_range = config.loss.to_dict(), config.student.pc_range

    def loss(params):
        output = weights.bind(graph, params).decode(prev_bev)
        assert len(output.agent_logits) == len(output.agent_codes) == layers[1]
        assert len(output.map_logits) == len(output.map_points) == layers[2]
        matches = dima_loss.match(output, batch, loss_weights)
        terms = dima_loss.student_terms(output, batch, matches, loss_weights, pc_range)
        return dima_loss.total(terms, loss_weights)[0]

    gradients = jax.eval_shape(jax.grad(loss), shapes)
    assert {path: x.shape for path, x in gradients.items()} == {path: x.shape for path, x in converted.items()}

    def exported(params, *inputs):
        return jax_student.run(weights.bind(graph, params), config, *inputs)[0]

    out = jax.eval_shape(exported, shapes, *jax_student.input_specs(config, batch_size=1).values())
    assert out.map_lines.shape == (1, config.student.num_map, config.student.num_points, 2)
    assert out.agent_boxes.shape == (1, config.student.num_agents, 9)


def test_previous_bev_counts_per_sample(split, run, frame, prev_bev):
    """Decision D1: a batch is its samples, each with or without a previous BEV (quirk Q4 has two branches)."""
    both = run(split[1], frame, prev_bev, jnp.array([True, False]))
    swapped = jax.tree.map(lambda x: x[::-1], (frame, prev_bev))
    other = run(split[1], *swapped, jnp.array([False, True]))
    np.testing.assert_allclose(both.ego_offsets, other.ego_offsets[::-1], atol=1e-5)
    np.testing.assert_allclose(both.tokens.bev, other.tokens.bev[::-1], atol=1e-4)
    blind = run(split[1], frame, prev_bev + 1.0, jnp.array([True, False]))
    np.testing.assert_allclose(both.tokens.bev[1], blind.tokens.bev[1], atol=1e-5)
    assert float(jnp.abs(both.tokens.bev[0] - blind.tokens.bev[0]).max()) > 1e-2


def test_training_draws_from_the_key(split, prev_bev):
    graph, params = split
    decode = jax.jit(lambda key: weights.bind(graph, params).decode(prev_bev, is_training=True, key=key).ego_offsets)
    first, again, other = (decode(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert float(jnp.abs(first - other).max()) > 1e-4


def test_training_without_key_is_refused(split, frame, prev_bev):
    with pytest.raises(ValueError, match="key"):
        weights.bind(*split)(frame, prev_bev, jnp.array([True, True]), is_training=True)


def test_padding_is_zero_after_normalizing(config, split):
    rows, columns = config.data.image_shape
    pixels = np.asarray(weights.bind(*split).normalize(jnp.full((1, rows, columns, 3), 200, jnp.uint8)))
    inside = (200.0 - np.array(config.data.mean)) / np.array(config.data.std)
    np.testing.assert_allclose(pixels[0, 0, 0], inside, rtol=1e-5)
    assert config.data.valid_shape[0] < rows
    assert (pixels[0, config.data.valid_shape[0] :] == 0.0).all()
