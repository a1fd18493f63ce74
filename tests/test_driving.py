"""The student is stepped scene by scene, and beside it the same student on other images."""

import numpy as np
import pytest

from dima_jax import driving, variants
from dima_jax.constants import COMMANDS
from dima_jax.data import sequences
from dima_jax.policy import Frame, Policy


@pytest.fixture(scope="module")
def policy(student_run):
    return Policy.load(student_run.folder)


def test_each_student_has_a_previous_bev_of_its_own(student_run, policy):
    """Plans as by hand, whatever is planned beside them."""
    drives = sequences.Drives(student_run.config, "val")
    others = [*range(len(drives))][::-1]
    scene = range(drives.records.lengths[0])
    by_hand, elsewhere, fresh = (Policy(policy.student) for _ in range(3))
    rows = [
        *variants.chosen(blank_images=True, other_images=True, audit=False),
        variants.Variant("fresh", "audit", lambda frame, context: frame, keeps_history=False),
    ]
    driven = list(driving.drive(policy, drives, scene, variants=rows, others=others))
    assert driven[0].frame.is_first and len(driven) == len(scene) > 1
    for i, one in enumerate(driven):
        given = Frame.from_batch(one.frame.frame)
        plan = by_hand.step(given)
        np.testing.assert_array_equal(one.plans["student"], plan.waypoints)
        np.testing.assert_array_equal(one.predicted[0].boxes, plan.agents.boxes)
        assert np.abs(one.plans["student, blank images"] - one.plans["student"]).max() > 0
        plan = elsewhere.step(given._replace(images=drives[others[i]].frame.images[0]))
        np.testing.assert_array_equal(one.plans["student, another scene's images"], plan.waypoints)
        fresh.reset()
        np.testing.assert_array_equal(one.plans["fresh"], fresh.step(given).waypoints)
    assert (driven[-1].plans["fresh"] != driven[-1].plans["student"]).any()


def test_a_student_without_commands_is_scored_by_what_it_plans(student_run, policy):
    """It was trained to go straight; the recorded command's plan is nothing that it learned."""
    config = student_run.config.copy_and_resolve_references()
    config.data.command = False
    driven = list(driving.drive(policy, sequences.Drives(config, "val"), range(4)))
    by_hand = Policy(policy.student)
    for one in driven:
        plan = by_hand.step(Frame.from_batch(one.frame.frame))
        np.testing.assert_array_equal(one.plans["student"], plan.waypoints_all[COMMANDS.index("straight")])
    assert len(driven) == 4 and {one.frame.command for one in driven} != {COMMANDS.index("straight")}
