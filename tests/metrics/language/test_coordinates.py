"""F1 of points against hand-computed values."""

import pytest

from dima_jax.metrics.language import coordinates

TRUTH = "Firstly <c3,CAM_FRONT,1043.2,82.2>, then <c1,CAM_BACK,1088.3,497.5> and <c2,CAM_BACK,864.2,468.3>."


def test_points_are_pairs_of_decimal_numbers():
    assert coordinates.points("<c1,CAM_BACK,1088.3,497.5> at 12 m, 0.5") == [(1088.3, 497.5)]
    assert coordinates.points("nothing") == []
    assert coordinates.points("9" * 400 + ".0,1.0") == [(float("inf"), 1.0)]


@pytest.mark.parametrize(
    ("answer", "found", "f1"),
    [
        (TRUTH, 3, 1.0),
        ("<c9,CAM_LEFT,1043.2,82.2>", 1, 2 * 1 * (1 / 3) / (1 + 1 / 3)),  # the camera is not compared
        ("1051.1,90.1", 1, 0.5),  # 7.9 + 7.9 = 15.8 pixels
        ("1051.2,90.2", 0, 0.0),  # 16 pixels
        ("1043.2,82.2 and 1043.2,82.2", 1, 2 * 0.5 * (1 / 3) / (0.5 + 1 / 3)),  # a point is found once
        ("none", 0, 0.0),
        ("1.5", 0, 0.0),
    ],
)
def test_f1(answer, found, f1):
    named, score = coordinates.match(answer, TRUTH)
    assert len(named) == found and score == pytest.approx(f1, abs=1e-6)


def test_the_nearest_point_that_is_left_is_taken():
    truth = "100.0,100.0 and 104.0,100.0"
    assert coordinates.match("103.0,100.0 then 101.0,100.0", truth)[0] == [(104.0, 100.0), (100.0, 100.0)]
    assert coordinates.match("102.0,100.0", truth)[0] == [(100.0, 100.0)]  # the first of equals
