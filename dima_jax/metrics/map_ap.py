"""Average precision of map lines by chamfer distance, as VAD and MapTR report it (vad-spec 12.4).

Lines are resampled to 100 points. A prediction's error to a recorded line is the mean distance to the nearest point,
averaged over both directions; only lines that come within 4 m (2 m buffers touch) are compared. Greedy by score; a
prediction is tested against its best line only. AP is the area under the precision envelope.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import shapely
from scipy.spatial.distance import cdist

from dima_jax.constants import MAP_CLASSES
from dima_jax.metrics.decode import Lines

THRESHOLDS = (0.5, 1.0, 1.5)  # meters
SAMPLES = 100
BUFFER = 2.0  # meters on each side
APART = 100.0  # the error of lines that were not compared


class FrameMatches(NamedTuple):
    """One class in one frame: scores [n] of its predictions, whether each is right [thresholds, n], recorded lines."""

    scores: np.ndarray
    right: np.ndarray
    recorded: int


def frame_matches(predicted: Lines, recorded: Lines) -> list[FrameMatches]:
    """Matches of every class of MAP_CLASSES in one frame."""
    return [_class_matches(_of_class(predicted, c), _of_class(recorded, c)) for c in range(len(MAP_CLASSES))]


def summarize(frames: Sequence[list[FrameMatches]]) -> dict[str, float]:
    """{"AP_<class>": mean over thresholds, "mAP": mean over the classes present}; NaN where nothing is recorded."""
    table = average_precisions(frames)
    row = {f"AP_{name}": float(table[:, i].mean()) for i, name in enumerate(MAP_CLASSES)}
    present = ~np.isnan(table).any(0)
    return row | {"mAP": float(table[:, present].mean()) if present.any() else float("nan")}


def average_precisions(frames: Sequence[list[FrameMatches]]) -> np.ndarray:
    """AP [thresholds, classes] over all frames; NaN for a class that is nowhere recorded."""
    table = np.full((len(THRESHOLDS), len(MAP_CLASSES)), np.nan)
    for label in range(len(MAP_CLASSES)):
        matches = [frame[label] for frame in frames]
        recorded = sum(m.recorded for m in matches)
        if recorded:
            order = np.argsort(-np.concatenate([m.scores for m in matches]), kind="stable")
            right = np.concatenate([m.right for m in matches], axis=1)[:, order]
            table[:, label] = [_area(row, recorded) for row in right]
    return table


def _of_class(lines: Lines, label) -> Lines:
    chosen = np.flatnonzero(lines.labels == label)
    return Lines([lines.points[i] for i in chosen], lines.labels[chosen], lines.scores[chosen])


def _class_matches(predicted: Lines, recorded: Lines) -> FrameMatches:
    right = np.zeros((len(THRESHOLDS), len(predicted.points)), bool)
    if predicted.points and recorded.points:
        errors = _errors(predicted.points, recorded.points)
        best, nearest = errors.argmin(1), errors.min(1)
        for row, threshold in zip(right, THRESHOLDS, strict=True):
            taken = set()
            for i in np.argsort(-predicted.scores, kind="stable"):
                if nearest[i] <= threshold and best[i] not in taken:
                    taken.add(best[i])
                    row[i] = True
    return FrameMatches(predicted.scores, right, len(recorded.points))


def _errors(predicted, recorded):
    """Chamfer error [n, m] in meters; APART where the buffered lines do not touch."""
    lines, truth = ([_resample(points) for points in group] for group in (predicted, recorded))
    near = shapely.intersects(_buffered(lines)[:, None], _buffered(truth)[None])
    errors = np.full(near.shape, APART)
    for i, j in np.argwhere(near):
        distances = cdist(lines[i], truth[j])
        errors[i, j] = (distances.min(0).mean() + distances.min(1).mean()) / 2
    return errors


def _resample(points):
    """A line [P, 2] at SAMPLES equal steps along its length."""
    points = np.asarray(points, np.float64)
    along = np.concatenate([[0.0], np.linalg.norm(np.diff(points, axis=0), axis=-1).cumsum()])
    steps = np.linspace(0, along[-1], SAMPLES)
    return np.stack([np.interp(steps, along, points[:, axis]) for axis in (0, 1)], axis=-1)


def _buffered(lines):
    """GEOS divides by zero, without harm, at the miter of a line that folds back onto itself."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return shapely.buffer(shapely.linestrings(np.stack(lines)), BUFFER, cap_style="flat", join_style="mitre")


def _area(right, recorded):
    """Area under the precision envelope over recall; right [n] in order of falling score."""
    hits = np.cumsum(right)
    recall = np.concatenate([[0.0], hits / recorded, [1.0]])
    precision = np.concatenate([[0.0], hits / np.arange(1, len(right) + 1), [0.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope[1:]))
