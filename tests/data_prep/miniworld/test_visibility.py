"""Box geometry against brute force and against cases computed by hand."""

import math

import numpy as np
import pytest

from data_prep.miniworld.visibility import Boxes, count_points, image_boxes, visible_fraction
from data_prep.miniworld.world.state import Agent

NO_WALLS = np.zeros((0, 2, 2))
CAMERA = np.array([[100.0, 0, 50, 0], [0, 100.0, 40, 0], [0, 0, 1, 0]]) @ np.array(
    [[0, -1.0, 0, 0], [0, 0, -1.0, 1.0], [1.0, 0, 0, 0], [0, 0, 0, 1]]
)  # one meter above the origin, looking along x


def box(x, y, yaw=0.0, width=2.0, length=4.0, height=1.5):
    return Agent("a", "vehicle.car", x, y, yaw, 0.0, width, length, height, False, 0, False, 0)


def test_box_in_front_projects_as_computed_by_hand():
    found = image_boxes(Boxes([box(12.0, 0.0)]), CAMERA[None], (100, 80))[0, 0]
    # nearest face at x = 10: 1 m left and right is 10 px; top is 0.5 m above the camera, bottom 1 m below
    assert found == pytest.approx([40.0, 35.0, 60.0, 50.0])


def test_box_behind_is_nan_and_one_across_the_image_plane_is_cut():
    behind, beside = image_boxes(Boxes([box(-12.0, 0.0), box(0.0, 3.0)]), CAMERA[None], (100, 80))[0]
    assert np.isnan(behind).all() and np.isnan(beside).all()
    assert image_boxes(Boxes([box(1.0, 0.0)]), CAMERA[None], (100, 80))[0, 0] == pytest.approx([0, 0, 100, 80])


def test_points_are_counted_in_turned_boxes():
    rng = np.random.default_rng(0)
    points = rng.uniform([-6, -6, 0.1], [6, 6, 3], (4000, 3))
    boxes = [box(1.0, 2.0, yaw=0.7), box(-2.0, -1.0, yaw=-2.0, height=0.8)]
    expected = []
    for b in boxes:
        turn = np.array([[math.cos(b.yaw), math.sin(b.yaw)], [-math.sin(b.yaw), math.cos(b.yaw)]])
        local = (points[:, :2] - [b.x, b.y]) @ turn.T
        expected.append((np.abs(local) <= [2.0, 1.0]).all(1) & (points[:, 2] <= b.height))
    assert np.abs(count_points(Boxes(boxes), points) - np.sum(expected, 1)).max() <= 3  # a millimeter of slack
    assert count_points(Boxes(boxes), points * [1, 1, 0]).tolist() == [0, 0]  # the road is nobody


def test_walls_and_boxes_in_front_occlude():
    target, truck = Boxes([box(20.0, 0.0)]), Boxes([box(10.0, 0.0, width=3.0, height=3.5)])
    eye, wall = np.array([0.0, 0.0, 1.5]), np.array([[[15.0, -5.0], [15.0, 5.0]]])
    nobody = Boxes([])
    assert visible_fraction(target, eye, NO_WALLS, nobody) == pytest.approx([1.0])
    assert visible_fraction(target, eye, wall, nobody) == pytest.approx([0.0])
    assert visible_fraction(target, eye, np.add(wall, [0, 20.0]), nobody) == pytest.approx([1.0])
    assert visible_fraction(target, eye, NO_WALLS, truck) == pytest.approx([0.0])
    beside = Boxes([box(0.0, 0.0, length=16.0, width=2.5, height=3.5)])  # the eye is inside its round outline
    behind = Boxes([box(21.0, -7.1)])  # its end is 109 degrees from the direction of its middle
    assert visible_fraction(behind, np.array([4.0, 3.5, 1.5]), NO_WALLS, beside) < 0.7
    half = Boxes([box(10.0, 1.5, width=3.0, height=3.5)])
    assert 0.3 < visible_fraction(target, eye, NO_WALLS, half)[0] < 0.7
    assert visible_fraction(Boxes([]), eye, wall, truck).shape == (0,)


def test_boxes_occlude_each_other_and_not_themselves():
    eye = np.array([0.0, 0.0, 1.5])
    row = Boxes([box(20.0, 0.0), box(10.0, 0.0, width=3.0, height=3.5), box(-10.0, 0.0)])
    assert visible_fraction(row, eye, NO_WALLS) == pytest.approx([0.0, 1.0, 1.0])
    assert visible_fraction(row, eye, np.array([[[-5.0, -5.0], [-5.0, 5.0]]])) == pytest.approx([0.0, 1.0, 0.0])
