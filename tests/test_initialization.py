"""What a run does to fresh weights: statistics of the frozen norms, gentler embeddings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax import initialization, weights
from dima_jax.student import student as student_lib
from dima_jax.student.image_encoder import conv_norm
from tests.mini import mini_config


def fresh(config):
    student = student_lib.build(config, nnx.Rngs(jax.random.key(0)))
    return {f"student/{path}": np.asarray(value) for path, value in weights.split(student)[1].items()}


def random_images(config, frames=2):
    shape = (frames, 6, *config.data.image_shape, 3)
    return jnp.asarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def features(config, params, images):
    graph, _ = student_lib.abstract(config)
    student = weights.bind(graph, {path.removeprefix("student/"): value for path, value in params.items()})
    return student.image_encoder.backbone(student.normalize(images.reshape(-1, *images.shape[2:])))


def test_norm_statistics_make_the_first_norm_normalize_and_leave_every_other_weight():
    config = mini_config()
    config.init.norm_frames = 2
    params, images = fresh(config), random_images(config)
    prepared = initialization.prepare(config, params, images)
    changed = {path for path in params if not np.array_equal(params[path], prepared[path])}
    assert changed == {path for path in params if path.endswith(("/mean", "/var"))}

    graph, _ = student_lib.abstract(config)
    student = weights.bind(graph, {path.removeprefix("student/"): value for path, value in prepared.items()})
    stem = student.image_encoder.stem
    normalized = np.asarray(conv_norm(stem.conv, stem.norm, student.normalize(images.reshape(-1, *images.shape[2:]))))
    np.testing.assert_allclose(normalized.mean((0, 1, 2)), 0.0, atol=1e-3)
    np.testing.assert_allclose(normalized.std((0, 1, 2)), 1.0, atol=1e-3)


def test_a_bfloat16_student_starts_as_a_float32_one():
    config = mini_config()
    config.init.norm_frames = 2
    params, images = fresh(config), random_images(config)
    expected = initialization.prepare(config, params, images)
    config.student.dtype = "bfloat16"
    for path, value in initialization.prepare(config, fresh(config), images).items():
        np.testing.assert_array_equal(value, expected[path], err_msg=path)


def test_features_no_longer_fade():
    config = mini_config()
    params, images = fresh(config), random_images(config)
    config.init.norm_frames = 2
    prepared = initialization.prepare(config, params, images)
    before, after = (np.asarray(features(config, p, images)[-1]).std() for p in (params, prepared))
    assert after > 1.5 * before


def test_embedding_scale():
    config = mini_config()
    params = fresh(config)
    same = initialization.prepare(config, params, None)
    assert all(np.array_equal(params[path], same[path]) for path in params)
    config.init.embed_scale = 0.25
    scaled = initialization.prepare(config, params, None)
    for name in initialization.EMBEDDINGS:
        path = f"student/bev_encoder/{name}"
        np.testing.assert_array_equal(scaled[path], params[path] * np.float32(0.25))
    path = "student/bev_encoder/row_embeds"
    np.testing.assert_array_equal(scaled[path], params[path])


@pytest.mark.parametrize("status", ["full", "speed"])
def test_the_speed_survives_the_can_bus_layers(status):
    """As VAD starts, the BEV is told nothing of how fast; a line through the prepared embedding tells it."""
    config = mini_config()
    params = fresh(config)
    rng = np.random.default_rng(0)
    can_bus = np.zeros((300, 18), np.float32)
    speed = can_bus[:, 13] = rng.uniform(2, 15, 300)
    can_bus[:, 0] = 0.5 * speed
    if status == "full":
        can_bus[:, [3, 7, 12, 17]] = rng.normal(size=(300, 4)) * [0.3, 1.0, 0.05, 2.0]
    layer = initialization.can_bus_layer(0, params, can_bus)
    assert set(layer) == {f"student/bev_encoder/can_bus1/{name}" for name in ("kernel", "bias")}
    prepared = params | layer

    before, after = (embedded(config, weights_, can_bus) for weights_ in (params, prepared))
    if status == "speed":
        np.testing.assert_allclose(before.std(0), 0.0, atol=1e-3)
    assert unexplained(after, speed) < 0.1 < unexplained(before, speed)


def embedded(config, params, can_bus):
    graph, _ = student_lib.abstract(config)
    student = weights.bind(graph, {path.removeprefix("student/"): value for path, value in params.items()})
    return np.asarray(student.bev_encoder.embed_can_bus(jnp.asarray(can_bus)))


def unexplained(features, target):
    """Share of the target's variance that ridge regression from the features leaves."""
    x = np.c_[features - features.mean(0), np.ones(len(features))]
    fit = np.linalg.solve(x.T @ x + 1e-3 * np.eye(x.shape[1]), x.T @ target)
    return np.var(target - x @ fit) / np.var(target)
