"""What numbers of many key frames tell: units, sizes, commands."""

import numpy as np
import pytest

from data_prep.record_check import rules
from data_prep.record_check.readings import Readings
from dima_jax.constants import FORWARD_SPEED
from tests import tiny_root


def read(dataset, spoil=lambda frame: None, scenes=1) -> Readings:
    drive, readings = tiny_root.key_frames(dataset), Readings()
    for scene in range(scenes):
        for i in range(len(drive)):
            frame = drive.record(i, {})
            frame["scene"] = frame["scene"] | {"name": f"scene-{scene}"}
            spoil(frame)
            readings.add(frame)
    return readings


def test_good_key_frames_have_no_problem(dataset):
    readings = read(dataset)
    can, poses = readings.speeds()
    np.testing.assert_allclose(can, poses, atol=0.15)
    assert list(readings.problems()) == [] and len(readings.labels()) == len(readings.boxes()) > 50


@pytest.mark.parametrize("factor", [3.6, 2.237, 0.447])
def test_a_speed_in_other_units_names_the_scene(dataset, factor):
    def spoil(frame):
        frame["can_bus"][FORWARD_SPEED] *= factor

    (problem,) = read(dataset, spoil).problems()
    assert problem.rule == rules.SPEED and problem.scene == "scene-0"
    assert f"{3.16 * factor:.1f} m/s by the CAN bus and 3.2 m/s by the ego poses" in problem.detail


def test_a_scene_without_can_bus_or_that_backs_up_has_no_problem(dataset):
    without = read(dataset, lambda frame: frame["can_bus"].__setitem__(slice(7, 16), 0.0))
    assert list(without.problems()) == [] and np.isnan(without.speeds()[0]).all()
    backwards = read(dataset, lambda frame: frame["can_bus"].__setitem__(FORWARD_SPEED, -3.16))
    assert list(backwards.problems()) == []


def test_boxes_in_centimeters_name_the_class(dataset):
    def spoil(frame):
        frame["agents"]["boxes"][:, 3:6] *= 100.0

    found = [problem.detail for problem in read(dataset, spoil).problems()]
    assert "the longer side of a car is 460.00 m" in found[0] and "not about 4.6 m" in found[0]


def test_a_command_that_never_occurs_is_a_note_of_many_scenes(dataset):
    def straight(frame):
        frame["ego"]["command"] = 2

    def told(scenes):
        problems = read(dataset, straight, scenes).problems()
        return [problem.detail for problem in problems if problem.rule == rules.COMMAND]

    assert told(19) == []
    assert told(20) == [f"no key frame has the command {one!r}" for one in ("right", "left")]
