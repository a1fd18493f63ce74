"""BEV-Planner's protocol by hand and against its twin."""

import numpy as np
import pytest

from dima_jax.metrics.protocols import bevplanner
from dima_jax.metrics.protocols.bevplanner import PROTOCOL
from tests.metrics.protocols.small import AHEAD, RIGHT, STILL, drive, score, shifted, struck, table, thing
from tests.oracles.compare import compare


def test_the_definition_is_the_one_that_was_published():
    assert (PROTOCOL.definition.version, PROTOCOL.definition.hash) == (1, "a1f2cb3abfaa")


def test_collisions_only_where_the_plan_meets_the_car():
    assert struck(PROTOCOL, drive(thing(0, 12))) == [2, 3]
    assert struck(PROTOCOL, drive(thing(2.2, 12))) == []  # 0.275 m beside the ego: a grid of 0.5 m does not see it
    assert struck(PROTOCOL, drive(thing(1.8, 12))) == [2, 3]
    assert struck(PROTOCOL, drive()) == []


def test_the_box_turns_with_its_step():
    # the ego's origin is 0.986 m behind the LiDAR, so the box is 1.486 m ahead of the waypoint, along x of the LiDAR
    assert struck(PROTOCOL, drive(thing(10, -1, width=0.4, length=0.4)), RIGHT) == [2]
    assert struck(PROTOCOL, drive(thing(8, 1, width=0.4, length=0.4)), RIGHT) == []  # where it was, did it look ahead


def test_below_a_meter_a_step_the_box_looks_ahead():
    truth = drive(thing(3.0, 2.3, width=0.4, length=0.4), step=5.0)
    fast = shifted(STILL, 3.0, 0)  # turned to the right in the first step, then standing
    assert struck(PROTOCOL, truth, fast) == [2, 3, 4, 5, 6]
    assert struck(PROTOCOL, truth, STILL + np.array([0.9, 0]) * np.arange(1, 7)[:, None]) == [3, 4]
    assert struck(PROTOCOL, truth, STILL + np.array([1.1, 0]) * np.arange(1, 7)[:, None]) == []


@pytest.mark.parametrize(
    ("one", "counts"),
    [
        (thing(0, 12, "human.pedestrian.adult"), False),
        (thing(0, 12, "vehicle.motorcycle"), True),
        (thing(0, 12, "movable_object.barrier"), False),
        (thing(0, 12, points=0, radar=1), True),
        (thing(0, 12, points=0), False),
        (thing(0, 12, visible=1), True),
    ],
)
def test_who_counts(one, counts):
    assert bool(struck(PROTOCOL, drive(one))) is counts


def test_a_collision_counts_once_per_trajectory():
    found = table(PROTOCOL, score(PROTOCOL, drive(thing(0, 12)), AHEAD))
    assert [found[f"collision_{h}"] for h in ("1s", "2s", "3s", "avg")] == [1, 1, 1, 1]
    assert [found[f"l2_{h}"] for h in ("1s", "2s", "3s")] == [6.0, 10.0, 14.0]


def test_curbs_are_lines_of_a_cell():
    line = [[30.0, -20.0], [30.0, 20.0]]  # across, 30 m ahead of the ego's origin
    truth = drive(curbs=[line], step=2.0)
    # the box reaches from -0.556 to 3.528 m of the waypoint
    assert struck(PROTOCOL, truth, AHEAD, "curb") == []
    assert struck(PROTOCOL, truth, shifted(AHEAD, 0, 3.0), "curb") == [6]
    assert (
        struck(PROTOCOL, drive(curbs=[line], step=5.0), shifted(AHEAD, 0, 3.0), "curb") == []
    )  # the recorded path meets it
    assert np.isnan(table(PROTOCOL, score(PROTOCOL, drive(without=["curbs"]), AHEAD))["curb_3s"])
    assert table(PROTOCOL, score(PROTOCOL, drive(), AHEAD))["curb_3s"] == 0


def test_a_line_is_sampled_at_equal_distances():
    points = bevplanner.sampled(np.array([[0, 0], [1, 0], [1, 18.0]], np.float32))
    assert len(points) == 20 and points[[0, 1, 2, -1]].tolist() == [[0, 0], [1, 0], [1, 1], [1, 18]]
    assert np.abs(bevplanner.sampled(np.array([[-90, 0], [90, 70.0]], np.float32))).max() == 51.2


def test_needs_the_path_of_the_ego():
    steps = score(PROTOCOL, drive(thing(0, 12), without=["ego_paths", "ego_yaw"]), AHEAD)
    assert set(steps.values) == {"l2"}


def test_equals_its_twin():
    found = compare("bevplanner", 120, 1)
    assert found["collision"] > 5 and found["curb"] > 5


@pytest.mark.slow
def test_equals_its_twin_in_ten_thousand_scenes():
    assert min(compare("bevplanner", 10_000, 2).values()) > 0
