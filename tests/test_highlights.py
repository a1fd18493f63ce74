"""Which frames are drawn: the worst, one of a scene, and a usual one."""

import numpy as np

from dima_jax import highlights

NAN = float("nan")


def chosen(count, *frames):
    """{picture's name: number of its frame} of (scene, L2), and the pictures."""
    pictures = highlights.chosen(np.array([l2 for _, l2 in frames]), np.array([scene for scene, _ in frames]), count)
    return {picture.name: picture.frame for picture in pictures}, pictures


FRAMES = [(0, 1.0), (0, 3.0), (0, 2.5)]  # mean 2.17, median frame 2.5
FRAMES += [(1, 0.1), (1, NAN)]  # the best
FRAMES += [(2, 5.0), (2, 8.0), (2, 2.0)]


def test_the_worst_frames_are_of_different_scenes():
    assert chosen(2, *FRAMES)[0] == {"worst-1": 6, "worst-2": 1, "median": 2}
    assert chosen(1, *FRAMES)[0] == {"worst-1": 6, "median": 2}
    assert list(chosen(9, *FRAMES)[0]) == ["worst-1", "worst-2", "worst-3", "median"]


def test_notes_say_why():
    notes = [picture.note for picture in chosen(1, *FRAMES)[1]]
    assert notes == ["worst scenes, number 1: L2 8.00 m", "median scene by L2 (2.17 m)"]


def test_nothing_is_drawn_of_nothing():
    assert chosen(0, *FRAMES)[1] == [] and chosen(2, (0, NAN))[1] == []
