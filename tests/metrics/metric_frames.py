"""Small frames of agents and map lines for the metric tests."""

import numpy as np

from dima_jax.detections import Agents, Lines

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
    futures = boxes[:, None, None, :2] + offsets.cumsum(axis=2)
    return Agents(boxes, np.array(labels, int), scores, futures, np.ones((n, modes)), mask)


def lines(*points, labels=None, scores=None):
    """Map lines, all of the first class unless said otherwise."""
    n = len(points)
    labels = np.zeros(n, int) if labels is None else np.array(labels)
    return Lines([np.array(p, float) for p in points], labels, np.ones(n) if scores is None else np.array(scores))


def along(x, y0=0.0, y1=10.0):
    """A straight line at x meters."""
    return [[x, y0], [x, y1]]
