"""Stops of 1.5 s and more between drives, to parts of a step."""

import numpy as np
import pytest

from data_prep.mining import stopping
from tests.data_prep.mining.made import frames, tracks

FAST = [8.0] * 8


def steps_of(drive, seconds=20.0, rate=100):
    """Mean speeds of the steps of a drive(time) in m/s."""
    speed = np.array([drive(t) for t in np.arange(0.0, seconds, 1 / rate)])
    return speed.reshape(-1, rate // 2).mean(axis=1)


def stop(at, standing, brake=4.0, accelerate=2.0):
    """Speed over time of a car that comes to rest `at` seconds, stands and drives off."""

    def drive(t):
        return min(8.0, max(brake * (at - t), accelerate * (t - at - standing), 0.0))

    return drive


def test_tagged_from_three_seconds_before_it_starts_until_it_drives():
    scene = tracks([*FAST, *[0.0] * 12, 1.0, 2.0, 3.2, *FAST])
    assert frames(stopping.stop_and_resume(scene)) == list(range(14, 23))  # starts at 20; 2.5 m/s at key frame 22


@pytest.mark.parametrize("at", [6.0, 6.13, 6.25, 6.38, 6.5])
def test_standing_is_told_within_a_step(at):
    """Below 0.2 m/s for `standing` and 0.15 s of braking and starting, wherever the key frames are."""
    for standing, found in ((1.1, False), (1.5, True)):
        scene = tracks(steps_of(stop(at, standing)))
        assert stopping.stop_and_resume(scene).any() == found, standing


def test_it_came_and_it_goes_on_forwards():
    still = [0.0] * 8
    assert not stopping.stop_and_resume(tracks([*FAST, *still])).any()
    assert not stopping.stop_and_resume(tracks([*still, *FAST])).any()
    assert not stopping.stop_and_resume(tracks([*FAST, *still, *[1.5] * 8])).any()  # closes up in a queue
    assert not stopping.stop_and_resume(tracks([*FAST, *still, *[-1.5] * 4, *FAST])).any()  # parks, say
