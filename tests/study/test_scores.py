"""Scores of arms whose distance to the recorded path is known."""

import numpy as np
import pytest

from dima_jax.scoring import subsets, verdicts
from dima_jax.study import scores as scores_module
from dima_jax.study.scores import BLIND_WORST, MAIN
from tests.scoring.fake import fake_truth
from tests.study import fake


@pytest.fixture(scope="module")
def scores():
    return fake.scores()


def everything(scores):
    return scores.subsets("")[subsets.ALL]


def test_means_and_differences_are_what_was_put_in(scores):
    mask = everything(scores)
    estimates, differences = scores.estimates(mask), scores.differences("alone", mask)
    for name, far in fake.OFF.items():
        for column in ("l2_avg", "l2_1s", "l2_3s"):
            assert estimates[name][column].value == pytest.approx(far, abs=0.01)
    assert list(differences) == ["blind", "better", "the same"]
    assert differences["better"][MAIN].value == pytest.approx(-0.2, abs=0.01)
    found = {name: verdicts.verdict(one[MAIN], "m") for name, one in differences.items()}
    assert found == {"blind": "b_better", "better": "a_better", "the same": "undecided"}
    assert scores.differences("absent", mask) == {}


def test_a_difference_is_one_of_pairs_of_seeds():
    found = fake.scores(seeds=6)
    found.arms["alone"], found.arms["better"] = (
        one._replace(value=one.value + np.arange(6.0)[:, None, None])
        for one in (found.arms["alone"], found.arms["better"])
    )
    one = found.differences("alone", everything(found))["better"][MAIN]
    assert one.value == pytest.approx(-0.2, abs=0.01) and one.high < -0.1
    assert found.components("better", "alone").seed < 0.05


def test_the_worst_of_the_blind_are_a_fifth_of_the_frames_that_count(scores):
    assert BLIND_WORST not in scores.subsets("absent")
    mask = scores.subsets("blind")[BLIND_WORST]
    value, counts = scores.distances("blind")
    assert counts.tolist() == scores.truth.future_valid.tolist() and counts.any() and not counts.all()
    assert mask.sum() == round(scores_module.WORST * counts.sum()) and not (mask & ~counts).any()
    mean = value.mean(axis=0)
    assert mean[mask].min() >= mean[counts & ~mask].max()


def test_turns_and_stops_are_scored_apart(scores):
    found = scores.subsets("")
    assert list(found) == [subsets.ALL, subsets.EITHER] and 0 < found[subsets.EITHER].sum() < found[subsets.ALL].sum()


def test_situations_are_scored_apart_where_a_path_is_known():
    truth = fake_truth(scenes=12, frames=9)
    mask = np.arange(len(truth.tokens)) % 3 == 0
    found = scores_module.Scores(truth, {"cut in": mask}).subsets("")
    assert list(found) == [subsets.ALL, subsets.EITHER, "cut in"]
    np.testing.assert_array_equal(found["cut in"], mask & truth.future_valid)
    assert not truth.future_valid[mask].all()


def test_sentences_say_vector_mode(scores):
    columns = scores.differences("alone", everything(scores))["better"]
    said = scores.sentence("better", "alone", columns, MAIN)
    assert said.startswith("vector mode, stp3_vad, l2_avg: better is better than alone by 0.20 m")


def test_parts_need_two_seeds():
    assert fake.scores(seeds=1).components("better", "alone") is None
