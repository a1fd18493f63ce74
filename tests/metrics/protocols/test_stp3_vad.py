"""VAD's protocol by hand and against its twin."""

import numpy as np
import pytest

from dima_jax.metrics import raster
from dima_jax.metrics.protocols import base
from dima_jax.metrics.protocols.stp3_vad import PROTOCOL
from dima_jax.scoring.frames import FrameTruth
from tests.metrics.protocols.small import AHEAD, STILL, drive, score, struck, table, thing
from tests.oracles.compare import compare


def test_the_definition_is_the_one_that_was_published():
    assert (PROTOCOL.definition.version, PROTOCOL.definition.hash) == (1, "11a2452c86be")


def test_collisions_only_where_the_plan_meets_the_car():
    # the car from 10 to 14 m; the ego from 1.542 m behind to 2.542 m ahead of 4, 8, 12, ...
    assert struck(PROTOCOL, drive(thing(0, 12))) == [2, 3]
    assert struck(PROTOCOL, drive(thing(3, 12))) == []
    assert struck(PROTOCOL, drive()) == []


@pytest.mark.parametrize(
    ("one", "counts"),
    [
        (thing(0, 12, "human.pedestrian.adult"), True),
        (thing(0, 12, "vehicle.bicycle"), True),
        (thing(0, 12, "movable_object.trafficcone"), False),
        (thing(0, 12, "vehicle.emergency.police"), False),  # none of the ten classes
        (thing(0, 12, "human.pedestrian.stroller"), False),
        (thing(0, 12, points=0, radar=5), False),
        (thing(14.9, 12, width=30.0), True),
        (thing(15, 12, width=30.0), False),  # its center is not inside of the rectangle
        (thing(0, 30, length=40.0), False),
        (thing(0, 12, visible=1), True),
    ],
)
def test_who_counts(one, counts):
    assert bool(struck(PROTOCOL, drive(one))) is counts


def test_steps_at_which_the_recorded_path_collides_are_free_and_stay_in_the_mean():
    steps = score(PROTOCOL, drive(thing(0, 12), step=2.0), AHEAD, STILL)
    assert steps.recorded.tolist() == [False, False, False, True, True, True]  # at 8, 10, 12 m
    assert steps.values["collision"].tolist() == [[0, 1, 1, 0, 0, 0], [0] * 6]
    assert table(PROTOCOL, steps)["collision_3s"] == pytest.approx(2 / 6)


def test_means_up_to_the_horizon():
    plan = STILL + np.arange(1, 7)[:, None] * np.array([[0.0, 1.0]])  # errors 1 ... 6 m; the car is met from 5 m on
    found = table(PROTOCOL, score(PROTOCOL, drive(thing(0, 10, length=6.0)), plan))
    assert [found[f"l2_{k}"] for k in ("1s", "2s", "3s", "avg")] == [1.5, 2.5, 3.5, 2.5]
    assert [found[f"collision_{k}"] for k in ("1s", "2s", "3s")] == pytest.approx([0, 0, 2 / 6])
    assert found["any_3s"] == 1 and found["point_collision_avg"] == 0


def test_the_first_agent_in_the_file_is_named():
    steps = score(PROTOCOL, drive(thing(9, 9), thing(0, 17), thing(0, 15)), AHEAD)
    assert steps.hit.tolist() == [[-1, -1, 2, 1, 1, -1]]


def test_point_collisions_look_at_the_wrong_place():
    """Quirk Q7: half the offset, 25.125 m from the waypoint."""
    waypoint = np.full((6, 2), [20.0, -5.0])
    assert struck(PROTOCOL, drive(thing(20 - 25.125, -5 + 25.125)), waypoint, "point_collision") == [1, 2, 3, 4, 5, 6]
    assert struck(PROTOCOL, drive(thing(20, -5)), waypoint, "point_collision") == []
    assert struck(PROTOCOL, drive(thing(0, 0)), np.full((6, 2), 1e9), "point_collision") == []


def test_a_plan_that_is_no_number_has_no_score():
    plan = AHEAD.copy()
    plan[2, 0] = np.nan
    steps = score(PROTOCOL, drive(thing(0, 12)), plan, AHEAD)
    assert np.isnan(steps.values["collision"]).tolist() == [[False, False, True, False, False, False], [False] * 6]
    assert np.isnan(steps.values["point_collision"][0, 2])
    assert np.isnan(table(PROTOCOL, steps)["collision_3s"]) and table(PROTOCOL, steps)["collision_1s"] == 0.5


def test_distances_need_no_agents():
    steps = score(PROTOCOL, drive(thing(0, 12), without=["futures"]), AHEAD)
    assert set(steps.values) == {"l2"}
    found = table(PROTOCOL, steps)
    assert found["l2_1s"] == 6.0 and np.isnan(found["collision_1s"])


def test_a_truth_in_the_ego_frame_alone_has_distances():
    """As the paths that other planners' authors publish: the distance is measured where it is known."""
    truth = drive(thing(0, 12), without=["paths", "yaw"])
    assert truth.has(*PROTOCOL.definition.needs, *base.FRAMES[PROTOCOL.definition.frames][0])
    lidar, l2 = np.full((1, 6, 3), np.nan), np.ones((1, 6))
    steps = PROTOCOL.frame(FrameTruth(truth, 0), raster.Grids(), lidar, lidar, l2)
    assert set(steps.values) == {"l2"} and table(PROTOCOL, steps)["l2_3s"] == 1


def test_equals_its_twin():
    assert compare("stp3_vad", 120, 1)["collision"] > 5


@pytest.mark.slow
def test_equals_its_twin_in_ten_thousand_scenes():
    assert min(compare("stp3_vad", 10_000, 2).values()) > 0
