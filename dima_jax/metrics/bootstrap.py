"""95 % intervals of average precision by resampling whole scenes with replacement; those of means: `scoring.statistics`.

Frames of a scene resemble each other, so scenes are what is drawn. Every resample is a number of draws for each scene,
with which each prediction and each recorded object counts. Percentiles of the resamples, fixed seed.

An interval says how far the numbers depend on which scenes were driven; of training's randomness it knows nothing.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

from dima_jax.constants import MAP_CLASSES
from dima_jax.metrics import detection, map_ap, perception
from dima_jax.scoring.statistics import draws

AP_RESAMPLES = 500
PERCENTILES = (2.5, 97.5)
HEADLINES = {"detection": ("car", "pedestrian"), "map": MAP_CLASSES}  # classes whose AP has an interval


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
