"""Charts of a study: where the marks are, and what is left out."""

import re

import numpy as np
import pytest

from dima_jax.html_report import study_charts
from dima_jax.output_files import json_text
from tests.study import fake
from tests.test_output_files import strict


@pytest.fixture(scope="module")
def result():
    return strict(json_text(fake.result()))


def drawn(result, arms):
    rows = {arm: result["differences"]["all frames"][arm]["l2_avg"] for arm in arms}
    return study_charts.forest(result, "all frames", "l2_avg", rows)


def test_marks_lie_between_the_ends_and_on_the_right_side_of_zero(result):
    chart = drawn(result, result["order"])
    text = str(chart.drawing)
    marks = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', text)]
    ranges = [
        (float(a), float(b)) for a, b in re.findall(r'x1="([\d.]+)" y1="[\d.]+" x2="([\d.]+)"[^>]*class="range', text)
    ]
    (zero,) = re.findall(r'x1="([\d.]+)"[^>]*class="zero"', text)
    assert len(marks) == len(ranges) == 3 and marks == sorted(marks)
    assert all(a <= x <= b for x, (a, b) in zip(marks, ranges, strict=True))
    assert marks[0] < float(zero) < marks[-1]
    assert "mark a-better" in text and "mark open undecided" in text
    assert chart.title == "L2 avg, m: each arm minus alone, all frames" and chart.note.startswith("Vector mode.")


def test_meters_have_three_digits():
    assert study_charts.number(-0.0123, "m", "+") == "−0.012" and study_charts.number(0.0123, "share") == "1.23"
    one = {"low": -0.1, "high": 0.2}
    assert study_charts.interval(one, "m", "+") == "−0.100 to +0.200"
    assert study_charts.interval({"low": None, "high": None}, "m") == ""


def test_a_curve_beside_that_is_not_known_is_left_out(result):
    charts = study_charts.curves(result, "l2_student", "l2_teacher", "m")
    assert [chart.title for chart in charts] == list(fake.OFF)
    for chart in charts:
        assert str(chart.drawing).count("<polyline") == 1 and chart.note == "L2 student ends at 0.500 m"
    result["curves"]["alone"]["l2_teacher"] = result["curves"]["alone"]["l2_student"]
    first = study_charts.curves(result, "l2_student", "l2_teacher", "m")[0]
    assert str(first.drawing).count("<polyline") == 2 and first.note.endswith("L2 teacher ends at 0.500 m")


def test_curves_fall_as_the_numbers_do(result):
    (first, *_) = study_charts.curves(result, "plan_loss", None, "")
    xy = np.array(
        [
            [float(x) for x in pair.split(",")]
            for pair in re.search(r'<polyline points="([^"]+)"', str(first.drawing))[1].split()
        ]
    )
    assert (np.diff(xy[:, 0]) > 0).all() and (np.diff(xy[:, 1]) >= 0).all()  # y grows downwards
