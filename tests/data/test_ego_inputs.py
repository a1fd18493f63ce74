"""What the student is given of the ego: the arms of its status, the command, and both for many frames at once."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.config_kinds import EGO_STATUS
from dima_jax.data import ego_inputs, sequences
from dima_jax.errors import UserError
from dima_jax.student import bev_geometry


def test_speed_arm_moves_the_bev_straight_ahead():
    """By the way made since the frame before: none in the first frame, none in a repeated one, twice over a gap."""
    can_bus = np.random.default_rng(0).normal(size=(4, 18))
    can_bus[:, 13] = 3.0, 3.0, 4.0, 5.0
    seen = ego_inputs.can_bus_input(list(can_bus), "speed", [7, 7, 8, 10])
    np.testing.assert_array_equal(seen[:, 13], can_bus[:, 13])
    shift = np.asarray(bev_geometry.ego_shift(jnp.asarray(seen), (-15, -30, -2, 15, 30, 2)))
    np.testing.assert_allclose(shift * (30, 60), [(0, 0), (0, 0), (0, 2), (0, 5)], atol=1e-6)


def test_forward_speed_is_where_the_record_has_it(config):
    """The recorded drives are nearly straight, so it is the way made in half a second."""
    config.data.ego_status = "speed"
    for frame in itertools.islice(sequences.iterate_scenes(config, "val"), 1, None):
        can_bus = frame.frame.can_bus[0]
        np.testing.assert_allclose(can_bus[13], frame.speed, atol=0.3)
        np.testing.assert_allclose(can_bus[0], 0.5 * can_bus[13], rtol=1e-6)


@pytest.mark.parametrize("status", EGO_STATUS)
def test_read_gives_the_inputs_of_evaluation(config, status):
    config.data.ego_status = status
    samples = ego_inputs.read(config, "val")
    for i, frame in enumerate(sequences.iterate_scenes(config, "val")):
        np.testing.assert_array_equal(samples.can_bus[i], frame.frame.can_bus[0])
        np.testing.assert_array_equal(samples.command[i], frame.frame.command[0])
        np.testing.assert_array_equal(samples.waypoints[i], np.cumsum(frame.ego.future_offsets[0], axis=0))
        np.testing.assert_array_equal(samples.mask[i], frame.ego.future_mask[0])
    assert len(samples.can_bus) == i + 1


def test_read_some_frames_evenly_spaced(config):
    every, some = ego_inputs.read(config, "val"), ego_inputs.read(config, "val", most=3)
    np.testing.assert_array_equal(some.waypoints, every.waypoints[[0, 5, 10]])
    assert len(ego_inputs.read(config, "val", most=99).mask) == len(every.mask)


def test_read_without_records_is_refused(config, tmp_path):
    config.data.path = str(tmp_path)
    with pytest.raises(UserError, match="no records"):
        ego_inputs.read(config, "val")
