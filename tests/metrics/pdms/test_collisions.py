"""Who is at fault, who is ignored, and the twins of NC and TTC."""

import numpy as np
import pytest
import shapely

from dima_jax.metrics.pdms import collisions
from dima_jax.metrics.pdms.collisions import Ego, no_collision, red_lights, time_to_collision
from dima_jax.metrics.pdms.tracks import Tracks
from tests.oracles import pdms as twin

T, AHEAD = 31, 1.486


def ego(speed=6.0, *, heading=0.0, y=0.0, across=False, at_crossing=False) -> Ego:
    """One drive straight along a heading from (0, 0): the rear axle."""
    way = np.array([np.cos(heading), np.sin(heading)])
    rear = np.array([0.0, y]) + np.arange(T)[:, None] * 0.1 * speed * way
    rest = np.tile([heading, 4.084, 1.85], (T, 1))
    boxes = np.concatenate([rear + AHEAD * way, rest], axis=1)
    return Ego(boxes[None], rear[None], np.full((1, T), speed), np.full((1, T), across), np.full((1, T), at_crossing))


def track(x, y, speed=0.0, heading=0.0, *, length=4.0, width=2.0, agent=True, since=0) -> Tracks:
    """One track that drives straight; it is there from sample `since` on."""
    way = np.array([np.cos(heading), np.sin(heading)])
    xy = np.array([x, y]) + np.arange(T)[:, None] * 0.1 * speed * way
    boxes = np.concatenate([xy, np.tile([heading, length, width], (T, 1))], axis=1)[None]
    boxes[:, :since] = np.nan
    rows = np.arange(7)[None] * 10 + 3
    return Tracks(boxes, ~np.isnan(boxes[..., 0]), np.full((1, T), speed), np.array([agent]), rows)


def test_driving_into_what_stands_is_at_fault():
    told = no_collision(ego(), track(12, 0))
    assert told.nc == [0.0] and told.hit.tolist() == [[-1, -1, 33, 43, 53, -1]]
    assert told.touched.tolist() == [[False, False, True, True, True, False]]


def test_objects_cost_half():
    assert no_collision(ego(), track(12, 0, agent=False)).nc == [0.5]


def test_nobody_near():
    told = no_collision(ego(), track(12, 3))
    assert told.nc == [1.0] and (told.hit == -1).all() and not told.touched.any()


def test_an_ego_that_stands_is_not_at_fault():
    comes = track(15, 0, speed=6.0, heading=np.pi)
    assert no_collision(ego(speed=0.04), comes).nc == [1.0]
    assert no_collision(ego(speed=0.06), comes).nc == [0.0]


def test_struck_from_behind_is_not_at_fault_and_stays_so():
    """The follower then stands in front: it is ignored from then on."""
    follower = track(-8, 0, speed=12.0)
    assert no_collision(ego(), follower).nc == [1.0]
    from_ahead = track(10, 0, speed=12.0, heading=np.pi)
    assert no_collision(ego(), from_ahead).nc == [0.0]


def test_from_the_side_only_where_the_ego_has_no_lane_of_its_own():
    side = track(4.5, 8.5, speed=6.0, heading=-np.pi / 3, length=2.0, width=1.0)
    struck = no_collision(ego(), side)
    assert struck.touched.any() and struck.nc == [1.0]
    assert no_collision(ego(across=True), side).nc == [0.0]


def test_the_front_bumper_is_always_at_fault():
    crossing = track(12, 7, speed=6.0, heading=-np.pi / 2, length=2.0)
    assert no_collision(ego(), crossing).nc == [0.0]


def test_a_track_that_is_touched_at_the_start_is_ignored():
    inside = track(2, 0)
    assert no_collision(ego(), inside).nc == [1.0] and no_collision(ego(), track(2, 0, since=1)).nc == [0.0]
    assert time_to_collision(ego(), inside).tolist() == [1.0]


def test_time_to_collision_looks_nine_tenths_of_a_second_ahead():
    """The front is 3.528 m ahead of the rear axle; at sample 21 it is at 16.128 m, and 0.9 s later at 21.528 m."""
    assert time_to_collision(ego(), track(21.5 + 2, 0)).tolist() == [0.0]
    assert time_to_collision(ego(), track(21.6 + 2, 0)).tolist() == [1.0]
    assert no_collision(ego(), track(21.6 + 2, 0)).nc == [1.0]


def test_time_to_collision_of_an_ego_that_stands():
    comes = track(9, 0, speed=3.0, heading=np.pi)
    assert time_to_collision(ego(speed=0.004), comes).tolist() == [1.0]
    assert time_to_collision(ego(speed=0.006), comes).tolist() == [0.0]


