"""The controls are those of a loop over the frames, and lack a plan where a number is not there."""

import dataclasses

import numpy as np
import pytest

from dima_jax.errors import UserError
from dima_jax.scoring import align, controls, ego_mlp, result, run
from tests.scoring import toy
from tests.scoring.fake import fake_truth


@pytest.fixture(scope="module")
def truth():
    return fake_truth(scenes=4, frames=9, agents=1)


def found(truth):
    return {one.planner: one for one in controls.plans(truth)}


def without(truth, *keys):
    return type(truth)(truth.header, **{key: array for key, array in truth.arrays().items() if key not in keys})


def frame_by_frame(truth, i):
    """{planner: plan [6, 2]} of frame i; the move since the frame before is repeated."""
    step = np.array([0.0, truth.speed[i] * 0.5])
    move = np.eye(4)  # this frame's LiDAR in the frame before
    move[:2, 3] = step
    if truth.frame_index[i]:
        here, before = (truth.ego2global[k] @ truth.lidar2ego[k] for k in (i, i - 1))
        step = -(np.linalg.inv(here) @ before[:, 3])[:2]
        move = np.linalg.inv(before) @ here
    times = np.arange(1, 7)[:, None]
    return {
        "recorded path": truth.path[i],
        "constant velocity": times * step,
        "constant turn rate": np.stack([np.linalg.matrix_power(move, k)[:2, 3] for k in range(1, 7)]),
        "go straight": times * np.array([0.0, np.linalg.norm(step)]),
        "stand still": np.zeros((6, 2)),
    }


def test_they_are_those_of_a_loop(truth):
    for i in range(len(truth.tokens)):
        expected = frame_by_frame(truth, i)
        assert list(expected) == list(controls.NAMES)
        for name, plan in expected.items():
            np.testing.assert_allclose(found(truth)[name].plans[i, :, :2], plan, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("slip", (0.0, 0.1))
def test_constant_turn_rate_drives_a_circle(truth, slip):
    """A left turn of 0.2 rad a step around (-10, 0); with slip the LiDAR does not look where it goes."""
    angles = 0.2 * np.arange(len(truth.tokens))
    poses = np.tile(np.eye(4), (len(angles), 1, 1))
    cos, sin = np.cos(angles + slip), np.sin(angles + slip)
    poses[:, :2, :2] = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    poses[:, :2, 3] = np.stack([10 * np.cos(angles) - 10, 10 * np.sin(angles)], -1)
    arrays = truth.arrays() | {"ego2global": poses, "lidar2ego": np.tile(np.eye(4), (len(angles), 1, 1))}
    plan = found(type(truth)(truth.header, **arrays))["constant turn rate"].plans[2, :, :2]
    told = plan @ poses[2, :2, :2].T + poses[2, :2, 3]
    np.testing.assert_allclose(told, poses[3:9, :2, 3], atol=1e-9)


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


def test_a_truth_in_the_ego_frame_has_the_recorded_path_alone(truth):
    rows = found(without(truth, "path", "path_yaw", "ego_path_yaw"))
    assert list(rows) == ["recorded path"] and rows["recorded path"].frame == "ego"
    np.testing.assert_array_equal(rows["recorded path"].plans[..., :2], truth.ego_path)


@pytest.fixture
def train(monkeypatch):
    """Other drives, and a fit that takes no time."""
    monkeypatch.setattr(ego_mlp, "STEPS", 20)
    made = fake_truth(scenes=6, frames=9, agents=1, seed=1)
    return dataclasses.replace(made, tokens=np.array([f"train-{token}" for token in made.tokens]))


def test_two_learn_from_the_training_split(truth, train):
    rows = controls.plans(truth, train, {"ego_status": "speed", "command": True, "images": 6})
    assert [one.planner for one in rows[: len(controls.NAMES)]] == list(controls.NAMES)
    mlp, (neighbors,) = rows[len(controls.NAMES) : -1], rows[-1:]
    assert {one.planner for one in mlp} == {"blind MLP (speed, command)"} and [one.seed for one in mlp] == [0, 1, 2, 3]
    assert neighbors.planner.startswith("nearest neighbors (") and neighbors.seed is None
    for one in (*mlp, neighbors):
        assert (one.file, one.frame, one.tokens) == ("", "lidar", truth.tokens.tolist())
        assert one.header == {"given": {"ego_status": "speed", "command": True}, "frames": 54}
    assert controls.missing(truth, train) == []
    assert controls.plans(truth, train)[-2].planner == "blind MLP (full ego status, command)"


def test_where_they_are_not_there_a_line_says_why(truth, train):
    (line,) = controls.missing(truth, None)
    assert line.startswith("blind MLP, nearest neighbors: not available, need --train_truth")
    no_history = without(train, "history")
    assert controls.missing(truth, no_history) == ["nearest neighbors: not available, needs history in --train_truth"]
    assert controls.plans(truth, no_history)[-1].planner.startswith("blind MLP")
    blind = without(truth, "speed", "can_bus", "status")
    assert [line.partition("needs ")[2] for line in controls.missing(blind, train)] == ["ego_inputs in --truth"] * 2
    short = dataclasses.replace(train, path_mask=train.path_mask & (np.arange(6) < 5))
    assert [line.partition("needs ")[2] for line in controls.missing(truth, short)] == [
        "a frame with six known steps, and with the frame before, in --train_truth"
    ] * 2
    for one, other in ((blind, train), (truth, short)):
        assert [row.planner for row in controls.plans(one, other)][-1] in controls.NAMES


def test_the_truth_that_is_scored_teaches_nobody(truth):
    with pytest.raises(UserError, match=r"36 frames of the training truth are those that are scored: .* and 33 more"):
        controls.plans(truth, truth)


def test_seeds_are_one_row_and_their_spread_is_said(truth, train, monkeypatch):
    toy.register(monkeypatch)
    rows = controls.plans(truth, train)
    aligned = align.align(truth, rows, allow_missing=False)
    scored = run.score(truth, aligned, ["toy"], workers=1)
    (line,) = controls.spread(truth, rows, scored)
    weight = scored["toy"].weight[5, :, :3]
    by_hand = [np.mean(np.nansum(scored["toy"].value[k, :, :3] * weight, 0) / weight.sum(0)) for k in range(5, 9)]
    assert f"is {np.mean(by_hand):.3f} m, standard deviation {np.std(by_hand, ddof=1):.3f} m" in line
    assert line.startswith("blind MLP (full ego status, command): fitted on 54 frames; its row is the mean of 4 seeds")
    told = result.build(truth, aligned, rows, scored, ["toy"])
    assert len(told["scores"]["toy"]["all frames"]) == 7
    assert told["scores"]["toy"]["all frames"]["blind MLP (full ego status, command)"]["l2_avg"]["value"] == (
        pytest.approx(np.mean(by_hand))
    )
    assert controls.spread(truth, rows[:5], scored) == []


def test_a_file_beside_seeds_is_compared_once(truth, train, monkeypatch):
    toy.register(monkeypatch)
    rows = controls.plans(truth, train)
    rows = [rows[1]._replace(planner="ours", file="ours.npz"), *rows]
    aligned = align.align(truth, rows, allow_missing=False)
    told = result.build(truth, aligned, rows, run.score(truth, aligned, ["toy"], workers=1), ["toy"])
    pairs = [one["b"] for one in told["differences"]["toy"]["all frames"] if one["column"] == "l2_avg"]
    assert len(pairs) == len(set(pairs)) == 6
