"""Intervals of average precision by resampling scenes: precision with weights, known cases."""

import numpy as np
import pytest

from dima_jax.metrics import bootstrap, detection, map_ap, perception
from tests.metrics.metric_frames import PC_RANGE, agents, along, lines


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
