"""From the student's raw outputs to agents and map lines one can score or draw (vad-spec 11). numpy, one frame."""

from typing import NamedTuple

import numpy as np

from dima_jax import geometry

MAX_AGENTS = 100  # the best of all (query, class) pairs
MAX_LINES = 50
AGENT_RANGE = (-20.0, -35.0, -10.0, 20.0, 35.0, 10.0)  # meters; centers outside are dropped
LINE_RANGE = (-20.0, -35.0, 20.0, 35.0)  # meters; lines that leave it are dropped


class Agents(NamedTuple):
    """n predicted or recorded agents, best first if predicted.

    boxes: (cx, cy, cz, w, l, h, yaw_box, vx, vy), center of gravity, LiDAR frame, meters. A recorded agent has one
    mode (K = 1) and future_mask; a predicted one has K modes with scores, and all its steps are real.
    """

    boxes: np.ndarray  # [n, 9]
    labels: np.ndarray  # [n] index in constants.AGENT_CLASSES
    scores: np.ndarray  # [n] in (0, 1)
    future_offsets: np.ndarray  # [n, K, F, 2] meters per step
    mode_scores: np.ndarray  # [n, K] in (0, 1)
    future_mask: np.ndarray  # [n, F] bool


class Lines(NamedTuple):
    """n map lines, best first if predicted. points: one array [P, 2] in meters per line; P may differ."""

    points: list[np.ndarray]
    labels: np.ndarray  # [n] index in constants.MAP_CLASSES
    scores: np.ndarray  # [n] in (0, 1)


def decode_agents(logits, codes, future_offsets, mode_logits, max_agents=MAX_AGENTS) -> Agents:
    """Last-layer logits and codes [A, 10], future_offsets [A, K, F, 2], mode_logits [A, K] to Agents.

    One query may appear with several classes, as in VAD.
    """
    scores, query, labels = _best(logits, max_agents)
    boxes = np.asarray(geometry.decode_boxes(np.asarray(codes, np.float32)[query]))
    low, high = np.array(AGENT_RANGE[:3]), np.array(AGENT_RANGE[3:])
    keep = ((boxes[:, :3] >= low) & (boxes[:, :3] <= high)).all(-1)
    query = query[keep]
    offsets = np.asarray(future_offsets)[query]
    return Agents(
        boxes=boxes[keep],
        labels=labels[keep],
        scores=scores[keep],
        future_offsets=offsets,
        mode_scores=_sigmoid(np.asarray(mode_logits, np.float32)[query]),
        future_mask=np.ones(offsets.shape[:1] + offsets.shape[2:3], bool),
    )


def decode_lines(logits, points, pc_range, max_lines=MAX_LINES) -> Lines:
    """Last-layer logits [M, 3] and normalized points [M, P, 2] to Lines."""
    scores, query, labels = _best(logits, max_lines)
    meters = np.asarray(geometry.denormalize_xy(np.asarray(points, np.float32)[query], pc_range))
    low, high = np.array(LINE_RANGE[:2]), np.array(LINE_RANGE[2:])
    keep = ((meters >= low) & (meters <= high)).all((-1, -2))
    return Lines(points=list(meters[keep]), labels=labels[keep], scores=scores[keep])


def recorded_agents(targets, sample) -> Agents:
    """The real agents of one sample of a batch's `types.AgentTargets`, as Agents with one mode."""
    real = np.asarray(targets.mask[sample])
    offsets = np.asarray(targets.future_offsets[sample])[real]
    return Agents(
        boxes=np.asarray(targets.boxes[sample])[real],
        labels=np.asarray(targets.labels[sample])[real],
        scores=np.ones(real.sum(), np.float32),
        future_offsets=offsets[:, None],
        mode_scores=np.ones((real.sum(), 1), np.float32),
        future_mask=np.asarray(targets.future_mask[sample])[real],
    )


def recorded_lines(targets, sample) -> Lines:
    """The real lines of one sample of a batch's `types.MapTargets`, in their first order."""
    real = np.asarray(targets.mask[sample])
    points = np.asarray(targets.points[sample])[real, 0]
    return Lines(list(points), np.asarray(targets.labels[sample])[real], np.ones(real.sum(), np.float32))


def _best(logits, count):
    """The `count` highest (query, class) scores: scores, queries, classes; ties in query order."""
    scores = _sigmoid(np.asarray(logits, np.float32))
    best = np.argsort(-scores.ravel(), kind="stable")[:count]
    query, label = np.divmod(best, scores.shape[1])
    return scores.ravel()[best], query, label


def _sigmoid(x):
    """exp may overflow to inf for very negative x, and 1 / inf is the right answer."""
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-x))
