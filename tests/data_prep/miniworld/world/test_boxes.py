"""Boxes overlap only when they do."""

import numpy as np
import shapely

from data_prep.miniworld.world import boxes


def test_boxes_overlap_only_when_they_do():
    car = boxes.corners(np.zeros(2), np.array(0.0), np.array(4.0), np.array(2.0))
    beside = boxes.corners(np.array([0.0, 2.01]), np.array(0.0), np.array(4.0), np.array(2.0))
    corner = boxes.corners(np.array([2.6, 1.6]), np.array(np.pi / 4), np.array(4.0), np.array(0.5))
    across = boxes.corners(np.array([0.0, 2.0]), np.array(np.pi / 2), np.array(4.0), np.array(0.5))
    assert not boxes.overlap(car, beside) and boxes.overlap(car, across)
    assert boxes.overlap(car, corner) == shapely.Polygon(car).intersects(shapely.Polygon(corner))
    assert not boxes.overlap(car, np.full((4, 2), np.nan))
