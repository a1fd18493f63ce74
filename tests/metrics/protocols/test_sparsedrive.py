"""SparseDrive's protocol by hand and against its twin."""

import numpy as np
import pytest

from dima_jax.metrics.protocols.sparsedrive import PROTOCOL, headings
from tests.metrics.protocols.small import AHEAD, RIGHT, STILL, drive, score, struck, table, thing
from tests.oracles.compare import compare


def test_the_definition_is_the_one_that_was_published():
    assert (PROTOCOL.definition.version, PROTOCOL.definition.hash) == (1, "b22a78c3f96e")


def test_collisions_only_where_the_plan_meets_something():
    assert struck(PROTOCOL, drive(thing(0, 12))) == [2, 3]
    assert struck(PROTOCOL, drive(thing(2.2, 12))) == []
    assert struck(PROTOCOL, drive()) == []


@pytest.mark.parametrize(
    ("one", "counts"),
    [
        (thing(0, 12, "human.pedestrian.adult"), True),
        (thing(0, 12, "movable_object.barrier"), True),
        (thing(0, 12, "movable_object.trafficcone"), True),
        (thing(0, 12, "animal"), True),
        (thing(0, 12, "static_object.bicycle_rack"), True),
        (thing(0, 12, points=0, radar=1), False),
    ],
)
def test_everything_that_a_lidar_hits_counts(one, counts):
    assert bool(struck(PROTOCOL, drive(one))) is counts


def test_headings_by_central_differences():
    corner = np.array([[0, 2], [0, 4], [2, 4], [4, 4], [6, 4], [6, 4.0]])
    found = np.degrees(headings(corner[None])[0])
    # from (0, 0) to (0, 4); (0, 2) to (2, 4); (0, 4) to (4, 4); (2, 4) to (6, 4); (4, 4) to (6, 4); (6, 4) to itself
    assert found == pytest.approx([90, 45, 0, 0, 0, 0])
    assert np.degrees(headings(RIGHT[None])[0]) == pytest.approx([0] * 6)


def test_below_half_a_meter_the_box_looks_ahead():
    slow, fast = RIGHT / 4 * 0.09, RIGHT / 4 * 0.11  # 0.45 and 0.55 m from the first waypoint to the last
    ahead = drive(thing(0.3, 2.4, width=0.4, length=0.4), step=5.0)
    assert struck(PROTOCOL, ahead, slow) == [1, 2, 3, 4, 5, 6]
    assert struck(PROTOCOL, ahead, fast) == []


def test_a_heading_that_is_given_is_not_used():
    car = drive(thing(8, 2.0, width=0.4, length=0.4))
    assert struck(PROTOCOL, car, RIGHT, heading=np.pi / 2) == struck(PROTOCOL, car, RIGHT, heading=0.0) == []


def test_means_up_to_the_horizon_and_free_steps():
    steps = score(PROTOCOL, drive(thing(0, 12), step=2.0), AHEAD)
    assert steps.recorded.tolist() == [False, False, False, True, True, True]
    found = table(PROTOCOL, steps)
    assert [found[f"collision_{h}"] for h in ("1s", "2s", "3s")] == pytest.approx([1 / 2, 2 / 4, 2 / 6])
    assert [found[f"l2_{h}"] for h in ("1s", "2s", "3s")] == [3.0, 5.0, 7.0]
    assert steps.hit.tolist() == [[-1, 2, 3, -1, -1, -1]] and found["any_3s"] == 1
    assert np.isnan(table(PROTOCOL, score(PROTOCOL, drive(without=["poses"]), STILL))["any_3s"])


def test_equals_its_twin():
    assert compare("sparsedrive", 120, 1)["collision"] > 5


@pytest.mark.slow
def test_equals_its_twin_in_ten_thousand_scenes():
    assert min(compare("sparsedrive", 10_000, 2).values()) > 0
