"""UniAD's protocol by hand and against its twin."""

import numpy as np
import pytest

from dima_jax.metrics.protocols.stp3_vad import PROTOCOL as VAD
from dima_jax.metrics.protocols.uniad import PROTOCOL
from tests.metrics.protocols.small import AHEAD, STILL, drive, score, shifted, struck, table, thing
from tests.oracles.compare import compare


def test_the_definition_is_the_one_that_was_published():
    assert (PROTOCOL.definition.version, PROTOCOL.definition.hash) == (1, "99ca7d8b6c7b")


def test_collisions_only_where_the_plan_meets_the_car():
    assert struck(PROTOCOL, drive(thing(0, 12))) == [2, 3]
    assert struck(PROTOCOL, drive(thing(3, 12))) == []
    assert struck(PROTOCOL, drive()) == []


@pytest.mark.parametrize(
    ("one", "counts"),
    [
        (thing(0, 12, "human.pedestrian.adult"), False),
        (thing(0, 12, "vehicle.bicycle"), True),
        (thing(0, 12, "vehicle.emergency.police"), False),
        (thing(0, 12, "movable_object.barrier"), False),
        (thing(0, 12, points=0), True),
        (thing(0, 12, visible=1), False),
        (thing(0, 12, visible=2), True),
        (thing(0, 12, visible=0), True),  # unknown
        (thing(20, 12, width=39.0), True),  # no rectangle
    ],
)
def test_who_counts(one, counts):
    assert bool(struck(PROTOCOL, drive(one))) is counts


def test_agents_are_those_of_the_future_key_frames():
    """Seen from frame 0 the car stands at 12 m, whatever the ego has driven until it is annotated again."""
    steps = score(PROTOCOL, drive(thing(0, 12), step=1.0), AHEAD, STILL)
    assert steps.values["collision"].tolist() == [[0, 1, 1, 0, 0, 0], [0] * 6]
    assert steps.hit.tolist() == [[-1, 2, 3, -1, -1, -1], [-1] * 6]  # row 2 is the car at the second future key frame


def test_a_half_of_a_cell_falls_to_the_other_side_than_with_vad():
    """Here the rear cell is rounded toward the back, there toward the front; the car's front is between the two."""
    truth = drive(thing(0, -4.0, length=4.5), step=8.0)  # from -6.25 to -1.75 m
    ties = {
        y: tuple(bool(struck(protocol, truth, shifted(STILL, 0, y))) for protocol in (PROTOCOL, VAD))
        for y in (-1.0, -0.25, 0.0, 0.25, 1.0)
    }
    assert ties == {
        -1.0: (True, True),
        -0.25: (True, False),
        0.0: (True, False),
        0.25: (True, False),
        1.0: (False, False),
    }


def test_beyond_the_grid_the_box_is_moved_to_its_border():
    far, border = shifted(STILL, 0, 1000.0), drive(thing(0, 49.5))
    assert struck(PROTOCOL, border, far) == [1, 2, 3, 4, 5, 6]
    assert struck(PROTOCOL, drive(thing(0, 60)), far) == []


def test_steps_that_are_not_known_lower_the_published_distance():
    """Of two frames the second has one future key frame: published 2 s = (4 + 0) / 2."""
    truth = drive(thing(0, 40), frames=8)
    steps = [score(PROTOCOL, truth, AHEAD / 2, index=index) for index in (0, 6)]
    assert steps[1].masks["l2"][0].tolist() == [True] + [False] * 5
    found = table(PROTOCOL, *steps)
    assert [found[f"l2_{h}"] for h in ("1s", "2s", "3s")] == [2.0, 4.0, 6.0]
    assert [found[f"l2_masked_{h}"] for h in ("1s", "2s", "3s")] == [4.0, 8.0, 12.0]


def test_values_at_the_horizon_and_free_steps():
    steps = score(PROTOCOL, drive(thing(0, 12), thing(0, 24), step=2.0), AHEAD)
    assert steps.recorded.tolist() == [False, False, False, True, True, True]
    found = table(PROTOCOL, steps)
    assert [found[f"collision_{h}"] for h in ("1s", "2s", "3s", "avg")] == pytest.approx([1, 0, 0, 1 / 3])
    assert found["any_3s"] == 1


def test_without_visibility_there_are_distances_alone():
    steps = score(PROTOCOL, drive(thing(0, 12), without=["visibility"]), AHEAD)
    assert set(steps.values) == {"l2"} and np.isnan(table(PROTOCOL, steps)["any_3s"])
    assert "visibility" in PROTOCOL.definition.constants["collision_needs"]


def test_equals_its_twin():
    assert compare("uniad", 120, 1)["collision"] > 5


@pytest.mark.slow
def test_equals_its_twin_in_ten_thousand_scenes():
    assert min(compare("uniad", 10_000, 2).values()) > 0
