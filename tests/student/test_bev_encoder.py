"""The BEV encoder: what it reads of the previous BEV and of the cameras, and the quirks Q3 and Q4."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax import sharding, weights
from dima_jax.student import bev_encoder, bev_geometry
from dima_jax.student.layers import InitRngs

WIDTH, BEV_SHAPE, CAMERAS, LAYERS = 8, (4, 3), 2, 2
ROTATE_CENTER, PC_RANGE, IMAGE_SHAPE = (1, 2), (-15.0, -30.0, -2.0, 15.0, 30.0, 2.0), (16, 16)
FORWARD = np.float32([[8, 8, 0, 0], [0, 8, -8, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # sees y > |x|
NOTHING = np.float32([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, -1], [0, 0, 0, 1]])  # everything is 1 m behind it


def random(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def build(remat="accelerators"):
    """(graph, weights) with random sampling offsets and weights, which start without any dependence on the query."""
    encoder = bev_encoder.BevEncoder(
        width=WIDTH,
        ffn_width=WIDTH,
        num_heads=2,
        dropout=0.0,
        bev_shape=BEV_SHAPE,
        pc_range=PC_RANGE,
        pillar_points=4,
        rotate_center=ROTATE_CENTER,
        encoder_layers=LAYERS,
        num_cameras=CAMERAS,
        num_levels=2,
        level_embeds=4,
        image_shape=IMAGE_SHAPE,
        remat=remat,
        rngs=InitRngs(jax.random.key(0)),
    )
    graph, params = weights.split(encoder)
    predicted = [path for path in params if path.endswith(("offsets/kernel", "weights/kernel"))]
    return graph, {**params, **{path: 0.5 * random(i, *params[path].shape) for i, path in enumerate(predicted)}}


@pytest.fixture(scope="module")
def split():
    return build()


@pytest.fixture(scope="module")
def run(split):
    return jax.jit(lambda *inputs: weights.bind(*split)(*inputs))


@pytest.fixture(scope="module")
def inputs():
    can_bus = random(3, 2, 18).at[:, 17].set(jnp.array([5.0, 90.0])).at[:, 0].set(6.0)
    features = [random(0, 2, CAMERAS, 4, 4, WIDTH), random(1, 2, CAMERAS, 2, 2, WIDTH)]
    return features, jnp.tile(FORWARD, (2, CAMERAS, 1, 1)), can_bus


def test_a_previous_bev_is_ignored_where_there_is_none(run, inputs):
    first, second = random(4, 2, 12, WIDTH), random(5, 2, 12, WIDTH)
    one, other = (run(*inputs, prev_bev, jnp.array([False, True])) for prev_bev in (first, second))
    np.testing.assert_array_equal(one[0], other[0])
    assert float(jnp.abs(one[1] - other[1]).max()) > 1e-2


def test_a_camera_that_sees_nothing_contributes_nothing(run, inputs):
    features, _, can_bus = inputs
    no_prev = jnp.zeros((2, 12, WIDTH)), jnp.zeros(2, bool)

    def out(second_camera, second_features):
        lidar2img = jnp.tile(jnp.stack([FORWARD, second_camera]), (2, 1, 1, 1))
        changed = [level.at[:, 1].set(second_features) for level in features]
        return run(changed, lidar2img, can_bus, *no_prev)

    np.testing.assert_array_equal(out(NOTHING, 1.0), out(NOTHING, -3.0))
    assert float(jnp.abs(out(FORWARD, 1.0) - out(FORWARD, -3.0)).max()) > 1e-2


def test_cameras_are_averaged_and_a_pillar_out_of_sight_keeps_its_query():
    attention = bev_encoder.SpatialAttention(WIDTH, 2, 1, 0.0, InitRngs(jax.random.key(0)))
    attention.maps.output.bias[...] = random(0, WIDTH)
    query, features, shapes = random(1, 1, 12, WIDTH), random(2, 1, 1, 16, WIDTH), ((4, 4),)
    points = bev_geometry.pillars(BEV_SHAPE, PC_RANGE, 4)
    references, visible = bev_geometry.project_pillars(jnp.asarray(FORWARD[None, None]), points, PC_RANGE, IMAGE_SHAPE)
    sees = np.asarray(visible.any(axis=-1))[0, 0]
    assert 0 < sees.sum() < 12
    one = attention(query, features, shapes, references, visible)
    twice = (jnp.concatenate([x, x], axis=1) for x in (features, references, visible))
    features2, references2, visible2 = twice
    np.testing.assert_allclose(attention(query, features2, shapes, references2, visible2), one, atol=1e-5)
    unseen = query[0] + attention.maps.output.bias[...]
    np.testing.assert_allclose(one[0, ~sees], unseen[~sees], atol=1e-6)
    assert (jnp.abs(one[0] - unseen).max(axis=-1)[sees] > 1e-4).all()


def test_temporal_attention_averages_what_it_samples_in_both_bevs():
    """Without offsets and with identities as projections, a query around its own cell's center reads that cell."""
    attention = bev_encoder.TemporalAttention(WIDTH, 2, 0.0, InitRngs(jax.random.key(0)))
    attention.maps.offsets.bias[...] = jnp.zeros_like(attention.maps.offsets.bias[...])
    for projection in (attention.maps.value, attention.maps.output):
        projection.kernel[...] = jnp.eye(WIDTH)
    query, previous, current = (random(i, 1, 12, WIDTH) for i in range(3))
    centers = jnp.asarray(bev_geometry.cell_centers(BEV_SHAPE))[None]
    next_column = centers + jnp.array([1 / BEV_SHAPE[1], 0.0])

    def run(before, now):
        references = jnp.stack([before, now], axis=1)
        return attention(query, jnp.zeros((1, 12, WIDTH)), previous, current, references, BEV_SHAPE)

    np.testing.assert_allclose(run(centers, centers), query + 0.5 * (previous + current), atol=1e-5)
    moved = run(next_column, centers).reshape(*BEV_SHAPE, WIDTH)
    expected = jnp.pad(previous.reshape(*BEV_SHAPE, WIDTH)[:, 1:], ((0, 0), (0, 1), (0, 0)))  # zero outside
    np.testing.assert_allclose(moved, (query + 0.5 * current).reshape(moved.shape) + 0.5 * expected, atol=1e-5)


