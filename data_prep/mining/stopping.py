"""Stops after which the ego drives on."""

import numpy as np
from jaxtyping import Bool

from data_prep.mining.spans import mask_of, spans
from data_prep.mining.tracks import Tracks

STANDING = 0.2  # m/s: slower is standing; recorded poses of a car that stands differ by a few centimeters
SHORTEST_STOP = 1.5  # s: a shorter one is a car that hesitates
DRIVING = 2.5  # m/s at some key frame before and after: faster than closing up in a queue
HORIZON = 3.0  # s before the ego starts: what a planner plans from then on holds the start


def stop_and_resume(tracks: Tracks) -> Bool[np.ndarray, " T"]:
    """The ego drove forward, stood for SHORTEST_STOP, and drives on forward.

    Tagged: from HORIZON before it starts, if it stands by then, until it is DRIVING.
    """
    found = []
    for start, end in standing(tracks):
        came = tracks.speed[: start + 1].max() > DRIVING
        goes = np.flatnonzero(tracks.speed[end:] > DRIVING)
        reverses = tracks.steps[max(start - 1, 0) : end + 1].min(initial=0.0) < -STANDING / 2
        if came and len(goes) and not reverses and standing_time(tracks, start, end) >= SHORTEST_STOP:
            first = int(np.searchsorted(tracks.time, tracks.time[end] - HORIZON))
            found.append((max(first, start), end + int(goes[0]) + 1))
    return mask_of(len(tracks), found)


def standing(tracks: Tracks) -> list[tuple[int, int]]:
    """(first, last) key frame of each run in which the ego's speed, or half that of a step next to it, is below STANDING."""
    steps = np.abs(np.pad(tracks.steps, 1, constant_values=np.inf))
    slow = (np.abs(tracks.speed) < STANDING) | (np.minimum(steps[:-1], steps[1:]) < STANDING / 2)
    return [(start, end - 1) for start, end in spans(slow)]


def standing_time(tracks: Tracks, start: int, end: int) -> float:
    """Seconds that the ego stands around the key frames `start` to `end`, with its part of the steps before and after."""
    before = _part(tracks, start - 1, start - 1) if start else 0.0
    after = _part(tracks, end, end + 1) if end < len(tracks.steps) else 0.0
    return float(tracks.time[end] - tracks.time[start]) + before + after


def _part(tracks: Tracks, step: int, frame: int) -> float:
    """Seconds of a step below STANDING, if the ego brakes evenly from its speed at `frame`, one end of the step, to rest.

    A car that comes from speed v to rest in d meters is faster than u for 2 d (v - u) / v^2 seconds.
    """
    time, speed = float(tracks.time[step + 1] - tracks.time[step]), abs(tracks.speed[frame])
    meters = abs(tracks.steps[step]) * time
    return max(time - 2 * meters * max(speed - STANDING, 0.0) / max(speed, STANDING) ** 2, 0.0)