@pytest.mark.parametrize(("flag", "expected"), [("across", 0.0), ("at_crossing", 0.0), (None, 1.0)])
def test_time_to_collision_with_what_comes_from_the_side(flag, expected):
    side = track(2.5, 4.5, speed=2.0, heading=-np.pi / 2, length=2.0, width=1.0)
    told = {} if flag is None else {flag: True}
    assert time_to_collision(ego(speed=1.0, **told), side).tolist() == [expected]


FOLLOWER = track(-4.2, 0, speed=4.0)  # it touches the ego at 2 m/s, ahead of it in the end


def test_what_comes_from_behind_does_not_count():
    assert time_to_collision(ego(speed=2.0, across=True, at_crossing=True), FOLLOWER).tolist() == [1.0]


def test_a_hit_that_does_not_count_exempts_the_track():
    assert time_to_collision(ego(speed=2.0), FOLLOWER).tolist() == [1.0]
    boxes = np.where(np.arange(T)[:, None] < 25, np.nan, FOLLOWER.boxes)
    later = FOLLOWER._replace(boxes=boxes, present=~np.isnan(boxes[..., 0]))
    assert time_to_collision(ego(speed=2.0), later).tolist() == [0.0]


LINE = shapely.box(10, -2, 10.5, 2)
RED = np.ones((1, T), bool)


def lights(drive, red=RED, line=LINE):
    return red_lights(drive.boxes, [line], red).item()


def test_who_passes_the_line_when_it_is_red():
    """The front is 3.528 m ahead of the rear axle; the line is passed when it is at 11.5 m."""
    assert lights(ego()) == 0.0 and lights(ego(), ~RED) == 1.0
    assert lights(ego(speed=7.9 / 3)) == 1.0 and lights(ego(speed=8.0 / 3)) == 0.0  # at 11.43 m and 11.53 m
    assert red_lights(ego().boxes, [], RED[:0]).tolist() == [1.0]
    assert lights(ego(y=4.0)) == 1.0


def test_when_it_turns_red_counts_when_the_line_is_passed():
    passes = np.flatnonzero(ego().boxes[0, :, 0] + 2.042 > 11.5)[0]
    only_then = np.arange(T)[None] == passes
    assert lights(ego(), only_then) == 0.0 and lights(ego(), ~only_then) == 1.0
    assert lights(ego(), line=shapely.box(1.5, -2, 2, 2)) == 1.0  # passed at the start


def scene(rng):
    """(drives, tracks) that meet often."""
    drives = [ego(rng.choice([0.0, 2.0, 8.0]), heading=rng.normal(0, 0.3)) for _ in range(3)]
    flags = rng.random((2, 3, T)) < 0.5
    drives = Ego(
        *(np.concatenate([getattr(one, name) for one in drives]) for name in ("boxes", "rear", "speed")), *flags
    )
    others = [
        track(
            *rng.uniform((-8, -5), (22, 5)),
            rng.choice([0.0, 3.0, 10.0]),
            rng.uniform(-np.pi, np.pi),
            length=rng.uniform(0.5, 5),
            width=rng.uniform(0.4, 2.5),
            agent=rng.random() < 0.7,
            since=rng.choice([0, 0, 7]),
        )
        for _ in range(5)
    ]
    return drives, Tracks(*(np.concatenate([getattr(one, name) for one in others]) for name in Tracks._fields))


def compared(seed, count):
    """[{nc: how often}, {ttc: how often}] of scenes in which both agree."""
    rng, seen = np.random.default_rng(seed), [{}, {}]
    for _ in range(count):
        drives, others = scene(rng)
        listed = list(zip(others.boxes, others.speed, others.is_agent, strict=True))
        nc, ttc = no_collision(drives, others).nc, time_to_collision(drives, others)
        for i in range(3):
            told = [part[i] for part in drives]
            expected = twin.no_collision(*told[:4], listed), twin.time_to_collision(*told, listed)
            assert (nc[i], ttc[i]) == expected
            for counts, value in zip(seen, expected, strict=True):
                counts[value] = counts.get(value, 0) + 1
    return seen


def test_equals_its_twin():
    nc, ttc = compared(0, 60)
    assert min(nc.values()) > 10 and len(nc) == 3 and min(ttc.values()) > 10 and len(ttc) == 2


@pytest.mark.slow
def test_equals_its_twin_in_many_scenes():
    compared(1, 3000)


def test_a_row_is_that_of_the_nearest_annotation():
    missing = track(12, 0)._replace(rows=np.array([[3, -1, -1, -1, 43, -1, -1]]))
    assert no_collision(ego(), missing).hit.tolist() == [[-1, -1, 43, 43, 43, -1]]
    assert collisions.FROM == 22
