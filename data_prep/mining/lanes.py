"""Vehicles in and out of the ego's lane: overtaking, cutting in."""

import numpy as np
from jaxtyping import Bool

from data_prep.mining.spans import mask_of, spans
from data_prep.mining.tracks import Tracks, wrap

SAME_WAY = np.radians(45)  # rad between the headings of the ego and of a vehicle that drives or stands in its direction
BESIDE = (1.5, 5.0)  # meters between the centers across the lane when the ego passes: in the neighboring lane
AGAINST_TIME = 1.0  # s in a lane of the other direction, at least: shorter is a swerve around an open door
AROUND_TIME = 1.0  # s before and after those, in which a vehicle counts as passed
# Where no map says which lane the ego is in, the vehicle's axis is the lane.
IN_LANE = 1.5  # meters beside the axis: lanes are 3 to 4 m wide
IN_LANE_AHEAD = 60.0  # meters along it: a car at 50 km/h pulls out 45 m before; farther, roads bend
IN_LANE_ANGLE = np.radians(25)  # rad: a lane change within 8 m
OVERTAKING_TIME = 15.0  # s from the lane to the lane, at most

CUT_IN_FROM = (1.75, 6.0)  # meters beside the ego's path: in a neighboring lane
CUT_IN_TO = 1.0  # meters beside it: in the ego's lane
CUT_IN_AHEAD = 25.0  # meters between the centers when it is in: about two seconds at 40 km/h
CUT_IN_TIME = 3.0  # s from the one to the other, at most
CUT_IN_STAYS = 1.0  # s that it stays in
CUT_IN_SPEED = 2.0  # m/s of both, at least: slower is a queue, or a car that leaves its parking space
KEEPS_LANE = np.radians(3)  # rad from an even change of heading; in a lane change the ego's differs by 6 and more


def overtake(tracks: Tracks) -> Bool[np.ndarray, " T"]:
    """The ego passes a vehicle of its direction from a lane of the other direction, AGAINST_TIME or longer.

    Without a map: it is in the vehicle's lane before and after. Tagged: from lane to lane.
    """
    offset = tracks.center - tracks.agents.center
    cos, sin = np.cos(tracks.agents.yaw), np.sin(tracks.agents.yaw)
    along, left = offset[..., 0] * cos + offset[..., 1] * sin, offset[..., 1] * cos - offset[..., 0] * sin
    passes = _passes(tracks, along, np.abs(left))
    if tracks.roads is None:
        return mask_of(len(tracks), _from_lane_to_lane(tracks, passes, along, left))
    return mask_of(len(tracks), _through_other_direction(tracks, passes))


def _passes(tracks: Tracks, along, beside) -> list[tuple[int, int]]:
    """(agent, step) of the vehicles of the ego's direction that it passes BESIDE them."""
    same_way = np.abs(wrap(tracks.agents.yaw - tracks.yaw)) < SAME_WAY
    is_beside = same_way & (beside > BESIDE[0]) & (beside < BESIDE[1]) & tracks.agents.vehicles[:, None]
    passes = (along[:, :-1] < 0) & (along[:, 1:] >= 0) & is_beside[:, :-1] & is_beside[:, 1:]
    return [(row, step) for row, step in np.argwhere(passes).tolist()]


def _through_other_direction(tracks: Tracks, passes) -> list[tuple[int, int]]:
    found, time = [], tracks.time
    for start, end in spans(tracks.roads.ground.against(tracks.center, tracks.yaw)):
        first = int(np.searchsorted(time, time[start] - AROUND_TIME))
        last = int(np.searchsorted(time, time[end - 1] + AROUND_TIME, side="right"))
        if time[end - 1] - time[start] >= AGAINST_TIME and any(first <= step < last for _, step in passes):
            found.append((first, last))
    return found


def _from_lane_to_lane(tracks: Tracks, passes, along, left) -> list[tuple[int, int]]:
    aligned = np.abs(wrap(tracks.agents.yaw - tracks.yaw)) < IN_LANE_ANGLE
    in_lane = aligned & (np.abs(left) < IN_LANE) & (np.abs(along) < IN_LANE_AHEAD)
    found = []
    for row, step in passes:
        before, after = np.flatnonzero(in_lane[row, : step + 1]), np.flatnonzero(in_lane[row, step + 1 :])
        if len(before) and len(after):
            start, end = int(before[-1]), step + 1 + int(after[0])
            if tracks.time[end] - tracks.time[start] <= OVERTAKING_TIME:
                found.append((start, end + 1))
    return found


def cut_in(tracks: Tracks) -> Bool[np.ndarray, " T"]:
    """A vehicle of the ego's direction comes from CUT_IN_FROM beside the ego's further path into it, and stays there,
    while the ego keeps its lane. Tagged: from beside to in.
    """
    places = [tracks.ahead(frame, 2 * CUT_IN_AHEAD) for frame in range(len(tracks))]
    along, beside = np.stack([one for one, _ in places], axis=1), np.abs(np.stack([one for _, one in places], axis=1))
    drives = (tracks.agent_moved > CUT_IN_SPEED) & (tracks.speed > CUT_IN_SPEED) & tracks.agents.vehicles[:, None]
    drives &= np.abs(wrap(tracks.agents.yaw - tracks.yaw)) < SAME_WAY
    outside = drives & (beside > CUT_IN_FROM[0]) & (beside < CUT_IN_FROM[1])
    inside = drives & (beside < CUT_IN_TO) & (along < CUT_IN_AHEAD)
    found = []
    for row in np.flatnonzero(tracks.agents.vehicles).tolist():
        for enters, leaves in spans(inside[row]):
            recent = tracks.time[:enters] >= tracks.time[enters] - CUT_IN_TIME
            before = np.flatnonzero(outside[row, :enters] & recent)
            stays = tracks.time[leaves - 1] - tracks.time[enters] >= CUT_IN_STAYS
            until = tracks.traveled[enters] + along[row, enters]
            if len(before) and stays and _keeps_lane(tracks, int(before[-1]), until):
                found.append((int(before[-1]), enters + 1))
    return mask_of(len(tracks), found)


def _keeps_lane(tracks: Tracks, start: int, until: float) -> bool:
    """Whether the ego's heading changes evenly from a key frame on until it has traveled `until` meters."""
    end = max(int(np.searchsorted(tracks.traveled, until)), start + 1)
    way, yaw = tracks.traveled[start : end + 1], tracks.yaw[start : end + 1]
    return bool(np.abs(yaw - np.interp(way, way[[0, -1]], yaw[[0, -1]])).max() < KEEPS_LANE)
