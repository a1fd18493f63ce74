"""PARA-Drive's standardized protocol by hand and against its twin."""

import numpy as np
import pytest

from dima_jax.constants import EGO_LENGTH, EGO_WIDTH
from dima_jax.metrics.protocols.paradrive_std import PROTOCOL
from tests.metrics.protocols.small import AHEAD, RIGHT, STILL, drive, score, shifted, struck, table, thing
from tests.oracles.compare import compare

EDGE = EGO_WIDTH / 2  # meters to the ego's side


def test_the_definition_is_the_one_that_was_published():
    assert (PROTOCOL.definition.version, PROTOCOL.definition.hash) == (1, "4dcbea090158")


def test_collisions_only_where_the_plan_meets_the_car():
    assert struck(PROTOCOL, drive(thing(0, 12))) == [2, 3]
    assert struck(PROTOCOL, drive(thing(2.2, 12))) == []
    assert struck(PROTOCOL, drive()) == []


def test_boxes_that_touch_collide():
    car = thing(EDGE + 1, 0, heading=-np.pi / 2)
    side = float(np.float32(EDGE + 1)) - 1 - EDGE  # what single precision makes of the car's place
    for gap, hit in ((1e-12, False), (-1e-12, True), (1e-4, False), (-1e-4, True)):
        assert bool(struck(PROTOCOL, drive(car), shifted(STILL, side - gap, 0))) is hit, gap


def test_the_box_turns_with_the_heading():
    car = drive(thing(8, 2.0, width=0.4, length=0.4))
    assert struck(PROTOCOL, car, RIGHT) == [2]  # as if it still looked ahead
    assert struck(PROTOCOL, car, RIGHT, heading=0.0) == []
    diagonal = drive(thing(8 + 1.5, 1.5, width=0.4, length=0.4))
    assert struck(PROTOCOL, diagonal, RIGHT, heading=np.pi / 4) == [2]
    assert struck(PROTOCOL, diagonal, RIGHT, heading=-np.pi / 4) == []


@pytest.mark.parametrize(
    ("one", "counts"),
    [
        (thing(0, 12, "human.pedestrian.adult"), True),
        (thing(0, 12, "movable_object.barrier"), False),
        (thing(0, 12, "movable_object.trafficcone"), False),
        (thing(0, 12, "vehicle.emergency.police"), False),
        (thing(0, 12, points=0, radar=1), True),
        (thing(0, 12, points=0), False),
    ],
)
def test_who_counts(one, counts):
    assert bool(struck(PROTOCOL, drive(one))) is counts


def test_no_step_is_exempt():
    steps = score(PROTOCOL, drive(thing(0, 12), step=4.0), AHEAD)
    assert steps.recorded.tolist() == [False, True, True, False, False, False]
    assert steps.values["collision"].tolist() == [[0, 1, 1, 0, 0, 0]]
    found = table(PROTOCOL, steps)
    assert [found[f"collision_{h}"] for h in ("1s", "2s", "3s", "all", "avg")] == pytest.approx([1, 0, 0, 1 / 3, 1 / 3])


def test_steps_that_are_not_known_leave_the_mean():
    truth = drive(frames=8)
    found = table(PROTOCOL, *(score(PROTOCOL, truth, AHEAD / 2, index=index) for index in (1, 6)))
    assert [found[f"l2_{h}"] for h in ("1s", "2s", "3s", "all")] == pytest.approx([4, 8, 12, (2 * 21 + 2) / 7])


def test_off_the_road_and_off_the_lane():
    """The ego's box is from -1.542 + 0.986 m to 2.542 + 0.986 m ahead of the waypoint in global x."""
    lane = ("lane", [(-10, -2), (20, -2), (20, 2), (-10, 2)])
    road = ("drivable_area", [(-10, -5), (24, -5), (24, 5), (-10, 5)])
    joined = [("lane_connector", [(20, -2), (26, -2), (26, 2), (20, 2)])]
    truth = drive(areas=[lane, road, *joined])
    # corners at 20 + 3.53 = 23.53 m are on the road, those of 24 + 3.53 are not; centers at 20 + 1.49, 24 + 1.49
    assert struck(PROTOCOL, truth, AHEAD, "off_road") == [6]
    assert struck(PROTOCOL, truth, AHEAD, "off_lane") == []
    assert struck(PROTOCOL, drive(areas=[lane, road]), AHEAD, "off_lane") == [5, 6]
    assert struck(PROTOCOL, truth, shifted(AHEAD, 2, 0), "off_road") == [6]  # right corners at 2.925 m
    assert struck(PROTOCOL, truth, shifted(AHEAD, 2.1, 0), "off_lane") == [1, 2, 3, 4, 5, 6]
    assert struck(PROTOCOL, truth, shifted(AHEAD, 5 - EDGE + 0.01, 0), "off_road") == [1, 2, 3, 4, 5, 6]
    assert struck(PROTOCOL, drive(), AHEAD, "off_road") == [1, 2, 3, 4, 5, 6]


def test_on_the_border_is_on_the_road():
    front = 0.985793 + 0.5 + EGO_LENGTH / 2
    road = ("drivable_area", [(-10, -5), (front, -5), (front, 5), (-10, 5)])
    assert struck(PROTOCOL, drive(areas=[road]), STILL, "off_road") == []
    assert struck(PROTOCOL, drive(areas=[road]), shifted(STILL, 0, 1e-6), "off_road") == [1, 2, 3, 4, 5, 6]


def test_what_the_truth_lacks_has_no_number():
    steps = score(PROTOCOL, drive(thing(0, 12), without=["areas"]), AHEAD)
    assert set(steps.values) == {"l2", "collision"}
    steps = score(PROTOCOL, drive(thing(0, 12), without=["yaw"]), AHEAD)
    assert set(steps.values) == {"l2", "off_road", "off_lane"}


def test_a_plan_that_is_no_number_has_no_score():
    plan = AHEAD.copy()
    plan[1] = np.nan
    steps = score(PROTOCOL, drive(thing(0, 12)), plan)
    for quantity in ("collision", "off_road", "off_lane"):
        assert np.isnan(steps.values[quantity][0]).tolist() == [False, True, False, False, False, False]


def test_equals_its_twin():
    found = compare("paradrive_std", 120, 1)
    assert min(found.values()) > 5


@pytest.mark.slow
def test_equals_its_twin_in_ten_thousand_scenes():
    assert min(compare("paradrive_std", 10_000, 2).values()) > 0
