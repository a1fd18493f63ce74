"""Where vehicles may be added, by hand: a road along y with boundaries at x = -5.25 and 5.25 and a divider at -1.75."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.teacher import placement
from dima_jax.teacher.placement import Agents, Lines

PC_RANGE = (-15.0, -30.0, -2.0, 15.0, 30.0, 2.0)
SIZE = jnp.array([2.0, 4.0])  # width, length
NORTH = jnp.pi / 2  # heading of the ego


def road(divider=True):
    x = jnp.array([-5.25, -1.75, 5.25])
    y = jnp.linspace(-29.0, 29.0, 5)
    points = jnp.stack(jnp.broadcast_arrays(x[:, None], y), axis=-1)
    return Lines(points, jnp.array([False, divider, False]), jnp.array([True, False, True]))


def track(x, y, speed=0.0):
    """Positions [7, 2] of a vehicle that drives along +y, `speed` in meters per step."""
    return jnp.array([x, y]) + speed * jnp.stack([jnp.zeros(7), jnp.arange(7.0)], axis=1)


def agents(*tracks, mask=None):
    mask = [True] * len(tracks) if mask is None else mask
    return Agents(jnp.stack(tracks), jnp.full(len(tracks), NORTH), jnp.tile(SIZE, (len(tracks), 1)), jnp.array(mask))


def test_crossing_by_hand():
    lines = jnp.array([[[0.0, 2.0], [4.0, 2.0]], [[9.0, 0.0], [9.0, 1.0]]])
    start, end = jnp.zeros((4, 2)), jnp.array([[1.0, 3.0], [1.0, 1.0], [-1.0, 3.0], [10.0, 0.5]])
    every = jnp.array([True, True])
    np.testing.assert_array_equal(placement.crosses_any(start, end, lines, every), [True, False, False, True])
    np.testing.assert_array_equal(
        placement.crosses_any(start, end, lines, jnp.array([True, False])), [True, False, False, False]
    )


def test_beside_a_bent_line_by_hand():
    """6 m north, then 6 m east; from its middle, 1.75 m to the right."""
    points = jnp.array([[0.0, 0.0], [0.0, 6.0], [6.0, 6.0]])
    xy, tangent = placement.follow_beside(points, jnp.array(0.0), jnp.array(-1.0), jnp.array([0.0, 12.0, 14.0]))
    np.testing.assert_allclose(xy, [(1.75, 0.0), (6.0, 4.25), (8.0, 4.25)], atol=1e-5)
    np.testing.assert_allclose(tangent, [(0, 1), (1, 0), (1, 0)], atol=1e-5)


def test_distance_to_lines_by_hand():
    lines = jnp.array([[[0.0, 0.0], [0.0, 4.0]], [[3.0, 4.0], [9.0, 4.0]]])
    np.testing.assert_allclose(
        placement.distance_to_lines(jnp.array([[1.0, 2.0]]), lines), [[1.0, 8.0**0.5]], rtol=1e-6
    )


def test_inside_is_a_meter_within_the_range():
    start = jnp.array([[13.9, 0.0], [14.1, 0.0], [0.0, -28.9], [0.0, -29.1]])
    np.testing.assert_array_equal(placement.is_inside(start, PC_RANGE), [True, False, True, False])


def test_drivable_is_this_side_of_every_boundary():
    """Half a width of 1 m and 0.2 m stay free of the boundary at 5.25; a track may not cross it either."""
    leaves = track(3.5, 0.0).at[-1].set(jnp.array([6.0, 6.0]))
    tracks = jnp.stack([track(3.5, 10.0), track(4.0, 10.0), track(4.1, 10.0), track(8.0, 10.0), leaves])
    drivable = jax.jit(placement.is_drivable)(tracks, road(), SIZE)
    np.testing.assert_array_equal(drivable, [True, True, False, False, False])


def test_clear_of_agents_at_every_step():
    """Boxes of 4 m that look the same way: 4.5 m from center to center ahead and 2.2 m aside are the limits."""
    standing = agents(track(0.0, 10.0))
    tracks = jnp.stack([track(0, 5.4), track(0, 5.6), track(2.1, 10), track(2.3, 10), track(0, -10, speed=3)])
    headings = jnp.full((5, 7), NORTH)
    is_clear = jax.jit(placement.is_clear_of_agents)
    np.testing.assert_array_equal(is_clear(tracks, headings, standing, SIZE), [True, False, False, True, False])
    oncoming = agents(track(0.0, 12.0, speed=-2.0))  # three steps from now it meets the first one, too
    np.testing.assert_array_equal(is_clear(tracks, headings, oncoming, SIZE), [False, False, False, True, False])
    absent = agents(track(0.0, 10.0), mask=[False])
    assert is_clear(tracks, headings, absent, SIZE).all()


def test_a_turned_agent_takes_more_room_aside():
    across = agents(track(0.0, 10.0))._replace(heading=jnp.array([0.0]))  # 4 m along x, 2 m along y
    tracks = jnp.stack([track(3.1, 10.0), track(3.3, 10.0), track(0.0, 6.4), track(0.0, 6.6)])
    clear = jax.jit(placement.is_clear_of_agents)(tracks, jnp.full((4, 7), NORTH), across, SIZE)
    np.testing.assert_array_equal(clear, [False, True, True, False])


def test_clear_of_the_ego():
    """2 m ahead of its 4.084 m, and 0.2 m beside its 1.85 m."""
    start = jnp.array([[0.0, 6.0], [0.0, 6.1], [2.0, 0.0], [2.2, 0.0]])
    np.testing.assert_array_equal(
        placement.is_clear_of_ego(start, jnp.full(4, NORTH), SIZE), [False, True, False, True]
    )


def test_a_conflict_is_at_the_same_future_step():
    path = track(0.0, 0.0, speed=4.0)
    tracks = jnp.stack([track(0, 24), track(2.9, 12), track(3.1, 12), track(0, 0, speed=-4.0), track(0, 4, speed=4.0)])
    np.testing.assert_array_equal(placement.conflicts_with_path(tracks, path), [True, True, False, False, False])


def test_candidates_by_hand():
    """Uniforms for line, place, side, speed and direction, of two usable lines: the divider and the right boundary."""
    lines = road()._replace(boundary=jnp.array([False, False, True]))
    uniforms = jnp.array([
        [0.0, 0.75, 0.9, 0.75, 0.0],  # the divider, y = 14.5, right of it: the ego's direction whatever the last says
        [0.0, 0.75, 0.1, 0.75, 0.0],  # left of it, across the divider: the other direction
        [0.0, 0.75, 0.1, 0.75, 0.9],  # left of it, the ego's direction
        [0.9, 0.25, 0.1, 0.40, 0.0],  # the boundary at 5.25, left of it, standing
    ])  # fmt: skip
    tracks, headings, exists = jax.jit(placement.draw_candidates, static_argnums=2)(uniforms, lines, 7)
    assert exists.all()
    np.testing.assert_allclose(tracks[:, 0], [(0.0, 14.5), (-3.5, 14.5), (-3.5, 14.5), (3.5, -14.5)], atol=1e-5)
    last = [(0.0, 26.5), (-3.5, 2.5), (-3.5, 26.5), (3.5, -14.5)]  # 4 m/s for 3 s
    np.testing.assert_allclose(tracks[:, -1], last, atol=1e-5)
    np.testing.assert_allclose(headings[:, 0], [NORTH, -NORTH, NORTH, NORTH], atol=1e-6)


def test_without_lines_no_candidate_exists():
    lines = road(divider=False)._replace(boundary=jnp.zeros(3, bool))
    assert not jax.jit(placement.draw_candidates, static_argnums=2)(jnp.full((4, 5), 0.5), lines, 7)[2].any()


@pytest.fixture(scope="module")
def place():
    """jitted (lines, agents, conflict wanted, key) -> Placement beside the path of an ego at 2 m per step."""

    def run(lines, agents, want_conflict, key):
        uniforms = jax.random.uniform(key, (placement.CANDIDATES, 5))
        path = track(0.0, 0.0, speed=2.0)
        return placement.place_vehicle(uniforms, lines, agents, path, SIZE, PC_RANGE, want_conflict)

    return jax.jit(run)


@pytest.mark.parametrize("want_conflict", [False, True])
def test_the_wanted_kind_of_place_is_found(place, want_conflict):
    path = track(0.0, 0.0, speed=2.0)
    for seed in range(4):
        found = place(road(), agents(track(-3.5, -10.0)), jnp.array(want_conflict), jax.random.key(seed))
        assert found.found
        assert bool(placement.conflicts_with_path(found.track, path)) == want_conflict


def test_a_full_road_has_no_place(place):
    """An agent as large as the road stands on it."""
    everywhere = agents(track(0.0, 0.0))._replace(size=jnp.array([[60.0, 60.0]]))
    assert not place(road(), everywhere, jnp.array(True), jax.random.key(0)).found
