"""The ego brakes hard; the vehicle ahead does, and the ego has to."""

import numpy as np
import pytest

from data_prep.mining import braking
from tests.data_prep.mining.made import BARRIER, CAR, agent, frames, moving, tracks


@pytest.mark.parametrize(("drop", "found"), [(2.2, [6, 7, 8, 9, 10]), (1.9, [])])
def test_hard_braking_is_4_meters_per_second_squared(drop, found):
    speeds = [*[12.0] * 8, 12 - drop, 12 - 2 * drop, 12 - 3 * drop, *[12 - 3 * drop] * 6]
    assert frames(braking.hard_brake(tracks(speeds))) == found


def following(leader_drop=2.6, ego_drop=1.5, aside=0.0, heading=0.0, category=CAR, gap=20.0):
    leader = np.maximum([10.0] * 6 + [10 - leader_drop * k for k in range(1, 13)], 0.0)
    ego = np.maximum([10.0] * 7 + [10 - ego_drop * k for k in range(1, 12)], 3.0)
    return tracks(ego, agents=[agent(category, moving((gap, aside), leader), heading)])


def test_the_leader_brakes_hard_and_the_ego_follows():
    assert frames(braking.lead_brakes(following())) == [6, 7, 8]


@pytest.mark.parametrize(
    "near_miss",
    [
        dict(leader_drop=1.8),  # 3.6 m/s2
        dict(ego_drop=0.9, leader_drop=2.6),  # the ego need not brake
        dict(aside=2.0),  # the next lane
        dict(heading=180.0),
        dict(category=BARRIER),
        dict(gap=40.0),
    ],
)
def test_a_leader_that_does_not_count(near_miss):
    assert not braking.lead_brakes(following(**near_miss)).any()
