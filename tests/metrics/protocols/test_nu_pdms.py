"""`nu_pdms` on whole drives, and its definition."""

import numpy as np
import pytest

from dima_jax.metrics.protocols.nu_pdms import PROTOCOL
from dima_jax.scoring import align, controls, run
from dima_jax.scoring.run import why_not
from tests.metrics.pdms.changed import changed
from tests.scoring.fake import fake_plans, fake_truth

TRUTH = fake_truth(scenes=3, frames=9, agents=8)


def test_the_definition_is_the_one_that_was_published():
    assert (PROTOCOL.definition.version, PROTOCOL.definition.hash) == (1, "e814c77f6616")
    assert "PDMS" not in PROTOCOL.definition.name + PROTOCOL.definition.title


def table(truth, plans):
    """{planner: {column: mean}}."""
    found = run.score(truth, plans, ["nu_pdms"], workers=1)["nu_pdms"]
    names = [column.name for column in found.definition.columns]
    means = [np.nansum(v * w, axis=0) / w.sum(axis=0) for v, w in zip(found.value, found.weight, strict=True)]
    return {name: dict(zip(names, one, strict=True)) for name, one in zip(plans.names, means, strict=True)}


def test_the_recorded_drive_is_best_and_standing_is_not():
    rows = table(TRUTH, align.align(TRUTH, controls.plans(TRUTH), True))
    assert rows["recorded path"]["score_filtered"] > 0.98
    assert all(rows["recorded path"][name] == 1 for name in ("nc", "dac", "ttc", "c"))
    assert rows["stand still"]["ep"] < 0.5 and rows["stand still"]["score_filtered"] < 0.7


def test_only_frames_with_six_that_follow_enter():
    found = run.score(TRUTH, fake_plans(TRUTH), ["nu_pdms"], workers=1)["nu_pdms"]
    np.testing.assert_array_equal(found.weight[0].max(axis=1) > 0, TRUTH.future_valid)
    assert found.value[0, TRUTH.future_valid].min() >= 0 and np.nanmax(found.value) <= 1
    product = [found.values[name][..., 0] for name in ("nc", "dac", "ttc", "ep", "c")]
    expected = product[0] * product[1] * (5 * product[2] + 5 * product[3] + 2 * product[4]) / 12
    np.testing.assert_allclose(found.values["score_unfiltered"][..., 0], expected)


def test_what_the_recorded_drive_fails_counts_for_nobody():
    """No drivable area but the other lane: everyone is off the road."""
    layers = TRUTH.area_layer.copy()
    layers[~np.isin(np.arange(len(layers)) % 10, (4, 9))] = 7
    layers[np.arange(len(layers)) % 10 == 7] = 0
    rows = table(
        changed(TRUTH, area_layer=layers, ring_vertices=TRUTH.ring_vertices.copy()),
        align.align(TRUTH, controls.plans(TRUTH), True),
    )
    for row in rows.values():
        assert row["dac"] == row["score_unfiltered"] == 0.0 and row["score_filtered"] > 0.1


def test_a_truth_without_areas_says_so():
    arrays = {
        key: array for key, array in TRUTH.arrays().items() if not key.startswith(("area", "ring", "center", "light"))
    }
    assert why_not(PROTOCOL.definition, type(TRUTH)(TRUTH.header, **arrays)) == (
        "needs areas: data_prep.truth --dataroot adds them"
    )


@pytest.mark.parametrize("other", [["nu_pdms", "stp3_vad"], ["nu_epdms", "nu_pdms"]])
def test_protocols_do_not_change_one_another(other):
    plans = fake_plans(TRUTH)
    alone, both = (run.score(TRUTH, plans, names, workers=1) for names in ([other[-1]], other))
    np.testing.assert_array_equal(alone[other[-1]].value, both[other[-1]].value)
