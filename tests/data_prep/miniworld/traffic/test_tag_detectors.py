"""Detectors on motion made by hand; `test_maneuvers.py` has them on simulated scenes."""

import numpy as np

from data_prep.miniworld.traffic import motion
from data_prep.miniworld.traffic.demand import FLEET
from data_prep.miniworld.traffic.tag_detectors import DETECTORS, Drive
from data_prep.miniworld.world.state import STATE_RATE


def straight_drive(speed):
    """A lone ego far from any street, driving east with the given speeds [T]."""
    x = 1e4 + np.concatenate([[0.0], np.cumsum(speed)[:-1]]) / STATE_RATE
    pivot = np.stack([x, np.zeros_like(x)], axis=-1)[None]
    still = np.zeros((1, len(x)))
    tracks = motion.Tracks(
        ["ego"],
        [FLEET["compact"]],
        pivot,
        still,
        speed[None],
        np.array([1.35]),
        still > 0,
        still.astype(int),
        [{}] * len(x),
    )
    return Drive(tracks, 0)


def test_detectors_do_not_fire_on_plain_driving():
    drive = straight_drive(np.full(400, 8.0))
    assert not any(detector(drive) for detector in DETECTORS.values())


def test_a_stop_counts_only_if_the_car_goes_on():
    moving, standing = np.full(100, 8.0), np.zeros(60)
    assert DETECTORS["stop_and_resume"](straight_drive(np.concatenate([moving, standing, moving])))
    assert not DETECTORS["stop_and_resume"](straight_drive(np.concatenate([moving, standing])))
    assert not DETECTORS["stop_and_resume"](straight_drive(np.concatenate([moving, standing[:20], moving])))
