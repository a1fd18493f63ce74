"""Turns by 60 degrees in 35 m, and turning around, with and without reversing."""

import numpy as np
import pytest

from data_prep.mining import turning
from tests.data_prep.mining.made import frames, tracks

STRAIGHT = [0.0] * 6


def test_targeted_is_the_command():
    is_turning = np.arange(7) == 3
    scene = tracks([5.0] * 6, turning=is_turning)
    np.testing.assert_array_equal(turning.targeted(scene), is_turning)
    assert turning.targeted(scene) is not scene.turning


@pytest.mark.parametrize(
    ("degrees", "speed", "found"),
    [
        (12.0, 5.0, True),  # 72 degrees in 15 m
        (9.5, 5.0, False),  # 57 degrees
        (12.0, 18.0, False),  # 72 degrees in 54 m: a street that bends
    ],
)
def test_a_turn(degrees, speed, found):
    turns = [*STRAIGHT, *[degrees] * 6, *STRAIGHT]
    left, right = (tracks([speed] * 18, sign * np.array(turns)) for sign in (1, -1))
    assert turning.turn_left(left).any() == turning.turn_right(right).any() == found
    assert not turning.turn_right(left).any() and not turning.turn_left(right).any()


def test_the_wait_before_a_turn_is_no_part_of_it():
    scene = tracks([5.0] * 4 + [0.0] * 10 + [5.0] * 6, [0.0] * 14 + [16.0] * 6)
    assert frames(turning.turn_left(scene)) == list(range(14, 21))


def test_steering_away_before_a_turn_is_no_part_of_it():
    scene = tracks([5.0] * 16, [0.0, 5.0, -5.0, 20.0, 20.0, 20.0, 5.0, *[0.0] * 9])
    assert frames(turning.turn_left(scene)) == [3, 4, 5, 6]


@pytest.mark.parametrize(("sign", "degrees", "around"), [(1, 26.0, True), (-1, 26.0, True), (1, 24.0, False)])
def test_a_u_turn_is_not_two_turns(sign, degrees, around):
    scene = tracks([5.0] * 18, sign * np.array([*STRAIGHT, *[degrees] * 6, *STRAIGHT]))
    assert turning.u_turn(scene).any() == around
    assert (turning.turn_left(scene) | turning.turn_right(scene)).any() == (not around)
    assert not turning.three_point_turn(scene).any()


def test_around_a_block_is_no_u_turn():
    block = [*STRAIGHT, *[15.0] * 6, *STRAIGHT, *[15.0] * 6, *STRAIGHT]
    scene = tracks([6.0] * len(block), block)
    assert not turning.u_turn(scene).any() and turning.turn_left(scene).any()


@pytest.mark.parametrize(("back", "found"), [(-1.5, True), (-0.2, False)])
def test_a_three_point_turn_reverses(back, found):
    speeds = [*[2.0] * 6, 0.0, *[back] * 4, 0.0, *[3.0] * 6]
    turns = [*[12.0] * 6, 0.0, *[12.0] * 4, 0.0, *[10.0] * 6]
    scene = tracks(speeds, turns)
    assert turning.three_point_turn(scene).any() == found
    assert turning.u_turn(scene).any() == (not found)
    assert not turning.turn_left(scene).any()
    assert not turning.three_point_turn(tracks(speeds, 0.0)).any()  # into a parking space, say
