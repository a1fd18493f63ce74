"""The student is stepped scene by scene, and beside it the same student on other images."""

import numpy as np
import pytest

from dima_jax import controls, driving
from dima_jax.constants import COMMANDS
from dima_jax.data import sequences
from dima_jax.errors import UserError
from dima_jax.policy import Frame, Policy


@pytest.fixture(scope="module")
def policy(joint_run):
    return Policy.load(joint_run.folder)


def test_each_student_has_a_previous_bev_of_its_own(joint_run, policy, monkeypatch):
    """Plans as by hand, whatever is planned beside them."""
    drives = sequences.Drives(joint_run.config, "val")
    others = [*range(len(drives))][::-1]
    monkeypatch.setattr(controls, "other_scene_records", lambda records: others)  # the split has a single scene
    by_hand, elsewhere = Policy(policy.student), Policy(policy.student)
    driven = list(driving.drive(policy, joint_run.config, "val", blank_images=True, other_images=True))
    assert driven[0].frame.is_first and len(driven) == len(drives) > 1
    for i, one in enumerate(driven):
        if one.frame.is_first:
            by_hand.reset()
            elsewhere.reset()
        given = Frame.from_batch(one.frame.frame)
        plan = by_hand.step(given)
        np.testing.assert_array_equal(one.plans["student"], plan.waypoints)
        np.testing.assert_array_equal(one.predicted[0].boxes, plan.agents.boxes)
        assert np.abs(one.plans["student, blank images"] - one.plans["student"]).max() > 0
        plan = elsewhere.step(given._replace(images=drives[others[i]].frame.images[0]))
        np.testing.assert_array_equal(one.plans["student, another scene's images"], plan.waypoints)


def test_a_single_scene_has_no_other(joint_run, policy):
    with pytest.raises(UserError, match="--other_images needs at least 2"):
        next(driving.drive(policy, joint_run.config, "val", other_images=True))


def test_a_student_without_commands_is_scored_by_what_it_plans(joint_run, policy):
    """It was trained to go straight; the recorded command's plan is nothing that it learned."""
    config = joint_run.config.copy_and_resolve_references()
    config.data.command = False
    driven = list(driving.drive(policy, config, "val"))
    by_hand = Policy(policy.student)
    for one in driven:
        plan = by_hand.step(Frame.from_batch(one.frame.frame))
        np.testing.assert_array_equal(one.plans["student"], plan.waypoints_all[COMMANDS.index("straight")])
    assert {one.frame.command for one in driven} != {COMMANDS.index("straight")}
