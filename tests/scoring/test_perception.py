"""Perception from files: the numbers of the evaluation, coverage, and one line for what does not fit."""

import dataclasses
from collections import Counter

import jax
import numpy as np
import pytest

from dima_jax import detections
from dima_jax.categories import LIDARSEG_CATEGORIES
from dima_jax.data import targets
from dima_jax.errors import UserError
from dima_jax.metrics import bootstrap, motion
from dima_jax.metrics import perception as metrics
from dima_jax.scoring import perception, perception_file
from dima_jax.scoring.perception_file import Perception
from tests.scoring.fake import fake_truth

PC_RANGE, NUM_POINTS = [-15.0, -30.0, -2.0, 15.0, 30.0, 2.0], 10
HEADER = {"planner": "ours", "pc_range": PC_RANGE, "num_points": NUM_POINTS}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(bootstrap, "AP_RESAMPLES", 60)


@pytest.fixture(scope="module")
def truth():
    """With agents that no sensor hit, of no class, without a velocity, that turned around, or on the border."""
    found = fake_truth(scenes=3, frames=8, agents=8)
    rng = np.random.default_rng(0)
    boxes, count = found.boxes.copy(), len(found.boxes)
    boxes[::5, 7:] = np.nan
    boxes[::7, 6] += 4 * np.pi
    boxes[::11, 0] = 15.0
    return dataclasses.replace(
        found,
        boxes=boxes,
        lidar_points=rng.integers(0, 3, count).astype(np.int32),
        radar_points=rng.integers(0, 2, count).astype(np.int32),
        line_vertices=found.line_vertices * np.float32(1.2),
    )


def of_targets(truth, index, split):
    """What was recorded as the evaluation prepares it."""
    rows = slice(*truth.agent_start[index : index + 2])
    agents = {
        "boxes": truth.boxes[rows],
        "categories": [LIDARSEG_CATEGORIES[one] for one in truth.category[rows]],
        "num_lidar_pts": truth.lidar_points[rows],
        "num_radar_pts": truth.radar_points[rows],
        **{name: getattr(truth, name)[rows] for name in ("future_offsets", "future_mask", "future_yaw")},
    }
    lines = slice(*truth.line_start[index : index + 2])
    ends = truth.line_vertex_start[lines.start : lines.stop + 1]
    lines = {
        "vertices": truth.line_vertices[ends[0] : ends[-1]],
        "lengths": np.diff(ends),
        "labels": truth.line_label[lines],
    }
    found = (
        targets.agent_targets(agents, split, PC_RANGE, 99)[0],
        targets.map_targets(lines, PC_RANGE, NUM_POINTS, 99)[0],
    )
    agents, lines = jax.tree.map(lambda x: x[None], found)
    return detections.recorded_agents(agents, 0), detections.recorded_lines(lines, 0)


def found_in(truth, sigma=0.4) -> tuple[list[str], list]:
    """A student that finds what is there, a little beside, and some that is not there."""
    rng = np.random.default_rng(1)
    frames = []
    for index in range(len(truth.tokens)):
        agents, lines = of_targets(truth, index, "val")
        boxes = agents.boxes + rng.normal(0, sigma, agents.boxes.shape).astype(np.float32) * (np.arange(9) < 2)
        futures = np.repeat(agents.futures, 2, axis=1) + rng.normal(0, sigma, (len(boxes), 2, 6, 2)).astype(np.float32)
        scores = rng.uniform(0.3, 1.0, len(boxes)).astype(np.float32)
        points = [one + rng.normal(0, sigma, 2).astype(np.float32) for one in lines.points]
        frames.append(
            (
                detections.Agents(
                    boxes,
                    agents.labels,
                    scores,
                    futures,
                    np.ones((len(boxes), 2), np.float32),
                    np.ones((len(boxes), 6), bool),
                ),
                detections.Lines(points, lines.labels, rng.uniform(0, 1, len(points)).astype(np.float32)),
            )
        )
    return truth.tokens.tolist(), frames


def as_file(tokens, frames, **header) -> Perception:
    arrays = perception_file.joined([perception_file.arrays(*one) for one in frames])
    return Perception("ours.npz", HEADER | header, tokens, arrays)


@pytest.mark.parametrize("split", ["val", "train"])
def test_what_was_recorded_is_what_the_evaluation_prepares(truth, split):
    truth = dataclasses.replace(truth, header=truth.header | {"split": split})
    count = 0
    for index in range(len(truth.tokens)):
        agents, lines = of_targets(truth, index, split)
        for one, other in zip(perception.recorded_agents(truth, index, PC_RANGE), agents, strict=True):
            np.testing.assert_array_equal(one, other)
        found = perception.recorded_lines(truth, index, PC_RANGE, NUM_POINTS)
        np.testing.assert_array_equal(found.labels, lines.labels)
        np.testing.assert_array_equal(np.array(found.points), np.array(lines.points))
        count += len(agents.labels)
    assert 25 < count < len(truth.boxes)


