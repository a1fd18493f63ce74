"""What the student of vector mode is told: how much is missing and displaced, by which key, and nothing of the future."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.types import AgentTargets, MapTargets
from dima_jax.vector.noise import Noise, observe
from tests.vector.mini import KEY

PC_RANGE = (-15.0, -30.0, -2.0, 15.0, 30.0, 2.0)
SILENT = Noise(0.0, 0.0, 0.0, 0.0)
SAMPLES, COUNT, FUTURE = 200, 20, 6
KEYS = jax.random.split(KEY, SAMPLES)


def agents(samples=SAMPLES, distance=10.0):
    boxes = jnp.zeros((samples, COUNT, 9)).at[..., 1].set(distance).at[..., 3:6].set(2.0).at[..., 7].set(3.0)
    mask = jnp.ones((samples, COUNT), bool)
    zeros = jnp.zeros((samples, COUNT), jnp.int32)
    future = jnp.ones((samples, COUNT, FUTURE, 2))
    return AgentTargets(boxes, zeros, zeros, mask, future, jnp.ones((samples, COUNT, FUTURE), bool), future[..., 0])


def lines(samples=SAMPLES, distance=10.0):
    """Lines that run forwards from `distance`."""
    along = distance + jnp.arange(3.0)
    forward = jnp.stack([jnp.zeros(3), along], -1)
    points = jnp.broadcast_to(jnp.stack([forward, forward[::-1]]), (samples, COUNT, 2, 3, 2))
    labels, mask = jnp.zeros((samples, COUNT), jnp.int32), jnp.ones((samples, COUNT), bool)
    return MapTargets(points, points / 60 + 0.5, jnp.ones((samples, COUNT, 2), bool), labels, mask)


def told(noise=SILENT, keys=KEYS, velocity=False, future=False, **kwargs):
    recorded = agents(len(keys), **kwargs), lines(len(keys), **kwargs)
    return observe(*recorded, keys, noise, PC_RANGE, velocity=velocity, future=future)


def test_without_noise_it_is_the_present_as_recorded():
    seen, drawn = told(velocity=True)
    np.testing.assert_array_equal(seen.boxes, agents().boxes)
    np.testing.assert_array_equal(drawn.points, lines().points[:, :, :1])
    np.testing.assert_allclose(drawn.normalized_points[0, 0, 0, 0], (0.5, 40 / 60), atol=1e-6)
    assert seen.mask.all() and drawn.mask.all()


def test_nothing_of_the_future_is_left():
    seen, _ = told(velocity=False)
    assert not seen.future_mask.any() and not seen.future_offsets.any() and not seen.future_yaw.any()
    assert not seen.boxes[..., 7:].any()


def test_the_privileged_are_told_where_agents_go_but_not_of_those_that_are_missing():
    seen, _ = told(Noise(0.25, 0.0, 0.0, 0.0), future=True)
    assert 0 < seen.mask.sum() < seen.mask.size
    np.testing.assert_array_equal(seen.future_mask, jnp.broadcast_to(seen.mask[..., None], seen.future_mask.shape))
    np.testing.assert_array_equal(
        seen.future_offsets, jnp.where(seen.mask[..., None, None], 1.0, 0.0) + 0 * seen.future_offsets
    )


def test_as_many_are_missing_as_the_config_says():
    seen, drawn = told(Noise(0.25, 0.4, 0.0, 0.0))
    np.testing.assert_allclose(seen.mask.mean(), 0.75, atol=0.03)
    np.testing.assert_allclose(drawn.mask.mean(), 0.6, atol=0.03)


@pytest.mark.parametrize(("distance", "deviation"), [(0.0, 0.5), (10.0, 1.0)])
def test_displacements_grow_with_the_distance(distance, deviation):
    """0.5 m, and 0.05 m more for every meter away; a line moves as a whole, by its nearest point."""
    seen, drawn = told(Noise(0.0, 0.0, 0.5, 0.05), distance=distance)
    moved = seen.boxes[..., :2] - agents(distance=distance).boxes[..., :2]
    np.testing.assert_allclose(moved.std((0, 1)), (deviation, deviation), rtol=0.05)
    shift = (drawn.points - lines(distance=distance).points[:, :, :1])[:, :, 0]
    np.testing.assert_allclose(shift[:, :, 0].std((0, 1)), (deviation, deviation), rtol=0.05)
    np.testing.assert_allclose(shift, jnp.broadcast_to(shift[:, :, :1], shift.shape), atol=1e-5)


def test_nothing_leaves_the_range():
    seen, drawn = told(Noise(0.0, 0.0, 50.0, 0.0))
    low, high = jnp.array(PC_RANGE[:2]), jnp.array(PC_RANGE[3:5])
    assert ((seen.boxes[..., :2] >= low) & (seen.boxes[..., :2] <= high)).all()
    assert ((drawn.normalized_points >= 0) & (drawn.normalized_points <= 1)).all()


def test_a_key_says_the_same_whatever_else_is_in_the_batch():
    noise = Noise(0.3, 0.3, 1.0, 0.1)
    whole, alone, other = told(noise), told(noise, KEYS[7:8]), told(noise, KEYS[8:9])
    for all_of_them, one, another in zip(*map(jax.tree.leaves, (whole, alone, other)), strict=True):
        np.testing.assert_array_equal(all_of_them[7], one[0])
        assert one.shape == another.shape
    assert (alone[0].boxes != other[0].boxes).any() and (alone[1].points != other[1].points).any()


def test_a_box_that_is_none_is_missing():
    broken = agents(2)
    broken = broken.replace(boxes=broken.boxes.at[0, 0, 3].set(0.0).at[1, 1, 0].set(jnp.nan))
    seen, _ = observe(broken, lines(2), KEYS[:2], SILENT, PC_RANGE, velocity=True, future=False)
    assert np.argwhere(~np.asarray(seen.mask)).tolist() == [[0, 0], [1, 1]]
    assert jnp.isfinite(jnp.log(seen.boxes[..., 3:6])).all() and jnp.isfinite(seen.boxes).all()
