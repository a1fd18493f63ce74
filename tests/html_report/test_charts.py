"""Charts: numbers in the right place."""

import re
from xml.etree import ElementTree

import numpy as np

from dima_jax.html_report import charts
from dima_jax.html_report.series import Series
from tests.html_report import fake_page

OURS = Series(0, "ours", "prediction", "s0", True)


def test_ticks_are_round_and_within():
    assert charts.ticks(0.0, 4.4) == [0, 1, 2, 3, 4] and charts.ticks(-1.1, 0.2) == [-1.0, -0.5, 0.0]
    assert charts.ticks(0.0, 0.0) == [0.0] and len(charts.ticks(-3e-5, 7e5)) <= 6


def test_differences_stand_where_they_are():
    result, _, _ = fake_page.scored()
    name = fake_page.HOSTILE[0]
    found = charts.differences(result, name)
    assert [re.sub(",.*", "", one.title) for one in found] == ["L2 avg", "collision avg"]
    rows = [
        one for one in result["differences"]["stp3_vad"]["all frames"] if one["a"] == name and one["column"] == "l2_avg"
    ]
    root = ElementTree.fromstring(str(found[0].drawing))
    marks = [float(one.get("cx")) for one in root.iter("circle")]
    shown = [one["difference"] for one in rows][: len(marks)]
    assert len(rows) == 3 and len(marks) == 3
    assert np.argsort(marks).tolist() == np.argsort(shown).tolist()
    zero = next(float(one.get("x1")) for one in root.iter("line") if one.get("class") == "zero")
    assert [mark > zero for mark in marks] == [one > 0 for one in shown]


def test_a_far_difference_is_an_arrow():
    row = {"a": "ours", "column": "l2_avg", "verdict": "a_better"}
    rows = [row | {"b": f"b{d}", "difference": -d, "low": -d - 0.1, "high": -d + 0.1} for d in (0.5, 0.6, 9.0)]
    definition = {"quantities": {"l2": "m"}}
    rows.append(row | {"b": "ours, half the speed", "difference": 0.1, "low": 0.0, "high": 0.2})
    audited = [{"name": "ours, half the speed", "kind": "audit"}]
    told = {"p": {"definition": definition}}
    result = {"planners": audited, "differences": {"p": {"all frames": rows}}, "protocols": told}
    root = ElementTree.fromstring(str(charts.differences(result, "ours")[0].drawing))
    assert len(list(root.iter("circle"))) == 2 and len(list(root.iter("polyline"))) == 1
    text = "".join(root.itertext())
    assert "−9.00" in text and "half the speed" not in text  # which is the audit's


def test_histograms_hold_every_frame():
    result, frames, _ = fake_page.scored()
    (found,) = charts.histograms(result, frames.arrays, [OURS])
    counted = int(frames.arrays["stp3_vad/entered"].sum())
    assert found.note.startswith(f"{counted} frames")
    heights = [float(one.get("height")) for one in ElementTree.fromstring(str(found.drawing)).iter("rect")]
    assert len(heights) == charts.BINS and max(heights) > 0


def test_what_is_far_away_is_in_the_last_bar():
    value = np.concatenate([np.linspace(0.1, 1.0, 99), [100.0]])
    definition = {
        "columns": [{"name": "l2_1s", "quantity": "l2"}],
        "averages": {"l2_avg": ["l2_1s"]},
        "quantities": {"l2": "m"},
    }
    result = {"protocols": {"p": {"available": True, "columns_not_available": {}, "definition": definition}}}
    arrays = {"p/columns": np.array(["l2_1s"]), "p/value": value[None, :, None], "p/weight": np.ones((1, 100, 1))}
    (found,) = charts.histograms(result, arrays, [OURS])
    heights = [float(one.get("height")) for one in ElementTree.fromstring(str(found.drawing)).iter("rect")]
    assert heights[-1] > 0 == heights[-2] and "100 frames; 1 at" in found.note


def test_rates_are_over_the_steps_that_count():
    arrays = {
        "p/collision": np.array([[[1.0, 1.0], [0.0, 1.0], [1.0, np.nan], [1.0, 1.0]]]),
        "p/collision/mask": np.array([[[True, True], [True, True], [True, False], [True, True]]]),
        "p/entered": np.array([True, True, True, False]),
    }
    np.testing.assert_allclose(charts.rates(arrays, "p", 0), [2 / 3, 1.0])
    arrays["p/entered"][:] = False
    assert np.isnan(charts.rates(arrays, "p", 0)).all()


def test_collisions_are_drawn_of_each_protocol_that_knows_them():
    result, frames, _ = fake_page.scored()
    found = charts.collisions(result, frames.arrays, [OURS])
    assert [one.title for one in found] == [
        name for name in fake_page.PROTOCOLS if f"{name}/collision" in frames.arrays
    ]
    points = next(ElementTree.fromstring(str(found[0].drawing)).iter("polyline")).get("points").split()
    heights = [-float(one.split(",")[1]) for one in points]
    rates = charts.rates(frames.arrays, found[0].title, 0)
    np.testing.assert_allclose(np.corrcoef(heights, rates)[0, 1], 1.0, atol=1e-3)
