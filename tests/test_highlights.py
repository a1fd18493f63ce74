"""Which frames are drawn: the widest, the median and the worst."""

from types import SimpleNamespace

import numpy as np
import pytest

from dima_jax.driving import Drive
from dima_jax.highlights import Highlights


class Frame(SimpleNamespace):
    def _replace(self, **fields):
        return Frame(**(vars(self) | fields))


def driven(index, scene, side=0.0, valid=True):
    frame = Frame(index=index, scene=scene, future_valid=valid, frame="images", jpegs=["image"])
    return Drive(frame, {}, np.array([[0.0, 1.0], [side, 2.0]]), ((), ()), ((), ()))


def chosen(num_scenes, *frames):
    """{picture's name: index of its frame} of (scene, side, L2[, valid])."""
    highlights = Highlights(num_scenes)
    for index, (scene, side, l2, *valid) in enumerate(frames):
        highlights.add(driven(index, scene, side, *valid), l2)
    pictures = highlights.pictures([f"read again {i}" for i in range(len(frames))])
    return {picture.name: int(picture.driven.frame.split()[-1]) for picture in pictures}, pictures


def test_the_picture_of_a_scene_is_its_widest_frame():
    names, _ = chosen(1, ("s", 0.5, 1), ("s", -3.0, 1), ("s", 1.0, 1), ("s", 9.0, 1, False), ("t", 5.0, 1))
    assert names["s"] == 1 and "t" not in names


def test_the_median_and_the_worst_scene_are_drawn_by_their_l2():
    frames = [("a", 0, 1.0), ("a", 0, 3.0), ("a", 0, 2.5)]  # mean 2.17, median frame 2.5
    frames += [("b", 0, 0.1), ("b", 0, 9.0, False)]  # the best, since the bad frame does not count
    frames += [("c", 0, 5.0), ("c", 0, 8.0), ("c", 0, 2.0)]
    names, pictures = chosen(1, *frames)
    assert names == {"a": 0, "median": 2, "worst": 6}
    assert pictures[1].note == "median scene by L2 (2.17 m)" and pictures[2].note == "worst scene by L2 (5.00 m)"


@pytest.mark.parametrize(("num_scenes", "frames"), [(0, [("a", 0, 1.0)]), (2, [("a", 0, 1.0, False)])])
def test_nothing_is_drawn_of_nothing(num_scenes, frames):
    assert chosen(num_scenes, *frames) == ({}, [])
