"""95 % intervals of an evaluation's numbers by resampling whole scenes with replacement.

Frames of a scene resemble each other, so scenes are what is drawn. Every resample is a number of draws for each scene;
a mean weights each frame with it, and average precision each prediction and each recorded object. Two planners are
compared on the same draws: the interval is that of their difference. Percentiles of the resamples, fixed seed.

An interval says how far the numbers depend on which scenes were driven; of training's randomness it knows nothing.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from dima_jax.constants import MAP_CLASSES
from dima_jax.metrics import detection, map_ap, perception, planning
from dima_jax.scoring.statistics import RESAMPLES, draws

AP_RESAMPLES = 500
PERCENTILES = (2.5, 97.5)
COLUMNS = (*(f"{seconds}s" for seconds in planning.HORIZONS), "avg")  # of a planner's L2
HEADLINES = {"detection": ("car", "pedestrian"), "map": MAP_CLASSES}  # classes whose AP has an interval


def mean_intervals(
    values: Float[np.ndarray, "frames columns"], scenes: Sequence[str]
) -> Float[np.ndarray, "2 columns"] | None:
    """Low and high end for the mean over frames of each column; None for fewer than two scenes."""
    names, scene = np.unique(np.asarray(scenes, str), return_inverse=True)
    if len(names) < 2:
        return None
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, scene, values)
    weights = draws(len(names), RESAMPLES)
    means = weights @ sums / (weights @ np.bincount(scene))[:, None]
    return np.percentile(means, PERCENTILES, axis=0)


def planning_intervals(
    scores: Mapping[str, Sequence[planning.FrameScore]], scenes: Sequence[str], subset: Sequence[bool] | np.ndarray
) -> dict:
    """Of the L2 (protocol stp3-vad) of every planner and of the student's difference to every other.

    scores: of each frame, by planner; scenes: of each frame; subset: mask of the frames to use. Returns
    {"scenes": number, "l2_avg": {planner: [low, high]}, "student_minus": {planner: {column: {"difference", "interval"}}}}
    in meters; with fewer than two scenes every interval is None.
    """
    chosen = [i for i, score in enumerate(scores["student"]) if score.counted and subset[i]]
    where = [scenes[i] for i in chosen]
    l2 = {name: l2_columns([rows[i].l2 for i in chosen]) for name, rows in scores.items()}
    others = [name for name in l2 if name != "student"]
    minus = {name: l2["student"] - l2[name] for name in others}
    table = [values[:, -1:] for values in l2.values()] + list(minus.values())
    bounds = mean_intervals(np.concatenate(table, axis=1), where)
    ends = [None] * (len(l2) + len(others) * len(COLUMNS)) if bounds is None else bounds.T.tolist()
    average, rest = dict(zip(l2, ends, strict=False)), iter(ends[len(l2) :])
    return {
        "scenes": len(set(where)),
        "l2_avg": average,
        "student_minus": {
            name: {
                column: {"difference": float(values[:, i].mean()) if chosen else None, "interval": next(rest)}
                for i, column in enumerate(COLUMNS)
            }
            for name, values in minus.items()
        },
    }


def l2_columns(errors: Sequence[Float[np.ndarray, " F"]]) -> Float[np.ndarray, "frames 4"]:
    """Of the error of each step in meters: the mean up to 1, 2 and 3 s and their mean, as stp3-vad reduces them."""
    if not len(errors):
        return np.zeros((0, len(COLUMNS)))
    steps = np.array(errors, np.float64)
    upto = [steps[:, : seconds * planning.STEPS_PER_SECOND].mean(1) for seconds in planning.HORIZONS]
    return np.stack([*upto, np.mean(upto, axis=0)], axis=1)


def perception_intervals(scores: Sequence[perception.FrameScore], scenes: Sequence[str]) -> dict:
    """{"detection": {"AP_car": [low, high] or None, ...}, "map": {...}} of HEADLINES."""
    result = {}
    for task, metric in (("detection", detection), ("map", map_ap)):
        result[task] = {
            f"AP_{name}": ap_interval(
                [getattr(score, task)[metric.CLASSES.index(name)] for score in scores], scenes, metric.area
            )
            for name in HEADLINES[task]
        }
    return result


def ap_interval(matches: Sequence, scenes: Sequence[str], area: Callable) -> list[float] | None:
    """Low and high end for the AP of a class; None if fewer than two scenes hold any.

    matches: `FrameMatches` of each frame; area: the metric's, of recall and precision. Resamples without any object of
    the class are left out.
    """
    names, scene = np.unique(np.asarray(scenes, str), return_inverse=True)
    recorded = np.bincount(scene, weights=[m.recorded for m in matches])
    if (recorded > 0).sum() < 2:
        return None
    weights = draws(len(names), AP_RESAMPLES)
    values = weighted_aps(matches, scene, weights[weights @ recorded > 0], area)
    return np.percentile(values, PERCENTILES).tolist()


def weighted_aps(
    matches: Sequence, scene: Int[np.ndarray, " frames"], weights: Int[np.ndarray, "resamples scenes"], area: Callable
) -> Float[np.ndarray, " resamples"]:
    """AP of a class, mean over thresholds, for each row of weights of the scenes; all 1 gives the metric's own.

    Only the points of the curve around correct predictions are computed: between them precision falls and recall stays.
    """
    recorded = weights @ np.bincount(scene, weights=[m.recorded for m in matches], minlength=weights.shape[1])
    order = np.argsort(-np.concatenate([m.scores for m in matches]), kind="stable")
    scene_of = np.repeat(scene, [len(m.scores) for m in matches])[order]
    curves = []
    for correct in np.concatenate([m.correct for m in matches], axis=1)[:, order]:
        hits = np.flatnonzero(correct)
        points = np.unique(np.concatenate([np.maximum(hits - 1, 0), hits, [max(len(order) - 1, 0)]]))
        curves.append((hits, points, np.searchsorted(hits, points, side="right")))
    result = np.zeros((len(weights), len(curves)))
    for row, weight, count in zip(result, weights, recorded, strict=True):
        total = np.cumsum(weight[scene_of])
        for column, (hits, points, passed) in enumerate(curves):
            if len(hits) and total[-1]:
                found = np.concatenate([[0], np.cumsum(weight[scene_of[hits]])])[passed]
                drawn = total[points] > 0
                row[column] = area(found[drawn] / count, found[drawn] / total[points][drawn])
    return result.mean(1)
