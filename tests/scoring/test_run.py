"""Every protocol on every frame: what does not enter or has no plan, processes, and what a truth lacks."""

import numpy as np
import pytest

from dima_jax.errors import UserError
from dima_jax.metrics.protocols import base
from dima_jax.scoring import run
from tests.scoring import toy
from tests.scoring.fake import fake_plans, fake_truth


@pytest.fixture(autouse=True)
def _protocols(monkeypatch):
    toy.register(monkeypatch)


@pytest.fixture(scope="module")
def truth():
    return fake_truth(scenes=3, frames=8, agents=1)


def test_distances_are_measured_in_the_frame_of_the_file(truth):
    plans = fake_plans(truth, planners=2)
    found = run.distances(truth, plans)
    np.testing.assert_allclose(found[0], np.linalg.norm(plans.lidar[0, ..., :2] - truth.path, axis=-1))
    np.testing.assert_allclose(found[1], np.linalg.norm(plans.ego[1, ..., :2] - truth.ego_path, axis=-1))


def test_numbers_of_each_frame(truth):
    plans = fake_plans(truth, planners=2, noise=2.0)
    found = run.score(truth, plans, ["toy"], workers=1)["toy"]
    l2 = run.distances(truth, plans)
    np.testing.assert_array_equal(found.values["l2"], l2)
    mask = truth.path_mask
    np.testing.assert_array_equal(found.masks["l2"], np.broadcast_to(mask, l2.shape))
    mean = np.where(mask, l2, 0).sum(-1) / np.maximum(mask.sum(-1), 1)
    known = mask.any(-1)
    np.testing.assert_allclose(found.value[:, known, 2], mean[:, known])
    np.testing.assert_allclose(found.weight[..., 2], np.broadcast_to(mask.mean(-1), l2.shape[:2]))
    np.testing.assert_array_equal(found.hit, np.where(l2 > 2, 0, -1))
    assert (found.hit == 0).any() and found.entered.all() and not found.recorded.any()


def test_what_does_not_enter_or_has_no_plan_is_nan(truth, monkeypatch):
    monkeypatch.setattr(toy.Toy, "definition", toy.Toy.definition._replace(frames="not_first"))
    covered = np.ones((2, len(truth.tokens)), bool)
    covered[0, 5], covered[:, 6] = False, False
    plans = fake_plans(truth, planners=2)._replace(covered=covered)
    found = run.score(truth, plans, ["toy"], workers=1)["toy"]
    known = covered & (truth.frame_index > 0)
    assert (~np.isnan(found.values["l2"]) == known[..., None]).all() and not found.masks["l2"][~known].any()
    assert (found.weight[~known] == 0).all() and np.isnan(found.value[~known]).all() and (found.hit[~known] == -1).all()
    np.testing.assert_array_equal(found.entered, truth.frame_index > 0)


def test_a_row_that_is_limited_has_no_plan_for_other_protocols(truth):
    plans = fake_plans(truth, planners=2, noise=2.0)
    first, second = plans.names
    every = run.score(truth, plans, ["toy"], workers=1)["toy"]
    found = run.score(truth, plans, ["toy"], workers=1, limited={first: ["other"], second: ["other", "toy"]})["toy"]
    assert np.isnan(found.values["l2"][0]).all() and not found.weight[0].any() and not found.masks["l2"][0].any()
    np.testing.assert_array_equal(found.value[1], every.value[1])
    np.testing.assert_array_equal(found.hit[1], every.hit[1])
    assert (found.hit[0] == -1).all()


def test_processes_do_not_change_a_number(truth, monkeypatch):
    monkeypatch.setattr(run, "FEWEST_FRAMES", 0)
    plans = fake_plans(truth, planners=2, noise=2.0)
    one, two = (run.score(truth, plans, ["toy"], workers=workers)["toy"] for workers in (1, 2))
    for name in ("values", "masks"):
        for quantity in getattr(one, name):
            np.testing.assert_array_equal(getattr(one, name)[quantity], getattr(two, name)[quantity])
    for name in ("hit", "recorded", "value", "weight", "entered"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_what_the_truth_lacks_is_said(truth):
    plans = fake_plans(truth)
    assert list(run.score(truth, plans, ["mapped", "toy"], workers=1)) == ["mapped", "toy"]
    bare = type(truth)(
        truth.header,
        **{k: a for k, a in truth.arrays().items() if not k.startswith(("area_", "ring_", "center_", "light_"))},
    )
    assert list(run.score(bare, plans, ["mapped", "toy"], workers=1)) == ["toy"]
    assert run.why_not(toy.MAPPED.definition, bare) == "needs areas: data_prep.truth --dataroot adds them"
    first = toy.TOY.definition._replace(frames="not_first")
    arrays = {key: array for key, array in truth.arrays().items() if key not in ("frame_index", "scene_length")}
    assert run.why_not(first, type(truth)(truth.header, **arrays)) == "needs scenes: the truth has none"


def test_a_quantity_that_is_missing_and_a_hook_after_all_frames(truth, monkeypatch):
    def frame(self, frame, grids, lidar, ego, l2):
        steps = original(self, frame, grids, lidar, ego, l2)
        if frame.index < 12:  # nothing to collide with in the first frames
            del steps.values["collision"], steps.masks["collision"]
        return steps

    def sequence(self, truth, plans, steps):
        steps["values"]["l2"] *= 2

    original = toy.Toy.frame
    monkeypatch.setattr(toy.Toy, "frame", frame)
    plans = fake_plans(truth)
    plain = run.score(truth, plans, ["toy"], workers=1)["toy"]
    assert not plain.masks["collision"][:, :12].any() and plain.masks["collision"][:, 12:].any()
    monkeypatch.setattr(toy.Toy, "sequence", sequence)
    twice = run.score(truth, plans, ["toy"], workers=1)["toy"]
    np.testing.assert_array_equal(twice.value[..., :3], 2 * plain.value[..., :3])


def test_a_protocol_that_is_none_is_refused(truth):
    with pytest.raises(UserError, match="no protocol 'l2'; say one of toy, mapped"):
        run.score(truth, fake_plans(truth), ["l2"])
    assert base.FRAMES  # what `frames` may be
