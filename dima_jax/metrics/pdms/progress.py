"""Ego progress (EP) and lane keeping (LK): how far along the route's centerline, and how near to it.

B drives; meters, samples of 0.1 s.
"""

import numpy as np
import shapely
from jaxtyping import Bool, Float

from dima_jax.metrics.pdms.tracker import DT

FEWEST_METERS = 5.0  # where nobody comes farther, progress is not asked for
ASIDE = 0.5  # meters from the centerline
LONGEST = round(2.0 / DT)  # samples farther away than that, one after another


def progress(line: shapely.LineString, first: Float[np.ndarray, "B 2"], last: Float[np.ndarray, "B 2"]) -> np.ndarray:
    """[B] meters along a line from the nearest place of one point to that of another; not less than 0."""
    with np.errstate(invalid="ignore"):  # GEOS divides by the length of a piece before it looks at it
        begin, end = (shapely.line_locate_point(line, shapely.points(points)) for points in (first, last))
    return np.maximum(end - begin, 0.0)


def ego_progress(
    meters: Float[np.ndarray, " B"],
    allowed: Float[np.ndarray, " B"],
    reference: float,
    *,
    counts_allowed: bool,
) -> Float[np.ndarray, " B"]:
    """Progress as a share of the best of plan and reference, each times the product of its multipliers.

    allowed: of each plan; reference: meters, already times its own. counts_allowed: PDMS (v1.1) multiplies the plan's own
    progress by them too, EPDMS (v2) does not.
    """
    best = np.maximum(meters * allowed, reference)
    own = meters * allowed if counts_allowed else meters
    short = np.where(allowed == 0, 0.0, 1.0) if counts_allowed else np.ones(len(meters))
    return np.where(best > FEWEST_METERS, np.clip(own / np.maximum(best, FEWEST_METERS), 0.0, 1.0), short)


def lane_keeping(
    line: shapely.LineString, centers: Float[np.ndarray, "B T 2"], crossing: Bool[np.ndarray, "B T"]
) -> Float[np.ndarray, " B"]:
    """0 for a drive that stays off the centerline for 2 s. Samples inside of intersections neither count nor end a count."""
    points = shapely.points(centers.reshape(-1, 2))
    off = (shapely.distance(line, points) > ASIDE).reshape(centers.shape[:2])
    count, longest = np.zeros(len(centers), int), np.zeros(len(centers), int)
    for sample in range(centers.shape[1]):
        counted = np.where(off[:, sample], count + 1, 0)
        count = np.where(crossing[:, sample], count, counted)
        longest = np.maximum(longest, count)
    return np.where(longest >= LONGEST, 0.0, 1.0)
