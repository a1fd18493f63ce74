"""The controls are those of the evaluation, frame by frame, and lack a plan where a number is not there."""

from types import SimpleNamespace

import numpy as np
import pytest

from dima_jax import controls as frame_by_frame
from dima_jax.scoring import controls
from tests.scoring.fake import fake_truth


@pytest.fixture(scope="module")
def truth():
    return fake_truth(scenes=4, frames=9, agents=1)


def found(truth):
    return {one.planner: one for one in controls.plans(truth)}


def without(truth, *keys):
    return type(truth)(truth.header, **{key: array for key, array in truth.arrays().items() if key not in keys})


def test_they_are_those_of_the_evaluation(truth):
    poses = truth.ego2global @ truth.lidar2ego
    frames = [
        SimpleNamespace(lidar2global=pose, is_first=index == 0, speed=float(speed))
        for pose, index, speed in zip(poses, truth.frame_index, truth.speed, strict=True)
    ]
    for i, frame in enumerate(frames):
        expected = frame_by_frame.control_plans(frame, frames[i - 1], truth.path[i])
        assert list(expected) == list(controls.NAMES)
        for name, plan in expected.items():
            np.testing.assert_allclose(found(truth)[name].plans[i, :, :2], plan, atol=1e-9, err_msg=name)


def test_headings_turn_with_the_move_alone(truth):
    rows = found(truth)
    for name in ("constant velocity", "go straight", "stand still"):
        np.testing.assert_array_equal(rows[name].plans[..., 2], np.pi / 2)
    late = truth.frame_index > 0
    turned = rows["constant turn rate"].plans[late, :, 2] - np.pi / 2
    known = truth.future_valid[late]
    np.testing.assert_allclose(turned[known], truth.path_yaw[late][known] - np.pi / 2, atol=1e-5)
    np.testing.assert_array_equal(rows["recorded path"].plans[..., 2], truth.path_yaw)


def test_frames_without_the_numbers_have_no_plan(truth):
    first = truth.tokens[truth.frame_index == 0].tolist()
    for name, one in found(without(truth, "speed")).items():
        gone = set(truth.tokens.tolist()) - set(one.tokens)
        assert gone == (set() if name in ("recorded path", "stand still") else set(first)), name


def test_a_gap_is_no_move(truth):
    odd = truth.select(truth.frame_index % 2 == 0)
    assert set(found(odd)["constant velocity"].tokens) == set(odd.tokens[odd.frame_index == 0].tolist())
    assert controls.follows(truth).tolist() == (truth.frame_index > 0).tolist()


def test_a_truth_in_the_ego_frame_has_the_recorded_path_alone(truth):
    rows = found(without(truth, "path", "path_yaw", "ego_path_yaw"))
    assert list(rows) == ["recorded path"] and rows["recorded path"].frame == "ego"
    np.testing.assert_array_equal(rows["recorded path"].plans[..., :2], truth.ego_path)
