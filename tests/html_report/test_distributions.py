"""Charts of many numbers: bars as high as they are many, and nothing of numbers that are not there."""

from xml.etree import ElementTree

import numpy as np
import pytest

from dima_jax.html_report import distributions


def bars(chart):
    return [
        {key: float(one.get(key)) for key in ("x", "y", "width", "height")} | {"told": one[0].text}
        for one in ElementTree.fromstring(str(chart.drawing)).iter("rect")
    ]


def test_a_bar_stands_where_its_numbers_are():
    values = np.array([0.1] * 30 + [9.9] * 15 + [np.nan])
    low, high = bars(distributions.spread("Speed", "m/s", values, (0.0, 10.0)))
    assert (low["height"], high["height"], low["x"]) == (92.0, 46.0, 8.0)
    assert high["x"] + high["width"] == pytest.approx(311.0) and high["told"].endswith("m/s: 15")
    assert low["y"] + low["height"] == high["y"] + high["height"] == 116.0


def test_what_is_beyond_the_axis_is_counted_in_the_last_bar():
    (only,) = bars(distributions.spread("Speed", "m/s", np.array([30.0, 40.0]), (0.0, 10.0)))
    assert only["told"].endswith(": 2") and only["x"] > 300


@pytest.mark.parametrize("values", [[5.0], [0.0, 0.0], [-3.0, 4.0, 1e6], [1e-9]])
def test_any_numbers_can_be_drawn(values):
    found = bars(distributions.spread("A", "m", np.array(values)))
    assert found and all(np.isfinite([one["x"], one["height"]]).all() and 7 <= one["x"] <= 312 for one in found)


def test_nothing_is_drawn_of_nothing():
    assert distributions.spread("A", "m", np.array([np.nan])) is None and distributions.occurrences("A", {}) is None


def test_names_are_counted():
    chart = distributions.occurrences("Classes", {"<car>": 30, "bus": 15, "van": 0})
    assert [one["width"] for one in bars(chart)] == [200.0, 100.0, 1.0]
    assert "&lt;car&gt;" in chart.drawing and "<car>" not in chart.drawing
