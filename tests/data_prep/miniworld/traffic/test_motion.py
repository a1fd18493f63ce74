"""Rear axles and the tracks of people."""

import numpy as np
import pytest

from data_prep.miniworld.traffic import motion, simulation
from data_prep.miniworld.traffic.demand import PEOPLE


def test_rear_axle_follows_a_circle_on_the_inside():
    radius, reach = 10.0, 3.0
    angle = np.arange(0.0, 12.0, 0.001)
    front = radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    rear, yaw = motion.follow_front(front[None], np.full((1, len(angle)), np.pi / 2), np.array([reach]))
    assert np.linalg.norm(rear[0, -1]) == pytest.approx(np.sqrt(radius**2 - reach**2), rel=1e-3)
    np.testing.assert_allclose(np.linalg.norm(front - rear[0], axis=-1), reach)
    ahead = np.array([np.cos(yaw[0, -1]), np.sin(yaw[0, -1])])
    np.testing.assert_allclose(front[-1] - reach * ahead, rear[0, -1], atol=1e-9)


def test_a_person_who_jumps_becomes_two():
    rows = np.stack([np.arange(60), np.arange(60) * 0.12, np.zeros(60)], axis=1)
    rows[30:, 1] += 5.0
    log = simulation.Log(60, {"person0": rows}, [{}] * 60)
    tracks = motion.tracks_of(log, {"person0": PEOPLE["adult"]})
    assert tracks.ids == ["person0", "person0_1"]
    assert np.isnan(tracks.pivot[0, 60:]).all() and np.isnan(tracks.pivot[1, :60]).all()
    np.testing.assert_allclose(tracks.speed[1, 80:100], 1.2, atol=0.05)
