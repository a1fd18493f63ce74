"""Control planners by numbers one can do in the head, and whose images a student is fed instead of its own."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dima_jax import controls
from dima_jax.errors import UserError


def frame(x, y, *, turn=0.0, first=False, speed=4.0):
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    pose[:2, 3] = x, y
    return SimpleNamespace(lidar2global=pose, is_first=first, speed=speed)


def test_constant_velocity_repeats_the_last_move_and_straight_keeps_its_length():
    recorded = np.zeros((6, 2))
    plans = controls.control_plans(frame(3.0, 4.0), frame(0.0, 0.0), recorded)
    np.testing.assert_allclose(plans["constant velocity"][-1], [18.0, 24.0])
    np.testing.assert_allclose(plans["go straight"][0], [0.0, 5.0])
    np.testing.assert_array_equal(plans["stand still"], np.zeros((6, 2)))
    assert plans["recorded path"] is recorded


def test_the_first_frame_of_a_scene_has_no_past_but_its_speed():
    plans = controls.control_plans(frame(3.0, 4.0, first=True), frame(0.0, 0.0), np.zeros((6, 2)))
    for name in ("constant velocity", "constant turn rate", "go straight"):
        np.testing.assert_allclose(plans[name][1], [0.0, 4.0])


@pytest.mark.parametrize("slip", (0.0, 0.1))
def test_constant_turn_rate_drives_a_circle(slip):
    """A left turn of 0.2 rad per step around (-10, 0); with slip the LiDAR does not look where it goes."""

    def at(step):
        angle = 0.2 * step
        return frame(10 * np.cos(angle) - 10, 10 * np.sin(angle), turn=angle + slip)

    here = at(3)
    plan = controls.control_plans(here, at(2), np.zeros((6, 2)))["constant turn rate"]
    told = plan @ here.lidar2global[:2, :2].T + here.lidar2global[:2, 3]
    np.testing.assert_allclose(told, [at(3 + k).lidar2global[:2, 3] for k in range(1, 7)], atol=1e-9)


class Records(SimpleNamespace):
    def __len__(self):
        return len(self.scenes)


def test_other_images_are_those_of_the_next_scene_at_the_same_place():
    three = Records(scenes=list("aaabbcccc"), split="val", folder=Path("records"))
    assert controls.other_scene_records(three) == [3, 4, 4, 5, 6, 0, 1, 2, 2]
    assert all(
        three.scenes[i] != scene for i, scene in zip(controls.other_scene_records(three), three.scenes, strict=True)
    )
    with pytest.raises(UserError, match="has 1 scene; --other_images needs at least 2"):
        controls.other_scene_records(Records(scenes=list("aa"), split="val", folder=Path("records")))
