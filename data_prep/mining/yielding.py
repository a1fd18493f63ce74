"""The ego slows down for somebody who crosses its path, and drives on."""

import numpy as np
import shapely
from jaxtyping import Bool, Int

from data_prep.mining.spans import mask_of, spans
from data_prep.mining.tracks import Tracks, wrap

SLOW = 2.0  # m/s: a driver who lets somebody pass need not stop, and may roll on
CAME_FASTER = 3.0  # m/s at some key frame of CAME_TIME before
CAME_TIME = 8.0  # s
DRIVES_ON = 7.0  # meters driven after slowing down: farther than closing up in a queue
PERSON_AHEAD = (2.0, 13.0)  # meters from the ego's center along its path: in front of it, and within the junction
PERSON_ASIDE = 2.5  # meters beside the path: half a lane and a step
WALKING = 0.4  # m/s: slower is somebody who waits
CROSSING_AHEAD = 20.0  # meters to where the other vehicle crosses: the far side of a junction
CROSSING = np.radians(45)  # rad between the two headings, at some key frame of TURNING_TIME; less is following
TURNING_TIME = 3.0  # s until the vehicle is on the ego's path: across it, or from a side street into it
SETS_OFF = 1.0  # s after the ego is slow: it sets off before the vehicle is out of the way
DRIVING = 1.0  # m/s of the vehicle that crosses
LEADER_AHEAD, LEADER_ASIDE = 12.0, 1.6  # meters along and beside the path: a vehicle there is why the ego is slow
LIGHT_AHEAD = 12.0  # meters along the path: a stop line there is why it is slow, if its light is not green


def yield_to_pedestrian(tracks: Tracks) -> Bool[np.ndarray, " T"]:
    """The ego is slow while somebody walks on the road on its further path. Tagged: while it is slow."""
    return mask_of(len(tracks), [run for run in slow_runs(tracks) if any(_walks_ahead(tracks, t) for t in range(*run))])


def yield_to_vehicle(tracks: Tracks) -> Bool[np.ndarray, " T"]:
    """The ego is slow, and a vehicle drives across its further path, or turns into it, then or SETS_OFF later.

    Tagged: while it is slow.
    """
    found = []
    for start, end in slow_runs(tracks):
        last = int(np.searchsorted(tracks.time, tracks.time[end - 1] + SETS_OFF, side="right"))
        if any(_drives_across(tracks, t) for t in range(start, last)):
            found.append((start, end))
    return mask_of(len(tracks), found)


def slow_runs(tracks: Tracks) -> list[tuple[int, int]]:
    """The runs [start, end) in which the ego is SLOW, and the key frame before, when it came faster and drives on."""
    speed, found = np.abs(tracks.speed), []
    for start, end in spans(speed < SLOW):
        before = (tracks.time <= tracks.time[start]) & (tracks.time >= tracks.time[start] - CAME_TIME)
        drives_on = tracks.traveled[-1] - tracks.traveled[start] >= DRIVES_ON
        if drives_on and end < len(tracks) and speed[before].max() > CAME_FASTER:
            found.append((max(start - 1, 0), end))
    return found


def _walks_ahead(tracks: Tracks, frame: int) -> bool:
    along, left = tracks.ahead(frame, PERSON_AHEAD[1])
    walks = tracks.agents.people & (tracks.agent_moved[:, frame] > WALKING)
    there = walks & (along > PERSON_AHEAD[0]) & (np.abs(left) < PERSON_ASIDE)
    if tracks.roads is not None:
        there[there] = tracks.roads.ground.on_road(tracks.agents.center[there, frame])
    return bool(there.any()) and not _is_held(tracks, frame)


def _drives_across(tracks: Tracks, frame: int) -> bool:
    way, heading = tracks.way(frame, CROSSING_AHEAD)
    steps = tracks.agents.center[:, frame : frame + 2]
    rows = tracks.agents.vehicles & (tracks.agent_moved[:, frame] > DRIVING) & ~np.isnan(steps).any(axis=(1, 2))
    if len(way) < 2 or steps.shape[1] < 2 or not rows.any():
        return False
    where = shapely.centroid(shapely.intersection(shapely.linestrings(steps[rows]), shapely.LineString(way)))
    meet = ~shapely.is_empty(where)
    points = np.stack([shapely.get_x(where[meet]), shapely.get_y(where[meet])], axis=-1)
    there = heading[np.argmin(np.linalg.norm(points[:, None] - way, axis=-1), axis=1)]
    since = int(np.searchsorted(tracks.time, tracks.time[frame] - TURNING_TIME))
    angle = np.abs(wrap(tracks.agents.yaw[rows][meet, since : frame + 1] - there[:, None]))
    across = np.flatnonzero(rows)[meet][(angle > CROSSING).any(axis=1)]
    return len(across) > 0 and not _is_held(tracks, frame, across)


def _is_held(tracks: Tracks, frame: int, others: Int[np.ndarray, " n"] | tuple[()] = ()) -> bool:
    """Whether a vehicle ahead, or a light, is why the ego is slow. others: rows of agents that are not meant."""
    along, left = tracks.ahead(frame, LEADER_AHEAD)
    leads = tracks.agents.vehicles & (along > 0) & (np.abs(left) < LEADER_ASIDE)
    if np.delete(leads, others).any():
        return True
    return tracks.roads is not None and tracks.roads.is_closed(frame, tracks.way(frame, LIGHT_AHEAD)[0])
