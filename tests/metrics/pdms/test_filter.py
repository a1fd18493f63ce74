"""The filter comes first, then the product and the weighted mean of what is there."""

import numpy as np
import pytest

from dima_jax.metrics.pdms.filter import Formula, filtered

FORMULA = Formula(("nc", "dac"), {"ttc": 5.0, "ep": 5.0, "c": 2.0})
NOTHING = dict.fromkeys(FORMULA.names, np.ones(1))


def told(**values):
    return NOTHING | {name: np.array([value], float) for name, value in values.items()}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, 1.0),
        ({"nc": 0.5}, 0.5),
        ({"dac": 0}, 0.0),
        ({"nc": 0.5, "ttc": 0}, 0.5 * 7 / 12),
        ({"ep": 0.4, "c": 0}, 7 / 12),
        ({"dac": np.nan}, 1.0),
        ({"c": np.nan, "ttc": 0}, 0.5),
    ],
)
def test_the_formula(values, expected):
    assert FORMULA.score(told(**values)).tolist() == pytest.approx([expected])


def test_what_is_absent_leaves_the_formula():
    values = told(ttc=0)
    del values["c"], values["dac"]
    assert FORMULA.score(values).tolist() == [0.5]
    assert np.isnan(FORMULA.score(told(ttc=np.nan, ep=np.nan, c=np.nan))).all()


def test_whatever_the_recorded_drive_fails_is_one_before_anything_is_multiplied():
    plan, human = told(nc=0, ttc=0, c=0), told(nc=0, ttc=0)
    assert FORMULA.score(plan).tolist() == [0.0]
    assert FORMULA.score(filtered(plan, human)).tolist() == pytest.approx([10 / 12])


def test_the_filter_only_lifts_what_is_zero_there():
    assert filtered(told(nc=0), told(nc=0.5))["nc"] == [0.0]
    assert filtered(told(ep=0.3), told(ep=0.0))["ep"] == [1.0]
    assert filtered(told(nc=0.5), told(nc=0.0))["nc"] == [1.0]
    assert np.isnan(filtered(told(ep=np.nan), told(ep=0.0))["ep"]).all()
    assert filtered(told(ep=0.3), told(ep=np.nan))["ep"] == [0.3]
