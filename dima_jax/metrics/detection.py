"""Average precision of agents by center distance, after nuScenes detection, in the student's own rectangle.

What is as in nuScenes (detection_cvpr_2019): greedy matching by score with the distance of centers in the ground plane,
thresholds 0.5, 1, 2 and 4 m, precision read at 101 recalls, the part below 10 % recall and precision cut off.
What is not: both sides are cut to the rectangle of pc_range in the LiDAR frame (VAD's is partly in global axes, quirk
Q8), agents are not dropped for having no LiDAR points, and there is no NDS. So the protocol has its own name and its
numbers do not compare with published nuScenes mAP.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dima_jax.constants import AGENT_CLASSES
from dima_jax.metrics.decode import Agents

PROTOCOL = "center-distance AP (0.5/1/2/4 m, pc_range rectangle)"
THRESHOLDS = (0.5, 1.0, 2.0, 4.0)  # meters
RECALLS = np.linspace(0, 1, 101)
MIN_RECALL, MIN_PRECISION = 0.1, 0.1


class FrameMatches(NamedTuple):
    """One class in one frame: scores [n] of its predictions, whether each is right [thresholds, n], recorded agents."""

    scores: np.ndarray
    right: np.ndarray
    recorded: int


def frame_matches(predicted: Agents, recorded: Agents, pc_range) -> list[FrameMatches]:
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


def _inside(agents: Agents, pc_range) -> Agents:
    low, high = np.array(pc_range[:2]), np.array(pc_range[3:5])
    keep = ((agents.boxes[:, :2] >= low) & (agents.boxes[:, :2] <= high)).all(-1)
    return Agents(*(field[keep] for field in agents))


def _class_matches(centers, scores, recorded) -> FrameMatches:
    """By falling score, each prediction takes the nearest recorded agent still free, if it is near enough."""
    right = np.zeros((len(THRESHOLDS), len(centers)), bool)
    distances = np.linalg.norm(centers[:, None] - recorded[None], axis=-1)
    for row, threshold in zip(right, THRESHOLDS, strict=True):
        free = distances.copy()
        for i in np.argsort(-scores, kind="stable") if len(recorded) else ():
            nearest = free[i].argmin()
            if free[i, nearest] < threshold:
                free[:, nearest] = np.inf
                row[i] = True
    return FrameMatches(scores, right, len(recorded))


def _class_average(matches: Sequence[FrameMatches]) -> float:
    recorded = sum(m.recorded for m in matches)
    if not recorded:
        return float("nan")
    order = np.argsort(-np.concatenate([m.scores for m in matches]), kind="stable")
    right = np.concatenate([m.right for m in matches], axis=1)[:, order]
    return float(np.mean([average_precision(row, recorded) for row in right]))


def average_precision(right, recorded: int) -> float:
    """nuScenes' AP in [0, 1] of predictions in order of falling score; right [n] bool, recorded > 0 agents."""
    hits = np.cumsum(right)
    if not len(hits) or hits[-1] == 0:
        return 0.0
    precision = np.interp(RECALLS, hits / recorded, hits / np.arange(1, len(hits) + 1), right=0)
    counted = precision[round(100 * MIN_RECALL) + 1 :] - MIN_PRECISION
    return float(np.mean(np.maximum(counted, 0)) / (1 - MIN_PRECISION))
