"""No at-fault collision (NC), time to collision (TTC) and traffic lights (TLC) of B drives in one frame.

Boxes that touch collide. A track counts until its first collision that is not the ego's fault; then it is ignored, and
so is one whose box the ego already touches where the frame begins. Ego frame; meters, seconds, radians, m/s.
"""

from typing import NamedTuple

import numpy as np
import shapely
from jaxtyping import Bool, Float, Int

from dima_jax.metrics import polygons
from dima_jax.metrics.pdms.tracker import DT, EVERY, SAMPLES, STEPS
from dima_jax.metrics.pdms.tracks import Tracks

STOPPED = 0.05  # m/s, of ego or track
NOT_MOVING = 0.005  # m/s, of an ego that no longer can run into anything
BEHIND, AHEAD = np.radians(150.0), np.radians(30.0)  # from the ego's heading to the track, seen from the rear axle
LOOK_AHEAD = (0, 3, 6, 9)  # samples
FROM = SAMPLES - max(LOOK_AHEAD)  # samples at which the time to collision is asked for
OVERSHOT = 1.0  # meters of the front beyond a stop line
AGENT, OBJECT = 0.0, 0.5  # what a collision at fault leaves of NC


class Ego(NamedTuple):
    """B drives at T = 31 samples. boxes: x, y, heading, length, width; rear: x, y of the rear axle.

    across: in several lanes, or a corner off the road. at_crossing: the rear axle is in an intersection.
    """

    boxes: Float[np.ndarray, "B T 5"]
    rear: Float[np.ndarray, "B T 2"]
    speed: Float[np.ndarray, "B T"]
    across: Bool[np.ndarray, "B T"]
    at_crossing: Bool[np.ndarray, "B T"]


class Collisions(NamedTuple):
    """nc: 0, 0.5 or 1. hit: row of the truth's agents that is struck at fault up to each key frame since the last, -1 =
    none. touched: any box is touched there, at fault or not."""

    nc: Float[np.ndarray, " B"]
    hit: Int[np.ndarray, "B 6"]
    touched: Bool[np.ndarray, "B 6"]


def no_collision(ego: Ego, tracks: Tracks) -> Collisions:
    """See `docs/scores/pdms.md`: who is at fault."""
    batch = len(ego.boxes)
    nc, hit = np.ones(batch), np.full((batch, STEPS), -1)
    touched = np.zeros((batch, STEPS), bool)
    ignored: list[set[int]] = [set() for _ in range(batch)]
    for drive, sample, track in _met(ego.boxes, tracks, np.arange(SAMPLES)):
        step = max(sample - 1, 0) // EVERY
        touched[drive, step] |= sample > 0
        if sample == 0:
            ignored[drive].add(track)
        elif track not in ignored[drive]:
            if _at_fault(ego, tracks, drive, sample, track):
                nc[drive] = min(nc[drive], AGENT if tracks.is_agent[track] else OBJECT)
                hit[drive, step] = max(hit[drive, step], _row(tracks, track, step))
            else:
                ignored[drive].add(track)
    return Collisions(nc, hit, touched)


def time_to_collision(ego: Ego, tracks: Tracks) -> Float[np.ndarray, " B"]:
    """1 where the ego, going on as it goes for up to 0.9 s at any sample, meets nobody that it should have minded."""
    samples, ahead = (one.ravel() for one in np.meshgrid(np.arange(FROM), LOOK_AHEAD, indexing="ij"))
    boxes = ego.boxes[:, samples].copy()
    move = (ego.speed[:, samples] * ahead * DT)[..., None]
    boxes[..., :2] += move * np.stack([np.cos(boxes[..., 2]), np.sin(boxes[..., 2])], axis=-1)
    result = np.ones(len(boxes))
    ignored: list[set[int]] = [set() for _ in boxes]
    for drive, _, track in _met(ego.boxes[:, :1], tracks, np.zeros(1, int)):
        ignored[drive].add(track)
    for drive, case, track in _met(boxes, tracks, samples + ahead):
        sample, then = int(samples[case]), int(samples[case] + ahead[case])
        if track in ignored[drive] or abs(ego.speed[drive, sample]) < NOT_MOVING:
            continue
        angle = _angle(ego, tracks, drive, sample, track, then)
        minds = ego.across[drive, sample] or ego.at_crossing[drive, sample]
        if angle < AHEAD or (minds and angle <= BEHIND):
            result[drive] = 0.0
        else:
            ignored[drive].add(track)
    return result


