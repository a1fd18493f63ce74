"""Overtaking with and without a map, and cutting in."""

import numpy as np
import pytest
import shapely

from data_prep.mining import lanes
from data_prep.mining.roads import Ground, Roads
from tests.data_prep.mining.made import BARRIER, CAR, agent, frames, moving, tracks

LEFT = 3.5  # meters to the lane of the other direction


def road(length=22):
    """Two lanes along x: the ego's, and one of the other direction to its left."""
    east, west = (shapely.box(-50, y - 1.75, 300, y + 1.75) for y in (0.0, LEFT))
    lines = [np.array([[-50.0, 0.0], [300.0, 0.0]]), np.array([[300.0, LEFT], [-50.0, LEFT]])]
    return Roads(Ground(shapely.union(east, west), [east, west], lines), [[]] * length)


def swerve(out=(2, 4), back=(12, 14), steps=21, side=1):
    """Turns, in degrees, that bring the ego at 8 m/s 3.4 m to the left (side 1) and back."""
    turns = np.zeros(steps)
    for (start, end), way in ((out, 1), (back, -1)):
        turns[[start, end]] = 24.0 * side * way, -24.0 * side * way
    return turns


def overtaking(place=(40.0, 0.0), heading=0.0, category=CAR, turns=None, roads=None):
    turns = swerve() if turns is None else turns
    return tracks([8.0] * 21, turns, agents=[agent(category, place, heading)], roads=roads)


@pytest.mark.parametrize("roads", [None, road()])
def test_a_standing_car_is_overtaken(roads):
    found = frames(lanes.overtake(overtaking(roads=roads)))
    assert found and found == list(range(found[0], found[-1] + 1)) and {8, 9, 10, 11} <= set(found)


@pytest.mark.parametrize("roads", [None, road()])
@pytest.mark.parametrize(
    "near_miss",
    [
        dict(place=(40.0, -3.0)),  # parked at the side: passed from the lane
        dict(turns=swerve(side=0)),
        dict(heading=180.0),
        dict(category=BARRIER),
        dict(place=(400.0, 0.0)),  # never reached
    ],
)
def test_what_is_not_overtaken(near_miss, roads):
    if "place" in near_miss and near_miss["place"] == (40.0, -3.0):
        near_miss = near_miss | dict(turns=swerve(side=0))
    assert not lanes.overtake(overtaking(roads=roads, **near_miss)).any()


def test_with_a_map_the_other_direction_decides():
    """Two lanes of one direction: not with a map, which says so; without one it is a guess."""
    roads = road()
    roads.ground.lines[1] = roads.ground.lines[1][::-1]
    assert not lanes.overtake(overtaking(roads=roads)).any()
    short = swerve(out=(8, 9), back=(10, 11))
    assert not lanes.overtake(overtaking(turns=short, roads=road())).any()


def cutting(start=LEFT, end=0.0, speeds=8.0, ego=8.0, heading=0.0, turns=0.0, ahead=12.0):
    side = np.interp(np.arange(22), [6, 10], [start, end])
    places = moving((ahead, 0.0), [speeds] * 21) + np.stack([np.zeros(22), side], axis=-1)
    return tracks([ego] * 21, turns, agents=[agent(CAR, places, heading)])


def test_a_car_cuts_in():
    assert frames(lanes.cut_in(cutting())) == [7, 8, 9]
    assert frames(lanes.cut_in(cutting(start=-LEFT))) == [7, 8, 9]


@pytest.mark.parametrize(
    "near_miss",
    [
        dict(end=1.5),  # stays on the line
        dict(end=-LEFT),  # crosses the lane
        dict(heading=90.0),
        dict(ahead=40.0),
        dict(ego=1.0, speeds=1.0),  # a queue
        dict(start=0.0),
    ],
)
def test_what_is_no_cutting_in(near_miss):
    assert not lanes.cut_in(cutting(**near_miss)).any()


def test_the_ego_that_changes_lanes_is_not_cut_in_on():
    behind = tracks([8.0] * 21, swerve(back=(20, 20)), agents=[agent(CAR, moving((14.0, 3.4), [8.0] * 21))])
    assert not lanes.cut_in(behind).any()
