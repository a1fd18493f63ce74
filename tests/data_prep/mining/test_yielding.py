"""The ego slows down for a person, or for a vehicle, and drives on."""

import numpy as np
import pytest
import shapely

from data_prep.mining import yielding
from data_prep.mining.roads import Ground, Roads
from tests.data_prep.mining.made import CAR, PERSON, agent, frames, moving, tracks

EGO = [8.0, 8.0, 8.0, 6.0, 4.0, 2.0, 0.5, 0.0, 0.0, 0.5, 2.0, 4.0, 6.0, 8.0, 8.0]  # stands at x = 18.5
STEPS = len(EGO)
SLOW = [5, 6, 7, 8, 9, 10]  # key frames below 2 m/s, and the one before
WALKER = agent(PERSON, moving((24.0, -5.0), [1.4] * STEPS, 90.0), 90.0)  # on the lane when the ego stands


def place(closed=False, surface=None):
    line = [shapely.box(22.0, -2.0, 22.4, 2.0)] if closed else []
    return Roads(Ground(surface or shapely.box(-10, -5, 100, 5), [], []), [line] * (STEPS + 1))


@pytest.mark.parametrize("roads", [None, place()])
def test_a_person_crosses(roads):
    assert frames(yielding.yield_to_pedestrian(tracks(EGO, agents=[WALKER], roads=roads))) == SLOW


@pytest.mark.parametrize(
    ("agents", "ego", "roads"),
    [
        ([], EGO, None),
        ([agent(PERSON, (24.0, 0.0))], EGO, None),  # stands there
        ([agent(PERSON, moving((24.0, -9.0), [1.4] * STEPS, 0.0))], EGO, None),  # walks along the road
        ([agent(PERSON, moving((44.0, -5.0), [1.4] * STEPS, 90.0))], EGO, None),  # too far ahead
        ([WALKER, agent(CAR, (25.0, 0.0))], EGO, None),  # a car in front
        ([WALKER], EGO, place(closed=True)),  # a red light
        ([WALKER], EGO, place(surface=shapely.box(-10, -5, 20, 5))),  # not on the road
        ([WALKER], [*EGO[:9], *[0.0] * 6], None),  # does not drive on
        ([WALKER], [2.0] * 5 + EGO[5:], None),  # was slow before
        ([WALKER], np.maximum(EGO, 3.0), None),  # did not slow down
    ],
)
def test_what_is_no_yielding_to_a_person(agents, ego, roads):
    assert not yielding.yield_to_pedestrian(tracks(ego, agents=agents, roads=roads)).any()


def crossing(speed=5.0, x=26.0, heading=90.0, category=CAR):
    return agent(category, moving((x, -20.0), [speed] * STEPS, heading), heading)


def turning_in():
    """From a side street on the right, 6 m/s, into the ego's lane ahead at key frame 8."""
    heading = np.interp(np.arange(STEPS + 1), [6, 10], [90.0, 0.0])
    middle = np.radians((heading[1:] + heading[:-1]) / 2)
    steps = 3.0 * np.stack([np.cos(middle), np.sin(middle)], axis=-1)
    places = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    return agent(CAR, places - places[8] + [27.0, -0.5], heading)


@pytest.mark.parametrize("vehicle", [crossing(), turning_in()])
def test_a_vehicle_crosses_or_turns_in(vehicle):
    assert frames(yielding.yield_to_vehicle(tracks(EGO, agents=[vehicle], roads=place()))) == SLOW
    assert not yielding.yield_to_vehicle(tracks(EGO, agents=[vehicle], roads=place(closed=True))).any()
    assert not yielding.yield_to_pedestrian(tracks(EGO, agents=[vehicle])).any()


@pytest.mark.parametrize(
    "vehicle",
    [
        crossing(speed=1.9),  # not there yet
        crossing(speed=15.0),  # long gone
        crossing(x=60.0),  # the next junction
        crossing(category=PERSON),
        agent(CAR, moving((20.0, 3.5), [8.0] * STEPS, 180.0), 180.0),  # comes the other way
    ],
)
def test_what_is_no_yielding_to_a_vehicle(vehicle):
    assert not yielding.yield_to_vehicle(tracks(EGO, agents=[vehicle])).any()
