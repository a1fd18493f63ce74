"""Oriented boxes against shapely, above all where they only touch."""

import numpy as np
import pytest
import shapely

from dima_jax.metrics import polygons

UNIT = (0.0, 0.0, 0.0, 2.0, 1.0)


def boxes(*rows):
    return np.array(rows, float).reshape(-1, 5)


def random_boxes(rng, n):
    return np.column_stack([rng.normal(0, 3, (n, 2)), rng.uniform(-7, 7, n), rng.uniform(0.1, 8, (n, 2))])


def test_corners():
    assert polygons.corners(boxes((1, 2, 0, 4, 2)))[0].tolist() == [[3, 3], [3, 1], [-1, 1], [-1, 3]]
    assert polygons.corners(boxes((1, 2, np.pi / 2, 4, 2)))[0] == pytest.approx(
        np.array([[0, 4], [2, 4], [2, 0], [0, 0]])
    )
    assert polygons.corners(boxes(UNIT).astype(np.float32)).dtype == np.float32
    assert polygons.corners(boxes()).shape == (0, 4, 2)


@pytest.mark.parametrize(
    ("other", "gap", "meets"),
    [
        ((2, 0, 0, 2, 1), 0.0, True),  # sides touch
        ((2, 1, 0, 2, 1), 0.0, True),  # corners touch
        ((0, 1, 0, 2, 1), 0.0, True),
        ((2.5, 0, 0, 2, 1), 0.5, False),
        ((2.5, 3, 0, 2, 1), 2.0, False),
        ((0, 0, 1, 0.1, 0.1), None, True),  # inside
        ((1.9, 0, 0, 2, 1), -0.1, True),
        ((2 + 1e-13, 0, 0, 2, 1), 1e-13, False),
        ((2 - 1e-13, 0, 0, 2, 1), -1e-13, True),
        ((np.nan, 0, 0, 2, 1), np.nan, False),
    ],
)
def test_meet_by_hand(other, gap, meets):
    for one, two in ((boxes(UNIT), boxes(other)), (boxes(other), boxes(UNIT))):
        if gap is not None:
            assert polygons.separation(one, two)[0] == pytest.approx(gap, abs=1e-14, nan_ok=True)
        assert polygons.meet(one, two).tolist() == [meets]


def test_a_cross_meets_without_any_corner_inside():
    assert polygons.meet(boxes((0, 0, 0, 10, 1)), boxes((0, 0, np.pi / 2, 10, 1))).tolist() == [True]


def test_equals_shapely():
    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, 4000), random_boxes(rng, 4000)
    expected = shapely.intersects(*(shapely.polygons(polygons.corners(one)) for one in (a, b)))
    assert 0.2 < expected.mean() < 0.8
    assert (polygons.meet(a, b) == expected).all()


def test_equals_shapely_where_a_corner_touches_a_side():
    rng = np.random.default_rng(1)
    a, b = random_boxes(rng, 2000), random_boxes(rng, 2000)
    corners = polygons.corners(a)
    on_side = corners[:, 0] + rng.random((2000, 1)) * (corners[:, 1] - corners[:, 0])
    b[:, :2] += on_side - polygons.corners(b)[:, 2]
    expected = shapely.intersects(*(shapely.polygons(polygons.corners(one)) for one in (a, b)))
    assert (polygons.meet(a, b) == expected).all()


def test_the_lowest_row_that_is_met_at_its_step():
    ego = np.zeros((2, 6, 5))
    ego[..., 3:] = 4, 2
    ego[1, :, 0], ego[0, 4, 0] = 100, 50
    others = boxes((0, 0, 1, 1, 1), (1, 0, 0, 1, 1), (50, 0, 0, 1, 1), (100, 0, 0, 1, 1))
    step, rows = np.array([2, 2, 4, 5]), np.array([9, 7, 3, 1])
    found = polygons.first_met(ego, others, step, rows)
    assert found.tolist() == [[-1, -1, 7, -1, 3, -1], [-1, -1, -1, -1, -1, 1]]
    assert (polygons.first_met(ego, others[:0], step[:0], rows[:0]) == -1).all()
