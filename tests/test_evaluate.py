"""Control planners and subsets by numbers one can do in the head; the whole command on a run is `make demo`."""

from types import SimpleNamespace

import numpy as np
import pytest

from dima_jax import evaluate


def frame(x, y, *, first=False, speed=4.0, command=2, tags=()):
    pose = np.eye(4)
    pose[:2, 3] = x, y
    return SimpleNamespace(
        lidar2global=pose, is_first=first, speed=speed, command=command, tags=tags, future_valid=True, scene="s"
    )


def test_constant_velocity_repeats_the_last_move_and_straight_keeps_its_length():
    recorded = np.zeros((6, 2))
    plans = evaluate.control_plans(frame(3.0, 4.0), frame(0.0, 0.0), recorded)
    np.testing.assert_allclose(plans["constant velocity"][-1], [18.0, 24.0])
    np.testing.assert_allclose(plans["go straight"][0], [0.0, 5.0])
    assert plans["recorded path"] is recorded


def test_the_first_frame_of_a_scene_has_no_past_but_its_speed():
    plans = evaluate.control_plans(frame(3.0, 4.0, first=True), frame(0.0, 0.0), np.zeros((6, 2)))
    np.testing.assert_allclose(plans["constant velocity"][1], [0.0, 4.0])


def test_subsets_grow_with_their_tags():
    subsets = {"all frames": [], "turning frames": []}
    for seen in (frame(0, 0), frame(0, 0, command=0, tags=("overtake",)), frame(0, 0, tags=("overtake",))):
        evaluate.mark_subsets(subsets, seen)
    assert subsets == {
        "all frames": [True, True, True],
        "turning frames": [False, True, False],
        "scenes with overtake": [False, True, True],
    }


def test_the_picture_of_a_scene_is_its_widest_frame():
    drawn = {}
    for side in (0.5, -3.0, 1.0):
        recorded = np.array([[0.0, 1.0], [side, 2.0]])
        evaluate.choose_figure(drawn, SimpleNamespace(frame=frame(0, 0), recorded=recorded), scenes=1)
    assert drawn["s"].recorded[-1, 0] == pytest.approx(-3.0)
