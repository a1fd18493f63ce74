"""The two scores of a frame, and what both protocols share."""

import numpy as np
import pytest

from dima_jax.metrics.pdms import subscores as module
from dima_jax.metrics.pdms.filter import Formula
from dima_jax.metrics.protocols import nu_parts
from tests.scoring.fake import fake_truth

FORMULA = Formula(("nc", "dac"), {"ttc": 5.0, "ep": 5.0, "c": 2.0})
TRUTH = fake_truth(scenes=1, frames=12, agents=8)


def plans(*factors):
    human = np.column_stack([TRUTH.ego_path[2], TRUTH.ego_path_yaw[2]])
    return np.stack([human * [factor, 1, 1] for factor in factors])


def test_one_column_a_quantity_and_both_scores_first():
    columns = nu_parts.columns(FORMULA)
    assert [column.name for column in columns[:2]] == ["score_filtered", "score_unfiltered"]
    assert nu_parts.quantities(FORMULA) == {column.name: "score" for column in columns}
    assert nu_parts.constants(FORMULA)["dac_needs"] and "tlc_needs" not in nu_parts.constants(FORMULA)


@pytest.mark.parametrize(("counts_allowed", "expected"), [(True, 0.0), (False, 1.0)])
def test_progress_of_a_plan_that_strikes(counts_allowed, expected):
    told = nu_parts.Told(TRUTH, 2, plans(1.0, 2.5), FORMULA, counts_allowed=counts_allowed)
    assert told.plans["nc"].tolist() == [[1.0], [0.0]]
    assert told.plans["ep"].tolist() == [[pytest.approx(1.0, abs=0.03)], [expected]]
    assert told.human["ep"].shape == (2, 1) and (told.human["nc"] == 1).all()


@pytest.mark.parametrize(
    ("reference", "expected"),
    [({"meters": 36.0, "nc": 1.0, "dac": 1.0}, 0.5), ({"meters": 36.0, "nc": 0.5, "dac": 0.0}, 1.0), (None, 1.0)],
)
def test_progress_is_measured_against_the_reference(monkeypatch, reference, expected):
    """The plan and the recorded drive come 18 m far."""
    monkeypatch.setattr(nu_parts, "subscores", lambda *told: module.subscores(*told)._replace(reference=reference))
    nu_parts._found.cache_clear()
    told = nu_parts.Told(TRUTH, 1, plans(1.0), FORMULA, counts_allowed=False)
    assert told.plans["ep"][0, 0] == pytest.approx(expected, abs=0.02)
    nu_parts._found.cache_clear()


def test_a_plan_that_is_no_number_has_no_score():
    told = nu_parts.Told(TRUTH, 2, plans(1.0, np.nan), FORMULA, counts_allowed=True)
    steps = told.steps(told.plans | nu_parts.scores(FORMULA, told.plans, told.human))
    assert all(np.isnan(steps.values[name][1, 0]) for name in nu_parts.quantities(FORMULA))
    assert steps.values["score_filtered"][0, 0] == pytest.approx(1.0, abs=0.02)
    assert (steps.hit == -1).all() and not steps.recorded.any()
    assert steps.values[nu_parts.REFERENCE].tolist() == [[1.0], [1.0]]


def test_a_frame_is_driven_once_for_both_protocols(monkeypatch):
    calls = []
    monkeypatch.setattr(nu_parts, "subscores", lambda *told: calls.append(told) or module.subscores(*told))
    nu_parts._found.cache_clear()
    for counts_allowed in (True, False):
        nu_parts.Told(TRUTH, 3, plans(1.0), FORMULA, counts_allowed=counts_allowed)
    nu_parts.Told(TRUTH, 3, plans(1.1), FORMULA, counts_allowed=True)
    assert len(calls) == 2
