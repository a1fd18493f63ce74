"""Control planners and subsets by numbers one can do in the head; the whole command on a run is `make demo`."""

from types import SimpleNamespace

import numpy as np
import pytest

from dima_jax import evaluation
from dima_jax.policy import Frame, Policy


def frame(x, y, *, first=False, speed=4.0, command=2, tags=()):
    pose = np.eye(4)
    pose[:2, 3] = x, y
    return SimpleNamespace(
        lidar2global=pose, is_first=first, speed=speed, command=command, tags=tags, future_valid=True, scene="s"
    )


def test_constant_velocity_repeats_the_last_move_and_straight_keeps_its_length():
    recorded = np.zeros((6, 2))
    plans = evaluation.control_plans(frame(3.0, 4.0), frame(0.0, 0.0), recorded)
    np.testing.assert_allclose(plans["constant velocity"][-1], [18.0, 24.0])
    np.testing.assert_allclose(plans["go straight"][0], [0.0, 5.0])
    assert plans["recorded path"] is recorded


def test_the_first_frame_of_a_scene_has_no_past_but_its_speed():
    plans = evaluation.control_plans(frame(3.0, 4.0, first=True), frame(0.0, 0.0), np.zeros((6, 2)))
    np.testing.assert_allclose(plans["constant velocity"][1], [0.0, 4.0])


def test_subsets_grow_with_their_tags():
    subsets = {"all frames": [], "turning frames": []}
    for seen in (frame(0, 0), frame(0, 0, command=0, tags=("overtake",)), frame(0, 0, tags=("overtake",))):
        evaluation.mark_subsets(subsets, seen)
    assert subsets == {
        "all frames": [True, True, True],
        "turning frames": [False, True, False],
        "scenes with overtake": [False, True, True],
    }


def test_the_picture_of_a_scene_is_its_widest_frame():
    widest = {}
    for side in (0.5, -3.0, 1.0):
        recorded = np.array([[0.0, 1.0], [side, 2.0]])
        evaluation.keep_widest(widest, SimpleNamespace(frame=frame(0, 0), recorded_path=recorded), scenes=1)
    assert widest["s"].recorded_path[-1, 0] == pytest.approx(-3.0)


@pytest.fixture(scope="module")
def policy(joint_run):
    return Policy.load(joint_run.folder)


def test_the_student_is_stepped_scene_by_scene(joint_run, policy):
    """As by hand, whatever is planned beside it: the student on black images has a previous BEV of its own."""
    by_hand = Policy(policy.student)
    driven = list(evaluation.drive(policy, joint_run.config, "val", blank_images=True))
    assert sum(one.frame.is_first for one in driven) >= 1 and len(driven) > 1
    for one in driven:
        if one.frame.is_first:
            by_hand.reset()
        plan = by_hand.step(Frame.from_batch(one.frame.frame))
        np.testing.assert_array_equal(one.plans["student"], plan.waypoints_all[one.frame.command])
        np.testing.assert_array_equal(one.predicted[0].boxes, plan.agents.boxes)
        assert np.abs(one.plans["student, blank images"] - one.plans["student"]).max() > 0
