"""Intervals by resampling scenes: known cases, pairs, and precision with weights."""

import numpy as np
import pytest

from dima_jax.metrics import bootstrap, detection, map_ap, perception, planning
from tests.metrics.metric_frames import PC_RANGE, agents, along, lines


def score(l2, counted=True):
    nothing = np.zeros(6, bool)
    return planning.FrameScore(np.full(6, l2), nothing, nothing, nothing, counted)


def test_the_interval_of_a_mean_is_that_of_its_scenes():
    """Each scene repeats one number, so only the scenes vary: two of 0 and 1 draw means 0, 0.5 and 1."""
    low, high = bootstrap.mean_intervals(np.repeat([[0.0], [1.0]], 50, axis=0), ["a"] * 50 + ["b"] * 50)
    assert low == [0.0] and high == [1.0]
    rng = np.random.default_rng(1)
    means = rng.normal(3.0, 1.0, 100)
    low, high = bootstrap.mean_intervals(
        np.repeat(means, 5)[:, None], np.repeat(np.arange(100).astype(str), 5).tolist()
    )
    np.testing.assert_allclose([low[0], high[0]], means.mean() + np.array([-1.96, 1.96]) * means.std() / 10, atol=0.03)


def test_a_mean_weights_frames_not_scenes():
    values, scenes = np.array([[1.0]] * 9 + [[0.0]]), ["a"] * 9 + ["b"]
    assert 0.9 in np.unique(np.round(bootstrap.draws(2, 100) @ [9.0, 0.0] / (bootstrap.draws(2, 100) @ [9, 1]), 9))
    assert bootstrap.mean_intervals(values, scenes).tolist() == [[0.0], [1.0]]


def test_two_equal_planners_differ_by_exactly_zero():
    rng = np.random.default_rng(0)
    student = [score(value) for value in rng.random(12)]
    worse = [score(s.l2[0] + 0.5) for s in student]
    found = bootstrap.planning_intervals(
        {"student": student, "twin": student, "worse": worse}, list("aaaabbbbcccc"), np.ones(12, bool)
    )
    assert found["scenes"] == 3
    for column in bootstrap.COLUMNS:
        assert found["student_minus"]["twin"][column] == {"difference": 0.0, "interval": [0.0, 0.0]}
        assert found["student_minus"]["worse"][column]["interval"] == pytest.approx([-0.5, -0.5])
    low, high = found["l2_avg"]["student"]
    assert low < np.mean([s.l2[0] for s in student]) < high


def test_only_counted_frames_of_the_subset_and_two_scenes_make_an_interval():
    scores = {"student": [score(1.0), score(2.0), score(9.0, counted=False)], "other": [score(0.0)] * 3}
    one = bootstrap.planning_intervals(scores, ["a", "a", "b"], [True, True, True])
    assert one["scenes"] == 1 and one["l2_avg"] == {"student": None, "other": None}
    assert one["student_minus"]["other"]["avg"] == {"difference": 1.5, "interval": None}
    none = bootstrap.planning_intervals(scores, ["a", "a", "b"], [False, False, True])
    assert none["scenes"] == 0 and none["student_minus"]["other"]["1s"]["difference"] is None


def test_the_columns_are_those_of_the_planning_table():
    scores = [planning.FrameScore(np.random.default_rng(i).random(6), *[np.zeros(6, bool)] * 3, True) for i in range(5)]
    table = planning.summarize(scores)["stp3-vad"]
    columns = bootstrap.l2_columns([s.l2 for s in scores]).mean(0)
    np.testing.assert_allclose(columns, [table[f"l2_{name}"] for name in bootstrap.COLUMNS])


def noisy_frames(number=20):
    rng = np.random.default_rng(0)
    for _ in range(number):
        truth = rng.uniform(-14, 14, (6, 2))
        found = np.concatenate([truth[:5] + rng.normal(size=(5, 2), scale=0.7), rng.uniform(-14, 14, (5, 2))])
        xs = rng.uniform(-14, 14, 4)
        drawn = [along(x) for x in xs[:3] + rng.normal(size=3, scale=0.6)] + [along(rng.uniform(-14, 14))]
        yield perception.score_frame(
            agents(found, [0] * 10, rng.random(10)),
            lines(*drawn, scores=rng.random(4)),
            agents(truth, [0] * 6),
            lines(*[along(x) for x in xs]),
            PC_RANGE,
        )


@pytest.mark.parametrize(("task", "metric"), [("detection", detection), ("map", map_ap)])
def test_precision_with_weights(task, metric):
    """All 1 is the metric itself; 0, 1, 2 is the metric of the scenes that were drawn, twice where it says 2."""
    frames = list(noisy_frames())
    matches = [getattr(frame, task)[0] for frame in frames]
    scene = np.arange(20) // 5
    weights = np.array([[1, 1, 1, 1], [0, 1, 1, 0], [2, 2, 2, 2]])
    ones, some, twos = bootstrap.weighted_aps(matches, scene, weights, metric.area)
    name = f"AP_{metric.CLASSES[0]}"
    assert 0.1 < ones < 0.95
    assert ones == pytest.approx(perception.summarize(frames)[task][name], abs=1e-12)
    assert some == pytest.approx(perception.summarize(frames[5:15])[task][name], abs=1e-12)
    assert twos == pytest.approx(ones, abs=1e-12)


def test_intervals_of_the_headline_classes():
    frames = list(noisy_frames())
    found = bootstrap.perception_intervals(frames, np.repeat(list("abcd"), 5).tolist())
    table = perception.summarize(frames)
    assert found["detection"]["AP_car"][0] < table["detection"]["AP_car"] < found["detection"]["AP_car"][1]
    assert found["map"]["AP_divider"][0] < table["map"]["AP_divider"] < found["map"]["AP_divider"][1]
    assert found["detection"]["AP_pedestrian"] is None  # there are none
    assert bootstrap.perception_intervals(frames, ["a"] * 20)["map"]["AP_divider"] is None


def test_a_class_that_is_never_predicted_has_no_precision():
    nothing = agents([], [])
    frames = [perception.score_frame(nothing, lines(), agents([(0, 0)], [0]), lines(), PC_RANGE) for _ in range(2)]
    assert bootstrap.perception_intervals(frames, ["a", "b"])["detection"]["AP_car"] == [0.0, 0.0]
