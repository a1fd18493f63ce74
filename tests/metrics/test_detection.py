"""Detection AP on hand-made frames, and against the devkit's own function."""

import numpy as np
import pytest

from dima_jax.metrics import detection
from tests.metrics.metric_frames import PC_RANGE, agents


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
