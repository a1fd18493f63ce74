"""Agents and map lines of one frame: the best of what a student predicts, or what was recorded. numpy only.

What the policy returns, the metrics score and the figures draw. Predictions come decoded (`predictions.py`, or the
outputs of the exported ONNX); which of them count is VAD's choice: docs/vad.md#decoding.
"""

from typing import NamedTuple

import numpy as np

MAX_AGENTS = 100  # the best of all (query, class) pairs
MAX_LINES = 50
AGENT_RANGE = (-20.0, -35.0, -10.0, 20.0, 35.0, 10.0)  # meters; centers outside are dropped
LINE_RANGE = (-20.0, -35.0, 20.0, 35.0)  # meters; lines that leave it are dropped


class Agents(NamedTuple):
    """n predicted or recorded agents, best first if predicted. LiDAR frame of the frame (x right, y forward), meters.

    boxes: (cx, cy, cz, w, l, h, yaw_box, vx, vy), center of gravity; yaw_box = -heading - pi/2, m/s. futures: positions
    of the center every 0.5 s. A recorded agent has one motion mode (K = 1), and future_mask says how long it was seen;
    a predicted one has K modes with scores, and all its steps are real.
    """

    boxes: np.ndarray  # [n, 9]
    labels: np.ndarray  # [n] index in constants.AGENT_CLASSES
    scores: np.ndarray  # [n] in (0, 1)
    futures: np.ndarray  # [n, K, F, 2]
    mode_scores: np.ndarray  # [n, K] in (0, 1)
    future_mask: np.ndarray  # [n, F] bool


class Lines(NamedTuple):
    """n map lines, best first if predicted. points: one array [P, 2] in meters per line; P may differ."""

    points: list[np.ndarray]
    labels: np.ndarray  # [n] index in constants.MAP_CLASSES
    scores: np.ndarray  # [n] in (0, 1)


def select_agents(scores, boxes, futures, mode_scores, max_agents: int = MAX_AGENTS) -> Agents:
    """The agents that count: the `max_agents` best of all (query, class) pairs, without those outside AGENT_RANGE.

    scores [A, classes], boxes [A, 9], futures [A, K, F, 2] and mode_scores [A, K] of every query, decoded. One query
    may appear with several classes, as in VAD.
    """
    best_scores, query, labels = _best(scores, max_agents)
    boxes, futures, mode_scores = (np.asarray(values)[query] for values in (boxes, futures, mode_scores))
    low, high = np.array(AGENT_RANGE[:3]), np.array(AGENT_RANGE[3:])
    keep = ((boxes[:, :3] >= low) & (boxes[:, :3] <= high)).all(-1)
    steps = np.ones((len(query), futures.shape[2]), bool)
    return Agents(*(field[keep] for field in (boxes, labels, best_scores, futures, mode_scores, steps)))


def select_lines(scores, points, max_lines: int = MAX_LINES) -> Lines:
    """The lines that count: the `max_lines` best of all (query, class) pairs, without those that leave LINE_RANGE.

    scores [M, classes] and points [M, P, 2] in meters of every query, decoded.
    """
    best_scores, query, labels = _best(scores, max_lines)
    points = np.asarray(points)[query]
    low, high = np.array(LINE_RANGE[:2]), np.array(LINE_RANGE[2:])
    keep = ((points >= low) & (points <= high)).all((-1, -2))
    return Lines(list(points[keep]), labels[keep], best_scores[keep])


def recorded_agents(targets, sample: int) -> Agents:
    """The real agents of one sample of a batch's `types.AgentTargets`, with one motion mode."""
    real = np.asarray(targets.mask[sample])
    boxes = np.asarray(targets.boxes[sample])[real]
    offsets = np.asarray(targets.future_offsets[sample])[real]
    return Agents(
        boxes=boxes,
        labels=np.asarray(targets.labels[sample])[real],
        scores=np.ones(real.sum(), np.float32),
        futures=(boxes[:, None, :2] + offsets.cumsum(axis=1))[:, None],
        mode_scores=np.ones((real.sum(), 1), np.float32),
        future_mask=np.asarray(targets.future_mask[sample])[real],
    )


def recorded_lines(targets, sample: int) -> Lines:
    """The real lines of one sample of a batch's `types.MapTargets`, in their first vertex order."""
    real = np.asarray(targets.mask[sample])
    points = np.asarray(targets.points[sample])[real, 0]
    return Lines(list(points), np.asarray(targets.labels[sample])[real], np.ones(real.sum(), np.float32))


def _best(scores, count: int):
    """(scores, queries, classes) of the `count` highest of scores [queries, classes]; ties in the order of queries."""
    scores = np.asarray(scores)
    best = np.argsort(-scores.ravel(), kind="stable")[:count]
    query, label = np.divmod(best, scores.shape[1])
    return scores.ravel()[best], query, label
