"""Turns: the targeted set, turns at junctions, turning around."""

import numpy as np
from jaxtyping import Bool, Float

from data_prep.mining.spans import mask_of
from data_prep.mining.tracks import Tracks

TURN = np.radians(60)  # rad: at junctions of town streets a turn is 90 degrees, more or less
TURN_WAY = 35.0  # meters driven: a turn at a junction, not a street that bends
AROUND = np.radians(150)  # rad: the ego faces the other way, with something left for a street that is not straight
U_TURN_WAY = 40.0  # meters driven: half a circle of 12 m radius, not two turns around a block
THREE_POINT_WAY = 60.0  # meters driven, forward and back
REVERSING = -0.3  # m/s over a step: slower backwards is a car that rolls, or noise of the pose


def targeted(tracks: Tracks) -> Bool[np.ndarray, " T"]:
    """The recorded path ends 2 m or more to the side after 3 s: the command is not "straight" (`data_prep.ego.path`)."""
    return tracks.turning.copy()


def turn_left(tracks: Tracks) -> Bool[np.ndarray, " T"]:
    """The heading changes by TURN to the left within TURN_WAY, and the ego does not turn around meanwhile."""
    return _turns(tracks, _runs(tracks, tracks.yaw, TURN, TURN_WAY))


def turn_right(tracks: Tracks) -> Bool[np.ndarray, " T"]:
    """The heading changes by TURN to the right within TURN_WAY, and the ego does not turn around meanwhile."""
    return _turns(tracks, _runs(tracks, -tracks.yaw, TURN, TURN_WAY))


def three_point_turn(tracks: Tracks) -> Bool[np.ndarray, " T"]:
    """The heading changes by AROUND within THREE_POINT_WAY, and the ego reverses meanwhile."""
    return _turns_around(tracks, THREE_POINT_WAY, reverses=True)


def u_turn(tracks: Tracks) -> Bool[np.ndarray, " T"]:
    """The heading changes by AROUND within U_TURN_WAY, and the ego does not reverse meanwhile."""
    return _turns_around(tracks, U_TURN_WAY, reverses=False)


def _turns_around(tracks: Tracks, meters: float, reverses: bool) -> Bool[np.ndarray, " T"]:
    runs = [*_runs(tracks, tracks.yaw, AROUND, meters), *_runs(tracks, -tracks.yaw, AROUND, meters)]
    return mask_of(len(tracks), [(a, b) for a, b in runs if (tracks.steps[a : b - 1] < REVERSING).any() == reverses])


def _turns(tracks: Tracks, runs: list[tuple[int, int]]) -> Bool[np.ndarray, " T"]:
    around = three_point_turn(tracks) | u_turn(tracks)
    return mask_of(len(tracks), [(a, b) for a, b in runs if not around[a:b].any()])


def _runs(tracks: Tracks, yaw: Float[np.ndarray, " T"], angle: float, meters: float) -> list[tuple[int, int]]:
    """The shortest runs [start, end) over which yaw grows by `angle` within `meters`: none is a part of another."""
    runs: list[tuple[int, int]] = []
    for start in reversed(range(len(tracks))):  # of several starts with one end the last, so that waiting is left out
        is_near = tracks.traveled[start:] - tracks.traveled[start] <= meters
        turned = np.flatnonzero((yaw[start:] - yaw[start] >= angle) & is_near)
        end = start + int(turned[0]) + 1 if len(turned) else len(tracks) + 1
        if len(turned) and all(end < other for _, other in runs):
            runs.append((start, end))
    return runs[::-1]
