"""Whom progress is measured against: a driver on the route's centerline that keeps its distance (IDM).

NAVSIM has PDM-Closed for this, the best of fifteen such drivers, which needs speed limits and routes. nuScenes has
neither: the centerline is that of the lanes that the recorded ego took, and the speed that is aimed at is the highest that
it had from the frame to the plan's end. Meters, seconds.
"""

import numpy as np
import shapely
from jaxtyping import Float

from dima_jax.constants import EGO_LENGTH, EGO_WIDTH
from dima_jax.metrics import polygons
from dima_jax.metrics.pdms.tracker import DT, EVERY, SAMPLES
from dima_jax.metrics.pdms.tracks import Tracks

# of the intelligent driver model, as in PDM-Closed
GAP, HEADWAY, ACCELERATION, DECELERATION, EXPONENT = 1.0, 1.5, 1.5, 3.0, 10
SLOWEST = 0.1  # m/s that is aimed at
NEAR = 10.0  # meters from the centerline to a box's center: others are not in the way
ASIDE = EGO_WIDTH / 2  # meters from the centerline that are in the way


def plan(
    line: shapely.LineString,
    tracks: Tracks,
    center: Float[np.ndarray, " 2"],
    center_ahead: float,
    speed: float,
    aim: float,
) -> Float[np.ndarray, "6 3"]:
    """x, y, heading of the rear axle after each 0.5 s. line: the centerline; all in one frame.

    center: of the ego's box now. speed: now, aim: that is aimed at (m/s).
    """
    place = float(shapely.line_locate_point(line, shapely.Point(center)))
    seen = in_the_way(line, tracks)
    speed, aim, places = max(speed, 0.0), max(aim, SLOWEST), []
    for sample in range(SAMPLES - 1):
        step, since = divmod(sample, EVERY)
        low, high, along = (one[:, step] for one in seen)
        low, high = low + along * since * DT, high + along * since * DT
        leaders = np.flatnonzero(high > place)  # NaN is none
        wish = 0.0
        if len(leaders):
            leader = leaders[np.argmin(low[leaders])]
            gap = max(low[leader] - place - EGO_LENGTH / 2, GAP)
            closing = speed * (speed - along[leader]) / (2 * np.sqrt(ACCELERATION * DECELERATION))
            wish = ((GAP + speed * HEADWAY + closing) / gap) ** 2
        change = ACCELERATION * (1 - min(speed / aim, 10.0) ** EXPONENT - wish)
        place += DT * speed
        speed = max(speed + DT * float(np.clip(change, -DECELERATION, ACCELERATION)), 0.0)
        if since == EVERY - 1:
            places.append(place)
    rear = np.array(places) - center_ahead
    points = shapely.get_coordinates(shapely.line_interpolate_point(line, np.maximum(rear, 0)))
    return np.column_stack([points, _direction(line, rear)])


def in_the_way(
    line: shapely.LineString, tracks: Tracks
) -> tuple[Float[np.ndarray, "K 7"], Float[np.ndarray, "K 7"], Float[np.ndarray, "K 7"]]:
    """(nearest and farthest meters along the line, m/s along it) at each key frame of the tracks that are on it.

    NaN where one is not on it.
    """
    boxes, speed = tracks.boxes[:, ::EVERY], tracks.speed[:, ::EVERY]
    there = tracks.present[:, ::EVERY]
    near = there & (shapely.distance(line, shapely.points(np.nan_to_num(boxes[..., :2]))) < NEAR)
    kept = near.any(axis=1)
    boxes, speed, near = boxes[kept], speed[kept], near[kept]
    low, high, along = (np.full(near.shape, np.nan) for _ in range(3))
    corners = polygons.corners(boxes[near])
    points = shapely.points(corners)
    places, away = shapely.line_locate_point(line, points), shapely.distance(line, points)
    on_line = (away < ASIDE).any(axis=1) | shapely.intersects(shapely.polygons(corners), line)
    low[near] = np.where(on_line, places.min(axis=1), np.nan)
    high[near] = np.where(on_line, places.max(axis=1), np.nan)
    along[near] = speed[near] * np.cos(boxes[near][:, 2] - _direction(line, places.mean(axis=1)))
    return low, high, along


def _direction(line: shapely.LineString, places: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The line's heading at meters along it."""
    ends = [
        shapely.get_coordinates(shapely.line_interpolate_point(line, np.maximum(places + d, 0))) for d in (-0.5, 0.5)
    ]
    step = ends[1] - ends[0]
    return np.arctan2(step[:, 1], step[:, 0])
