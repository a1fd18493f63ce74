"""Sampling with GridSample against numbers one can do in the head, and against the form that gathers rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.student import deformable_attention as deformable
from dima_jax.student import grid_sampling


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (-0.75, -0.5, 0.0),  # center of the first cell
        (0.75, 0.5, 7.0),  # center of the last cell
        (-0.5, 0.0, 2.5),  # between four cells
        (1.0, -0.5, 1.5),  # on the edge: half of it is outside, where everything is zero
        (1.25, -0.5, 0.0),  # half a cell outside
        (-3.0, 0.5, 0.0),
    ],
)
def test_a_grid_sample(x, y, expected):
    image = jnp.arange(8.0).reshape(1, 1, 2, 4)
    assert float(grid_sampling.grid_sample(image, jnp.asarray([[[[x, y]]]]))[0, 0, 0, 0]) == pytest.approx(expected)


def test_cameras_are_apart_in_their_image():
    """An empty row above and one below each; channels of a head first."""
    value = np.arange(1, 17, dtype=np.float32).reshape(1, 2, 2, 2, 2)  # two cameras of one row and two columns
    (image,) = grid_sampling.tall_images(jnp.asarray(value), ((1, 2),))
    assert image.shape == (2, 2, 6, 2)
    np.testing.assert_array_equal(image[0, 0], [[0, 0], [1, 5], [0, 0], [0, 0], [9, 13], [0, 0]])
    np.testing.assert_array_equal(image[1, 1, [1, 4]], [[4, 8], [12, 16]])


SHAPES = ((5, 7), (3, 4))
BATCH, CAMERAS, QUERIES, HEADS, CHANNELS, POINTS, ANCHORS = 2, 4, 9, 2, 3, 8, 4


def inputs():
    rng = np.random.default_rng(0)
    value = rng.normal(size=(BATCH, CAMERAS, deformable.num_cells(SHAPES), HEADS, CHANNELS)).astype(np.float32)
    references = rng.uniform(-0.2, 1.2, (BATCH, CAMERAS, QUERIES, ANCHORS, 2)).astype(np.float32)
    references[:, :, 0] *= 1e6  # far outside, as of pillar points beside a camera
    offsets = rng.normal(size=(BATCH, QUERIES, HEADS, len(SHAPES), POINTS, 2)).astype(np.float32)
    weights = rng.random((BATCH, QUERIES, HEADS, len(SHAPES), POINTS)).astype(np.float32)
    return tuple(map(jnp.asarray, (value, references, offsets, weights)))


def both(sample, *arguments):
    """(result with GridSample, result with gathers)."""
    expected = jax.jit(lambda *arrays: sample(*arrays))(*arguments)
    with grid_sampling.traced():
        program = jax.jit(lambda *arrays: sample(*arrays))
        assert "grid_sample" in str(jax.make_jaxpr(lambda *arrays: sample(*arrays))(*arguments))
        return program(*arguments), expected


@pytest.mark.parametrize("visible_share", [0.0, 0.4, 1.0])
def test_cameras_equal_the_gathers(visible_share):
    value, references, offsets, weights = inputs()
    visible = np.random.default_rng(1).random((BATCH, CAMERAS, QUERIES)) < visible_share

    def sample(value, references, visible, offsets, weights):
        return deformable.sample_cameras(value, SHAPES, references, visible, offsets, weights)

    got, expected = both(sample, value, references, visible, offsets, weights)
    np.testing.assert_allclose(got, expected, atol=3e-5)


def test_packing_by_hand():
    chosen = jnp.asarray([[False, True, False, True], [True, False, False, False]])
    place, queries = grid_sampling._pack(chosen)
    np.testing.assert_array_equal(place, [[2, 0, 3, 1], [0, 1, 2, 3]])
    np.testing.assert_array_equal(queries, [[1, 3, 0, 2], [0, 1, 2, 3]])


def test_a_pass_for_few_queries_samples_few():
    """Those that a second camera sees fit into a third of the queries: no branch is taken that samples the other two."""
    value, references, offsets, weights = inputs()
    visible = np.zeros((BATCH, CAMERAS, QUERIES), bool)
    visible[:, 0] = True
    visible[0, 1, [2, 7]] = visible[1, 3, [0, 4, 8]] = visible[1, 2, 4] = True
    sampled = []

    def watched(images, grid):
        jax.debug.callback(lambda _: sampled.append(grid.shape[2]), grid[0, 0, 0, 0])
        return grid_sampling._bilinear(images, grid)

    with grid_sampling.traced(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid_sampling, "grid_sample", watched)
        arguments = (value, references, jnp.asarray(visible), offsets, weights)
        got = jax.jit(lambda *arrays: deformable.sample_cameras(arrays[0], SHAPES, *arrays[1:]))(*arguments)
        jax.effects_barrier()
    expected = deformable.sample_cameras(value, SHAPES, *arguments[1:])
    np.testing.assert_allclose(got, expected, atol=3e-5)
    levels = len(SHAPES)
    assert sorted(sampled) == [QUERIES // 3] * levels * 2 + [QUERIES] * levels  # a second camera, a third, the first


def test_one_camera_has_one_pass():
    value, references, offsets, weights = inputs()
    visible = jnp.asarray(np.random.default_rng(1).random((BATCH, 1, QUERIES)) < 0.5)

    def sample(value, references, visible, offsets, weights):
        return deformable.sample_cameras(value, SHAPES, references, visible, offsets, weights)

    arguments = (value[:, :1], references[:, :1], visible, offsets, weights)
    got, expected = both(sample, *arguments)
    np.testing.assert_allclose(got, expected, atol=3e-5)
    with grid_sampling.traced():
        program = str(jax.make_jaxpr(lambda *arrays: sample(*arrays))(*arguments))
    assert program.count("grid_sample") == len(SHAPES) and "scatter" not in program and "cond" not in program


def test_levels_equal_the_gathers():
    value, references, offsets, weights = inputs()
    locations = deformable.sampling_locations(references[:, 0], offsets, SHAPES)

    def sample(value, locations, weights):
        return deformable.sample_levels(value, SHAPES, locations, weights)

    got, expected = both(sample, value[:, 0], locations, weights)
    np.testing.assert_allclose(got, expected, atol=3e-5)


def test_nothing_else_is_traced_so():
    assert not grid_sampling.is_traced()
    with pytest.raises(RuntimeError), grid_sampling.traced():
        assert grid_sampling.is_traced()
        raise RuntimeError
    assert not grid_sampling.is_traced()
