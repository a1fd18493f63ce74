"""`nu_epdms`: what it has beyond `nu_pdms`, above all two plans in a row."""

import numpy as np

from dima_jax.metrics.protocols import nu_epdms
from dima_jax.metrics.protocols.nu_epdms import FORMULA, PROTOCOL
from dima_jax.scoring import align, controls, run
from tests.metrics.pdms.changed import changed
from tests.scoring.fake import fake_plans, fake_truth

TRUTH = fake_truth(scenes=3, frames=10, agents=8)
CONTROLS = align.align(TRUTH, controls.plans(TRUTH), True)
FIRST = TRUTH.frame_index == 0


def scored(truth=TRUTH, plans=CONTROLS):
    return run.score(truth, plans, ["nu_epdms"], workers=1)["nu_epdms"]


def test_the_definition_is_the_one_that_was_published():
    assert (PROTOCOL.definition.version, PROTOCOL.definition.hash) == (1, "438191bcf99c")
    assert "PDMS" not in PROTOCOL.definition.name + PROTOCOL.definition.title


def test_the_recorded_drive_is_right_in_everything():
    found = scored()
    for name in ("nc", "dac", "ddc", "tlc", "ttc", "lk", "hc"):
        assert (found.values[name][0, TRUTH.future_valid] == 1).all(), name
    assert (found.values["ec"][0, TRUTH.future_valid & ~FIRST] == 1).all()
    assert found.values["score_filtered"][0, TRUTH.future_valid].min() > 0.98
    assert set(found.values) == set(PROTOCOL.definition.quantities) | {"idm_reference"} == set(found.masks)


def test_the_first_frame_of_a_scene_has_no_plan_before_it():
    found = scored()
    known = found.masks["ec"][0, :, 0]
    np.testing.assert_array_equal(known, TRUTH.future_valid & ~FIRST)
    assert np.isnan(found.values["ec"][:, FIRST]).all()
    rest = [found.values[name][..., 0] for name in FORMULA.names]
    product, weights = np.prod(rest[:4], axis=0), np.array([5, 5, 2, 2])
    expected = product * (weights[:, None, None] * rest[4:8]).sum(axis=0) / 14
    np.testing.assert_allclose(found.values["score_unfiltered"][:, FIRST, 0], expected[:, FIRST])
    with_ec = (expected * 14 + product * 2 * np.nan_to_num(rest[8])) / 16
    np.testing.assert_allclose(found.values["score_unfiltered"][:, known, 0], with_ec[:, known])


def test_plans_that_change_their_mind_are_not_consistent():
    """Steady but for one frame that brakes: that frame and the one after it."""
    plans = fake_plans(TRUTH, noise=0.0)
    plans.ego[0, 12] *= np.array([0.5, 1.0, 1.0])
    told = scored(plans=plans).values["ec"][..., 0]
    assert np.flatnonzero(told[0] == 0).tolist() == [12, 13] and (told[1][~np.isnan(told[1])] == 1).all()


def test_frames_too_far_apart_are_no_pair():
    late = TRUTH.timestamp + 60_000 * np.arange(len(TRUTH.tokens))
    assert not nu_epdms._follows(changed(TRUTH, timestamp=late)).any()
    almost = TRUTH.timestamp + 49_000 * np.arange(len(TRUTH.tokens))
    np.testing.assert_array_equal(nu_epdms._follows(changed(TRUTH, timestamp=almost)), ~FIRST)
    np.testing.assert_array_equal(nu_epdms._follows(changed(TRUTH, timestamp=None)), ~FIRST)


def test_a_plan_that_is_missing_breaks_both_pairs():
    covered = CONTROLS.covered.copy()
    covered[1, 11] = False
    found = scored(plans=CONTROLS._replace(covered=covered))
    assert np.isnan(found.values["ec"][1, [11, 12], 0]).all() and found.masks["ec"][1, 13, 0]
    assert np.isnan(found.values["score_filtered"][1, 11, 0]) and found.masks["score_filtered"][1, 12, 0]


def test_without_lights_that_term_is_one():
    without = changed(TRUTH, light_start=None, light_stop_line=None, light_state=None)
    found = scored(truth=without)
    assert "tlc" not in found.values and found.values["score_filtered"][0, TRUTH.future_valid].min() > 0.98


def test_the_filter_lifts_what_the_recorded_drive_fails():
    """Plans and recorded drive off the road: the product is that of the rest."""
    layers = TRUTH.area_layer.copy()
    layers[~np.isin(np.arange(len(layers)) % 10, (4, 9))] = 7
    layers[np.arange(len(layers)) % 10 == 7] = 0
    found = scored(truth=changed(TRUTH, area_layer=layers, ring_vertices=TRUTH.ring_vertices.copy()))
    valid = TRUTH.future_valid
    assert (found.values["dac"][:, valid] == 0)[CONTROLS.covered[:, valid]].all()
    assert (found.values["score_unfiltered"][0, valid] == 0).all()
    assert found.values["score_filtered"][0, valid].min() > 0.5


def test_processes_do_not_change_the_numbers(monkeypatch):
    monkeypatch.setattr(run, "FEWEST_FRAMES", 1)
    plans = fake_plans(TRUTH)
    one, two = (run.score(TRUTH, plans, ["nu_epdms"], workers=count)["nu_epdms"] for count in (1, 2))
    np.testing.assert_array_equal(one.value, two.value)
