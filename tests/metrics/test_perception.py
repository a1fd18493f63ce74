"""Decoding and perception metrics on hand-made frames; nuScenes' AP against the devkit's own function."""

import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import geometry
from dima_jax.metrics import decode, detection, map_ap, motion, perception
from dima_jax.metrics.decode import Agents, Lines

PC_RANGE = (-15.0, -30.0, -2.0, 15.0, 30.0, 2.0)


def agents(xy, labels, scores=None, *, speed=1.0, modes=1, steps=6):
    """Agents that drive straight ahead; further modes turn right by 1 m per step more and more."""
    n = len(xy)
    boxes = np.zeros((n, 9), np.float32)
    boxes[:, :2], boxes[:, 3:6] = np.reshape(xy, (n, 2)), (2, 4, 1.5)
    offsets = np.zeros((n, modes, 6, 2), np.float32)
    offsets[..., 1], offsets[..., 0] = speed, np.arange(modes)[None, :, None]
    scores = np.ones(n) if scores is None else np.array(scores)
    mask = np.broadcast_to(np.arange(6) < steps, (n, 6))
    return Agents(boxes, np.array(labels, int), scores, offsets, np.ones((n, modes)), mask)


def lines(*points, labels=None, scores=None):
    n = len(points)
    labels = np.zeros(n, int) if labels is None else np.array(labels)
    return Lines([np.array(p, float) for p in points], labels, np.ones(n) if scores is None else np.array(scores))


def along(x, y0=0.0, y1=10.0):
    return [[x, y0], [x, y1]]


def test_decode_orders_filters_and_converts():
    logits = np.full((4, 10), -5.0)
    logits[2, 1], logits[0, 8], logits[3, 0] = 3.0, 2.0, 4.0  # truck, pedestrian, and a car far outside
    boxes = np.array([[1, 2, 0, 2, 4, 1.5, 0.3, 1, 0]] * 3 + [[50, 0, 0, 2, 4, 1.5, 0, 0, 0]], np.float32)
    codes = np.asarray(geometry.encode_boxes(jnp.asarray(boxes)))
    found = decode.decode_agents(logits, codes, np.zeros((4, 6, 6, 2)), np.zeros((4, 6)), max_agents=3)
    assert found.labels.tolist() == [1, 8]
    assert found.scores == pytest.approx(1 / (1 + np.exp([-3.0, -2.0])))
    np.testing.assert_allclose(found.boxes[0], boxes[0], atol=1e-5)
    points = np.stack([np.full((5, 2), 0.5), np.full((5, 2), 1.5)])  # the second lies outside
    found = decode.decode_lines(np.array([[9.0, -9, -9], [9.0, -9, -9]]), points, PC_RANGE, max_lines=2)
    assert len(found.points) == 1 and found.labels.tolist() == [0]
    np.testing.assert_allclose(found.points[0], np.zeros((5, 2)), atol=1e-6)


def test_motion_counts_hits_misses_and_inventions():
    recorded = agents([(0, 0), (5, 5), (9, 9)], [0, 8, 1])
    predicted = agents([(0.5, 0), (9, 9.5), (-9, 0), (5, 5)], [0, 0, 3, 8], [0.9, 0.9, 0.9, 0.5], speed=1.5)
    row = motion.summarize([motion.frame_counts(predicted, recorded)])
    # Cars: one 0.5 m off and 0.5 m per step too fast, one that starts 0.5 m ahead, an invented bus; the person is missed.
    ade = np.mean([np.hypot(0.5, 0.5 * np.arange(1, 7)).mean(), np.mean(0.5 + 0.5 * np.arange(1, 7))])
    assert row["ADE_car"] == pytest.approx(ade, rel=1e-5)
    assert row["FDE_car"] == pytest.approx((np.hypot(0.5, 3.0) + 3.5) / 2, rel=1e-5)
    assert row["MR_car"] == 1.0 and row["EPA_car"] == pytest.approx((0 - 0.5) / 2)
    assert row["EPA_pedestrian"] == 0.0 and np.isnan(row["ADE_pedestrian"])


def test_motion_takes_the_best_mode_and_only_real_steps():
    recorded, predicted = agents([(0, 0)], [0], steps=3), agents([(0, 0)], [0], modes=3)
    row = motion.summarize([motion.frame_counts(predicted, recorded)])
    assert row["ADE_car"] == 0.0 and np.isnan(row["FDE_car"]) and np.isnan(row["EPA_car"])


