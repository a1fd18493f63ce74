"""Each kind of problem of a key frame by itself, and none in a good one."""

import numpy as np
import pytest

from data_prep.record_check import frames, rules
from tests import realdata


def put(*keys, at, value):
    """Sets one place of an array of a key frame."""

    def spoil(frame):
        for key in keys:
            frame = frame[key]
        frame[at] = value

    return spoil


def mirror(frame):
    frame["cameras"]["sensor2lidar"][1, :3, 0] *= -1


def swap_rows(frame):
    frame["cameras"]["intrinsics"][1] = frame["cameras"]["intrinsics"][1][[1, 0, 2]]


def lengthen_future(frame):
    frame["agents"]["future_offsets"][~frame["agents"]["future_mask"]] = 1


@pytest.mark.parametrize(
    ("spoil", "rule", "detail"),
    [
        (put("ego2global", at=(0, 0), value=2.0), rules.POSE, "ego2global is no rigid motion"),
        (mirror, rules.POSE, "sensor2lidar of CAM_FRONT_RIGHT is no rigid motion"),
        (put("agents", "boxes", at=(0, 0), value=np.nan), rules.BOX, "has an impossible box"),
        (put("agents", "boxes", at=(0, 4), value=0.0), rules.BOX, "has an impossible box"),
        (put("agents", "boxes", at=(0, 7), value=99), rules.FAST, "moves at 99 m/s"),
        (lengthen_future, rules.FUTURE, "goes on after it ended"),
        (lambda f: f["agents"]["instances"].pop(), rules.BOX, "different lengths [2, 3]"),
        (put("map", "vertices", at=(0, 0), value=90.0), rules.MAP, "a map line leaves its patch"),
        (put("map", "lengths", at=0, value=99), rules.MAP, "lengths do not add up"),
        (put("map", "labels", at=0, value=3), rules.MAP, "an unknown class"),
        (put("cameras", "images", at=2, value=b"\xff\xd8"), rules.IMAGE, "not a JPEG file"),
        (put("cameras", "intrinsics", at=(1, 0, 2), value=800.0), rules.INTRINSICS, "do not fit an image of 45 x 80"),
        (put("cameras", "intrinsics", at=(1, 1, 1), value=10.0), rules.INTRINSICS, "do not fit"),
        (swap_rows, rules.INTRINSICS, "do not fit"),
        (put("ego", at="command", value=3), rules.PATH, "the command is 3, not one of 3"),
        (put("ego", "future_offsets", at=(0, 0), value=np.nan), rules.PATH, "the recorded path is not finite"),
        (put("ego", "history_offsets", at=(0, 0), value=np.nan), rules.PATH, "the recorded path is not finite"),
        (put("ego", "status", at=7, value=np.nan), rules.CAN, "the ego's status is not finite"),
        (put("agents", "future_offsets", at=(0, 0), value=np.nan), rules.FUTURE, "an agent's future is not finite"),
        (put("agents", "future_yaw", at=(0, 0), value=np.nan), rules.FUTURE, "an agent's future is not finite"),
        (put("can_bus", at=8, value=np.inf), rules.CAN, "not finite"),
    ],
)
def test_what_is_wrong_is_named(frame, spoil, rule, detail):
    assert list(frames.problems(frame)) == []
    spoil(frame)
    found = list(frames.problems(frame))
    assert {one for one, _ in found} == {rule} and detail in found[0][1]


def test_an_unknown_velocity_is_no_problem(frame):
    frame["agents"]["boxes"][:, 7:] = np.nan
    assert list(frames.problems(frame)) == []


def test_a_real_key_frame_is_good():
    assert list(frames.problems(realdata.mmdet3d_key_frame())) == []
