"""Average precision of agents by center distance, after nuScenes detection, inside pc_range.

As in nuScenes (detection_cvpr_2019): greedy matching by score on the distance of centers in the ground plane,
thresholds 0.5, 1, 2 and 4 m, precision interpolated at 101 recalls, and the part below 10 % recall and precision left
out. Unlike nuScenes: predicted and recorded agents are cut to the rectangle of pc_range in the LiDAR frame (VAD's is
partly in global axes, quirk Q8), agents without LiDAR points count, and there is no NDS. So the protocol has a name of
its own, and its numbers do not compare with published nuScenes mAP.

Axes: n predictions, m recorded agents, T thresholds. Meters.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from dima_jax.constants import AGENT_CLASSES
from dima_jax.detections import Agents

PROTOCOL = "center-distance AP (0.5/1/2/4 m, pc_range rectangle)"
CLASSES = AGENT_CLASSES
THRESHOLDS = (0.5, 1.0, 2.0, 4.0)  # meters
RECALLS = np.linspace(0, 1, 101)
MIN_RECALL, MIN_PRECISION = 0.1, 0.1


class FrameMatches(NamedTuple):
    """One class in one frame: the predictions' scores, which are correct at each threshold, number of recorded agents."""

    scores: Float[np.ndarray, " n"]
    correct: Bool[np.ndarray, "T n"]
    recorded: int


def frame_matches(predicted: Agents, recorded: Agents, pc_range: Sequence[float]) -> list[FrameMatches]:
    """Matches of every class of AGENT_CLASSES in one frame."""
    predicted, recorded = _inside(predicted, pc_range), _inside(recorded, pc_range)
    return [
        _class_matches(
            predicted.boxes[predicted.labels == label, :2],
            predicted.scores[predicted.labels == label],
            recorded.boxes[recorded.labels == label, :2],
        )
        for label in range(len(AGENT_CLASSES))
    ]


def summarize(frames: Sequence[list[FrameMatches]]) -> dict[str, float]:
    """{"AP_<class>": mean over thresholds, "mAP": mean over the classes present}; NaN where nothing is recorded."""
    values = [_class_average([frame[label] for frame in frames]) for label in range(len(AGENT_CLASSES))]
    present = [value for value in values if not np.isnan(value)]
    row = {f"AP_{name}": value for name, value in zip(AGENT_CLASSES, values, strict=True)}
    return row | {"mAP": float(np.mean(present)) if present else float("nan")}


def _inside(agents: Agents, pc_range: Sequence[float]) -> Agents:
    low, high = np.array(pc_range[:2]), np.array(pc_range[3:5])
    keep = ((agents.boxes[:, :2] >= low) & (agents.boxes[:, :2] <= high)).all(-1)
    return Agents(*(field[keep] for field in agents))


def _class_matches(
    centers: Float[np.ndarray, "n 2"], scores: Float[np.ndarray, " n"], recorded: Float[np.ndarray, "m 2"]
) -> FrameMatches:
    """In order of descending score, each prediction takes the nearest recorded agent still free, if near enough."""
    correct = np.zeros((len(THRESHOLDS), len(centers)), bool)
    distances = np.linalg.norm(centers[:, None] - recorded[None], axis=-1)
    for row, threshold in zip(correct, THRESHOLDS, strict=True):
        free = distances.copy()
        for i in np.argsort(-scores, kind="stable") if len(recorded) else ():
            nearest = free[i].argmin()
            if free[i, nearest] < threshold:
                free[:, nearest] = np.inf
                row[i] = True
    return FrameMatches(scores, correct, len(recorded))


def _class_average(matches: Sequence[FrameMatches]) -> float:
    recorded = sum(m.recorded for m in matches)
    if not recorded:
        return float("nan")
    order = np.argsort(-np.concatenate([m.scores for m in matches]), kind="stable")
    correct = np.concatenate([m.correct for m in matches], axis=1)[:, order]
    return float(np.mean([average_precision(row, recorded) for row in correct]))


def average_precision(correct: Bool[np.ndarray, " n"], recorded: int) -> float:
    """nuScenes' AP in [0, 1] of predictions in order of descending score, of recorded > 0 agents."""
    hits = np.cumsum(correct)
    if not len(hits) or hits[-1] == 0:
        return 0.0
    return area(hits / recorded, hits / np.arange(1, len(hits) + 1))


def area(recall: Float[np.ndarray, " n"], precision: Float[np.ndarray, " n"]) -> float:
    """nuScenes' AP in [0, 1] of a curve of n > 0 points in order of descending score."""
    precision = np.interp(RECALLS, recall, precision, right=0)
    counted = precision[round(100 * MIN_RECALL) + 1 :] - MIN_PRECISION
    return float(np.mean(np.maximum(counted, 0)) / (1 - MIN_PRECISION))
