"""Average precision of map lines by chamfer distance, as VAD and MapTR report it (docs/vad.md#metrics).

Lines are resampled to 100 points. A prediction's error to a recorded line is the mean distance to the nearest point,
averaged over both directions; only lines whose buffers of 2 m touch are compared. Matching is greedy by score, and a
prediction is tested against its nearest line only. AP is the area under the precision envelope.

Axes: n predictions, m recorded lines, P points of a line (may differ between lines), T thresholds. Meters.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import shapely
from jaxtyping import Bool, Float, Shaped
from scipy.spatial.distance import cdist

from dima_jax.constants import MAP_CLASSES
from dima_jax.detections import Lines

CLASSES = MAP_CLASSES
THRESHOLDS = (0.5, 1.0, 1.5)  # meters
SAMPLES = 100
BUFFER = 2.0  # meters on each side
NOT_COMPARED = 100.0  # meters; the error of lines that are too far apart to be compared


class FrameMatches(NamedTuple):
    """One class in one frame: the predictions' scores, which are correct at each threshold, number of recorded lines."""

    scores: Float[np.ndarray, " n"]
    correct: Bool[np.ndarray, "T n"]
    recorded: int


def frame_matches(predicted: Lines, recorded: Lines) -> list[FrameMatches]:
    """Matches of every class of MAP_CLASSES in one frame."""
    return [
        _class_matches(_of_class(predicted, label), _of_class(recorded, label)) for label in range(len(MAP_CLASSES))
    ]


def summarize(frames: Sequence[list[FrameMatches]]) -> dict[str, float]:
    """{"AP_<class>": mean over thresholds, "mAP": mean over the classes present}; NaN where nothing is recorded."""
    table = average_precisions(frames)
    row = {f"AP_{name}": float(table[:, i].mean()) for i, name in enumerate(MAP_CLASSES)}
    present = ~np.isnan(table).any(0)
    return row | {"mAP": float(table[:, present].mean()) if present.any() else float("nan")}


def average_precisions(frames: Sequence[list[FrameMatches]]) -> Float[np.ndarray, "T classes"]:
    """AP over all frames; NaN for a class that is nowhere recorded."""
    table = np.full((len(THRESHOLDS), len(MAP_CLASSES)), np.nan)
    for label in range(len(MAP_CLASSES)):
        matches = [frame[label] for frame in frames]
        recorded = sum(m.recorded for m in matches)
        if recorded:
            order = np.argsort(-np.concatenate([m.scores for m in matches]), kind="stable")
            correct = np.concatenate([m.correct for m in matches], axis=1)[:, order]
            hits = np.cumsum(correct, axis=1)
            table[:, label] = [area(row / recorded, row / np.arange(1, len(row) + 1)) for row in hits]
    return table


def _of_class(lines: Lines, label: int) -> Lines:
    chosen = np.flatnonzero(lines.labels == label)
    return Lines([lines.points[i] for i in chosen], lines.labels[chosen], lines.scores[chosen])


def _class_matches(predicted: Lines, recorded: Lines) -> FrameMatches:
    correct = np.zeros((len(THRESHOLDS), len(predicted.points)), bool)
    if predicted.points and recorded.points:
        errors = _errors(predicted.points, recorded.points)
        best, nearest = errors.argmin(1), errors.min(1)
        for row, threshold in zip(correct, THRESHOLDS, strict=True):
            taken = set()
            for i in np.argsort(-predicted.scores, kind="stable"):
                if nearest[i] <= threshold and best[i] not in taken:
                    taken.add(best[i])
                    row[i] = True
    return FrameMatches(predicted.scores, correct, len(recorded.points))


def _errors(
    predicted: Sequence[Float[np.ndarray, "_ 2"]], recorded: Sequence[Float[np.ndarray, "_ 2"]]
) -> Float[np.ndarray, "n m"]:
    """Chamfer error in meters; NOT_COMPARED where it is above all thresholds or the buffered lines do not touch.

    The error is at least the gap between bounding boxes, which spares most pairs; buffers cost most, so they come last.
    """
    lines, truth = (np.stack([resample(points, SAMPLES) for points in group]) for group in (predicted, recorded))
    errors = np.full((len(lines), len(truth)), NOT_COMPARED)
    for i, j in np.argwhere(_box_gaps(lines, truth) <= THRESHOLDS[-1]):
        distances = cdist(lines[i], truth[j])
        errors[i, j] = (distances.min(0).mean() + distances.min(1).mean()) / 2
    errors[errors > THRESHOLDS[-1]] = NOT_COMPARED
    near, met = (np.flatnonzero((errors < NOT_COMPARED).any(axis)) for axis in (1, 0))
    touch = shapely.intersects(_buffered(lines[near])[:, None], _buffered(truth[met])[None])
    errors[np.ix_(near, met)] = np.where(touch, errors[np.ix_(near, met)], NOT_COMPARED)
    return errors


def _box_gaps(lines: Float[np.ndarray, "n P 2"], others: Float[np.ndarray, "m P 2"]) -> Float[np.ndarray, "n m"]:
    """Meters between the bounding boxes of each pair; 0 where they overlap."""
    apart = np.maximum(
        lines.min(1)[:, None] - others.max(1)[None],
        others.min(1)[None] - lines.max(1)[:, None],
    )
    return np.linalg.norm(np.maximum(apart, 0), axis=-1)


def resample(points: Float[np.ndarray, "P 2"], count: int) -> Float[np.ndarray, "count 2"]:
    """A line by so many vertices at equal steps along its length, both ends among them."""
    points = np.asarray(points, np.float64)
    along = np.concatenate([[0.0], np.linalg.norm(np.diff(points, axis=0), axis=-1).cumsum()])
    steps = np.linspace(0, along[-1], count)
    return np.stack([np.interp(steps, along, points[:, axis]) for axis in (0, 1)], axis=-1)


def _buffered(lines: Float[np.ndarray, "n P 2"]) -> Shaped[np.ndarray, " n"]:
    """The polygons around the lines, corners mitred.

    Where a line turns back onto itself the point of the mitre lies at infinity: GEOS divides by zero, without harm, or
    refuses the line. Such a line's corners are beveled, as GEOS does with mitres that are too long; all others stay.
    """
    geometries = shapely.linestrings(lines)
    try:
        return _polygons(geometries, "mitre")
    except shapely.errors.GEOSException:
        return np.array([_polygon(line) for line in geometries], object)


def _polygon(line: shapely.LineString) -> shapely.Geometry:
    try:
        return _polygons(line, "mitre")
    except shapely.errors.GEOSException:
        return _polygons(line, "bevel")


def _polygons(
    lines: Shaped[np.ndarray, " n"] | shapely.LineString, join_style: str
) -> Shaped[np.ndarray, " n"] | shapely.Geometry:
    with np.errstate(divide="ignore", invalid="ignore"):
        return shapely.buffer(lines, BUFFER, cap_style="flat", join_style=join_style)


def area(recall: Float[np.ndarray, " n"], precision: Float[np.ndarray, " n"]) -> float:
    """Area under the envelope of precision over recall, of a curve in order of descending score."""
    recall = np.concatenate([[0.0], recall, [1.0]])
    precision = np.concatenate([[0.0], precision, [0.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope[1:]))
