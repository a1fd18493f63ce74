"""Who has which color."""

import numpy as np

from dima_jax.html_report import series

RESULT = {
    "planners": [
        {"row": name, "kind": kind}
        for name, kind in (
            ("a", "prediction"),
            ("recorded path", "control"),
            ("still", "control"),
            ("b", "prediction"),
            ("x0.5", "audit"),
        )
    ]
}


def test_predictions_and_controls_have_colors_of_their_own():
    found = series.all_series(RESULT, np.array([one["row"] for one in RESULT["planners"]]))
    assert [(one.row, one.name, one.style, one.shown) for one in found] == [
        (0, "a", "s0", True),
        (2, "still", "c0", False),
        (3, "b", "s1", True),  # and nothing of the audit
    ]
    assert series.first(found).name == "a" and series.first(found[1:2]).name == "still" and series.first([]) is None


def test_a_prediction_may_be_called_like_the_recorded_path():
    result = {"planners": [{"row": "recorded path", "kind": "prediction"}]}
    assert [one.name for one in series.all_series(result, np.array(["recorded path"]))] == ["recorded path"]


def test_colors_begin_again_where_they_end():
    found = series.all_series({"planners": []}, np.array([f"p{number}" for number in range(8)]))
    assert found[6].style == "s0" and found[7].style == "s1"