def red_lights(
    boxes: Float[np.ndarray, "B T 5"], stop_lines: list[shapely.Geometry], red: Bool[np.ndarray, "L T"]
) -> Float[np.ndarray, " B"]:
    """0 for a drive that passes a stop line while its light is red, wherever it was when the light turned red.

    Passed is a line that is more than OVERSHOT behind the front: whoever waits on the line, or has stopped a
    little late as the tracker does, has not passed it. stop_lines: L polygons in the ego frame. red: at each sample.
    """
    result = np.ones(len(boxes))
    boxes = boxes.copy()
    boxes[..., :2] -= OVERSHOT / 2 * np.stack([np.cos(boxes[..., 2]), np.sin(boxes[..., 2])], axis=-1)
    boxes[..., 3] -= OVERSHOT
    corners = polygons.corners(boxes.reshape(-1, 5))
    shapes = shapely.polygons(corners).reshape(boxes.shape[:2])
    fronts = shapely.linestrings(corners[:, :2]).reshape(boxes.shape[:2])
    for line, is_red in zip(stop_lines, red, strict=True):
        passed = shapely.intersects(shapes, line) & ~shapely.intersects(fronts, line)
        passes = passed[:, 1:] & ~passed[:, :-1] & is_red[1:]
        result[passes.any(axis=1)] = 0.0
    return result


def _met(
    boxes: Float[np.ndarray, "B n 5"], tracks: Tracks, samples: Int[np.ndarray, " n"]
) -> list[tuple[int, int, int]]:
    """(drive, place in `samples`, track) of every meeting, in this order. samples: when each of a drive's boxes is there."""
    others = tracks.boxes[:, samples]  # [A, n, 5]
    reach = np.hypot(boxes[0, 0, 3], boxes[0, 0, 4]) / 2 + np.hypot(others[..., 3], others[..., 4]) / 2
    between = boxes[:, :, None, :2] - np.swapaxes(others[..., :2], 0, 1)
    with np.errstate(invalid="ignore"):  # a track that is not there is NaN away
        near = (between**2).sum(axis=-1) <= (reach.T + polygons.EXACT_BELOW) ** 2
    drive, place, track = np.nonzero(near)
    meets = polygons.meet(boxes[drive, place], others[track, place])
    return list(zip(drive[meets].tolist(), place[meets].tolist(), track[meets].tolist(), strict=True))


def _at_fault(ego: Ego, tracks: Tracks, drive: int, sample: int, track: int) -> bool:
    if ego.speed[drive, sample] <= STOPPED:
        return False
    if not tracks.is_agent[track] or tracks.speed[track, sample] <= STOPPED:
        return True
    if _angle(ego, tracks, drive, sample, track, sample) > BEHIND:
        return False
    corners = polygons.corners(np.stack([ego.boxes[drive, sample], tracks.boxes[track, sample]]))
    bumper = shapely.LineString(corners[0, :2])
    return bool(shapely.intersects(bumper, shapely.Polygon(corners[1])) or ego.across[drive, sample])


def _angle(ego: Ego, tracks: Tracks, drive: int, sample: int, track: int, then: int) -> float:
    """From the ego's heading to the track's place at sample `then`: 0 = ahead, pi = behind."""
    x, y = tracks.boxes[track, then, :2] - ego.rear[drive, sample]
    return abs((np.arctan2(y, x) - ego.boxes[drive, sample, 2] + np.pi) % (2 * np.pi) - np.pi)


def _row(tracks: Tracks, track: int, step: int) -> int:
    """The annotation at the end of a step (from 0), or else the nearest one."""
    there = np.flatnonzero(tracks.rows[track] >= 0)
    return int(tracks.rows[track, there[np.argmin(np.abs(there - (step + 1)))]])