def test_the_numbers_are_those_of_the_evaluation(truth):
    tokens, frames = found_in(truth)
    told = perception.score(truth, as_file(tokens, frames))
    scores = [
        metrics.score_frame(*frame, *of_targets(truth, index, "val"), PC_RANGE) for index, frame in enumerate(frames)
    ]
    assert str(metrics.summarize(scores)) == str(told["scores"])
    assert 0.2 < told["scores"]["detection"]["AP_car"] < 1 and 0.1 < told["scores"]["map"]["mAP"] < 1
    assert told["scores"]["motion"]["ADE_car"] > 0
    assert told["coverage"] == {"scored": 24, "of": 24} and told["scenes"] == 3 and told["why_not"] == {}
    for task, name in (("detection", "AP_car"), ("map", "AP_divider"), ("motion", "ADE_car"), ("motion", "EPA_car")):
        low, high = told["intervals"][task][name]
        assert low <= told["scores"][task][name] <= high and low < high


def test_the_order_of_the_file_does_not_matter(truth):
    tokens, frames = found_in(truth)
    order = np.random.default_rng(0).permutation(len(tokens))
    shuffled = as_file([tokens[i] for i in order], [frames[i] for i in order])
    assert str(perception.score(truth, shuffled)) == str(perception.score(truth, as_file(tokens, frames)))


def test_frames_that_do_not_fit_are_refused_by_their_tokens(truth):
    tokens, frames = found_in(truth)
    with pytest.raises(
        UserError, match=rf"2 of 24 frames of the truth are not in the file: {tokens[22]}, {tokens[23]};"
    ):
        perception.score(truth, as_file(tokens[:22], frames[:22]))
    with pytest.raises(UserError, match="1 of 24 frames are not in the truth: elsewhere; give the truth of that split"):
        perception.score(truth, as_file(["elsewhere", *tokens[1:]], frames), allow_missing=True)
    part = as_file(tokens[8:16], frames[8:16])
    told = perception.score(truth, part, allow_missing=True)
    assert told["coverage"] == {"scored": 8, "of": 24} and told["scenes"] == 1
    assert set(told["intervals"]["motion"].values()) == set(told["intervals"]["map"].values()) == {None}
    whole = perception.score(truth.select(np.arange(8, 16)), part)
    assert str(whole["scores"]) == str(told["scores"])


def test_a_truth_that_knows_less(truth):
    tokens, frames = found_in(truth)
    arrays = truth.arrays()
    kept = {key: array for key, array in arrays.items() if not key.startswith(("line_", "future_"))}
    told = perception.score(type(truth)(truth.header, **kept, future_valid=truth.future_valid), as_file(tokens, frames))
    assert set(told["why_not"]) == {"map", "motion", "zero motion"}
    assert told["why_not"]["map"] == "the truth has no lines"
    assert np.isnan(told["scores"]["map"]["mAP"]) and np.isnan(told["scores"]["motion"]["EPA_car"])
    whole = perception.score(truth, as_file(tokens, frames))
    assert str(told["scores"]["detection"]) == str(whole["scores"]["detection"])
    unknown = dataclasses.replace(truth, header=truth.header | {"scenes": "unknown"})
    told = perception.score(unknown, as_file(tokens, frames))
    assert told["scenes"] is None and not any(told["intervals"]["detection"].values())
    kept = {name: arrays[name] for name in ("tokens", "scene", "scene_names")}
    with pytest.raises(UserError, match="the truth has no agents to compare with"):
        perception.score(type(truth)(truth.header, **kept), as_file(tokens, frames))


def test_intervals_of_motion():
    """Two scenes of one agent each, 1 m and 3 m off, draw means 1, 2 and 3; a kind that one scene has gets none."""
    counts = [
        Counter(
            gt_car=1, hit_car=1, cnt_ade_car=1, ADE_car=error, cnt_ade_pedestrian=int(error == 1), ADE_pedestrian=2.0
        )
        for error in (1.0, 3.0)
    ]
    found = perception.motion_intervals([*counts, Counter()], ["a", "b", "b"])
    assert found["ADE_car"] == [1.0, 3.0] and found["EPA_car"] == [1.0, 1.0]
    assert found["ADE_pedestrian"] is None and found["FDE_car"] is None
    assert set(found) == set(motion.summarize([]))
    assert set(perception.motion_intervals([Counter(), Counter()], ["a", "b"]).values()) == {None}
    assert set(perception.motion_intervals(counts, ["a", "a"]).values()) == {None}