def test_map_ap_of_perfect_shifted_and_missing_lines():
    recorded = lines(along(0), along(8))
    assert map_ap.average_precisions([map_ap.frame_matches(recorded, recorded)])[:, 0].tolist() == [1, 1, 1]
    shifted = lines(along(0.8), along(8.8))
    table = map_ap.average_precisions([map_ap.frame_matches(shifted, recorded)])
    assert table[:, 0] == pytest.approx([0, 1, 1]) and np.isnan(table[:, 1:]).all()
    backwards = lines(along(0)[::-1], along(8))
    assert map_ap.summarize([map_ap.frame_matches(backwards, recorded)])["mAP"] == 1.0
    twice = lines(along(0), along(0.1), scores=[0.9, 0.8])  # the second finds its line taken
    assert map_ap.average_precisions([map_ap.frame_matches(twice, recorded)])[:, 0] == pytest.approx([0.5] * 3)
    assert np.isnan(map_ap.summarize([map_ap.frame_matches(recorded, lines())])["mAP"])


def test_a_degenerate_line_is_wrong_but_no_crash():
    point = lines([[0, 0], [0, 0]])
    assert map_ap.summarize([map_ap.frame_matches(point, lines(along(0)))])["mAP"] == 0.0


def test_detection_by_hand():
    recorded = agents([(0, 0), (10, 0)], [0, 0])
    near = agents([(0.3, 0), (10, 3)], [0, 0], [0.9, 0.8])  # 0.3 m and 3 m away
    row = detection.summarize([detection.frame_matches(near, recorded, PC_RANGE)])
    one_of_two = detection.average_precision(np.array([True, False]), 2)
    assert row["AP_car"] == pytest.approx((3 * one_of_two + 1) / 4) and row["mAP"] == row["AP_car"]
    assert np.isnan(row["AP_bus"])
    outside = agents([(0.3, 0), (10, 0), (16, 0)], [0, 0, 0], [0.5, 0.6, 0.9])
    assert detection.summarize([detection.frame_matches(outside, recorded, PC_RANGE)])["mAP"] == pytest.approx(1)
    assert detection.summarize([detection.frame_matches(agents([], []), recorded, PC_RANGE)])["mAP"] == 0.0


def test_average_precision_equals_the_devkits():
    algo = pytest.importorskip("nuscenes.eval.detection.algo")
    from nuscenes.eval.common.data_classes import EvalBoxes
    from nuscenes.eval.common.utils import center_distance
    from nuscenes.eval.detection.data_classes import DetectionBox

    def eval_boxes(frames):
        boxes = EvalBoxes()
        for token, frame in enumerate(frames):
            kept = [
                DetectionBox(
                    sample_token=str(token),
                    translation=(*xy, 0),
                    size=(2, 4, 1.5),
                    detection_name="car",
                    attribute_name="vehicle.moving",
                    detection_score=float(score),
                )
                for xy, score in zip(frame.boxes[:, :2].astype(float), frame.scores, strict=True)
            ]
            boxes.add_boxes(str(token), kept)
        return boxes

    rng = np.random.default_rng(0)
    recorded = [agents(rng.uniform(-14, 14, (12, 2)), [0] * 12) for _ in range(6)]
    predicted = [
        agents(
            np.clip(np.concatenate([r.boxes[:8, :2] + rng.normal(size=(8, 2)), rng.uniform(-14, 14, (6, 2))]), -15, 15),
            [0] * 14,
            rng.random(14),
        )
        for r in recorded
    ]
    frames = [detection.frame_matches(p, r, PC_RANGE) for p, r in zip(predicted, recorded, strict=True)]
    truth, results = eval_boxes(recorded), eval_boxes(predicted)
    theirs = [
        algo.calc_ap(algo.accumulate(truth, results, "car", center_distance, threshold), 0.1, 0.1)
        for threshold in detection.THRESHOLDS
    ]
    assert 0.1 < np.mean(theirs) < 0.9
    assert detection.summarize(frames)["AP_car"] == pytest.approx(np.mean(theirs))


def test_perception_tables_and_empty_frames():
    nothing = agents([], [])
    frame = perception.score_frame(nothing, lines(), nothing, lines(), PC_RANGE)
    tables = perception.summarize([frame, frame])
    assert set(tables) == set(perception.PROTOCOLS)
    assert tables["map"]["frames"] == 2 and np.isnan(tables["detection"]["mAP"])
    truth = agents([(0, 0)], [0])
    tables = perception.summarize([perception.score_frame(truth, lines(along(0)), truth, lines(along(0)), PC_RANGE)])
    assert tables["detection"]["mAP"] == pytest.approx(1)
    assert tables["map"]["mAP"] == tables["motion"]["EPA_car"] == 1.0