@pytest.mark.parametrize("has_prev_bev", [True, False])
def test_layers_one_by_one(split, run, inputs, has_prev_bev):
    """Q3: both BEVs are sampled around shifted cells. Q4: with a previous BEV, "current" is the first query always."""
    encoder, (features, lidar2img, can_bus), prev_bev = weights.bind(*split), inputs, random(4, 2, 12, WIDTH)
    out = run(*inputs, prev_bev, jnp.full(2, has_prev_bev))
    start = query = encoder.queries[...] + encoder.embed_can_bus(can_bus)[:, None]
    rotated = bev_geometry.rotate_bev(prev_bev, can_bus[:, 17], BEV_SHAPE, ROTATE_CENTER)
    shifted = bev_geometry.cell_centers(BEV_SHAPE) + bev_geometry.ego_shift(can_bus, PC_RANGE)[:, None]
    points = bev_geometry.pillars(BEV_SHAPE, PC_RANGE, 4)
    seen = bev_geometry.project_pillars(lidar2img, points, PC_RANGE, IMAGE_SHAPE)
    cameras = (encoder.camera_tokens(features), ((4, 4), (2, 2)), *seen)
    graph, state = nnx.split(encoder.layers)
    for i in range(LAYERS):
        layer = nnx.merge(graph, jax.tree.map(lambda leaf, i=i: leaf[i], state))
        previous, current = (rotated, start) if has_prev_bev else (query, query)
        references = jnp.stack([shifted, shifted], axis=1)
        query = layer(query, encoder.position_embeds(), previous, current, references, BEV_SHAPE, cameras)
    np.testing.assert_allclose(out, query, atol=1e-4)


def test_positions_are_column_then_row(split):
    encoder = weights.bind(*split)
    positions = encoder.position_embeds().reshape(*BEV_SHAPE, WIDTH)
    for row in range(BEV_SHAPE[0]):
        for column in range(BEV_SHAPE[1]):
            expected = jnp.concatenate([encoder.column_embeds[...][column], encoder.row_embeds[...][row]])
            np.testing.assert_array_equal(positions[row, column], expected)


def test_camera_tokens_carry_camera_and_level(split, inputs):
    encoder, (features, *_) = weights.bind(*split), inputs
    tokens = encoder.camera_tokens(features)
    assert tokens.shape == (2, CAMERAS, 16 + 4, WIDTH)
    for camera in range(CAMERAS):
        for index, (level, row, column) in ((6, (0, 1, 2)), (16 + 3, (1, 1, 1))):
            expected = features[level][0, camera, row, column]
            expected = expected + encoder.camera_embeds[...][camera] + encoder.level_embeds[...][level]
            np.testing.assert_allclose(tokens[0, camera, index], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("remat", "on_cpu", "on_tpu"), [("accelerators", False, True), ("always", True, True), ("never", False, False)]
)
def test_layers_are_computed_again_where_the_config_says(inputs, monkeypatch, remat, on_cpu, on_tpu):
    (graph, params), asked, scan_layers = build(remat), [], bev_encoder.scan_layers
    no_prev = jnp.zeros((2, 12, WIDTH)), jnp.zeros(2, bool)

    def watched(*arguments, remat):
        asked.append(remat)
        return scan_layers(*arguments, remat=remat)

    monkeypatch.setattr(bev_encoder, "scan_layers", watched)
    for platform in ("cpu", "tpu"):
        with sharding.tracing_for(platform):
            jax.eval_shape(lambda params: weights.bind(graph, params)(*inputs, *no_prev), params)
    assert asked == [on_cpu, on_tpu]
