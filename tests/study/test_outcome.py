"""study.json: strict, sorted by effect, and says what is not there yet."""

import numpy as np
import pytest

from dima_jax.output_files import json_text
from dima_jax.study import outcome
from dima_jax.study.scores import BLIND_WORST, COLUMNS
from tests.study import fake
from tests.test_output_files import strict


@pytest.fixture(scope="module")
def result():
    return strict(json_text(fake.result()))


def test_arms_are_sorted_by_their_effect(result):
    assert result["order"][0] == "better" and result["order"][-1] == "blind"
    assert (result["format"], result["version"], result["mode"]) == ("dima_jax.study", 1, "vector mode")
    assert result["differences"]["all frames"].keys() == set(result["order"])
    assert list(result["subsets"]) == ["all frames", "turns and stops", BLIND_WORST]
    first = result["verdicts"][0]
    assert (
        first.startswith("vector mode, stp3_vad, l2_avg: better is better than alone") and len(result["verdicts"]) == 6
    )


def test_numbers_come_with_their_intervals(result):
    one = result["differences"]["all frames"]["better"]["l2_avg"]
    assert one["low"] < one["difference"] < one["high"] < 0 and one["verdict"] == "a_better"
    assert result["scores"]["all frames"]["alone"].keys() == set(COLUMNS) == result["units"].keys()
    assert [round(one, 1) for one in result["seeds"]["alone"]] == [0.5] * 4
    assert result["power"]["assumed"]["detectable"] == pytest.approx(0.0673, abs=1e-4)
    assert result["power"]["measured"]["better"]["detectable"] < 0.05


def test_an_arm_that_is_not_there_says_so():
    found = strict(json_text(fake.result(missing=("better",))))
    arms = {arm["name"]: arm for arm in found["arms"]}
    assert not arms["better"]["done"] and arms["better"]["seconds"] is None and arms["alone"]["seconds"] == 61.0
    assert "better" not in found["order"] and "better" not in found["curves"]


def test_a_curve_is_the_seeds_mean_and_range():
    found = outcome.curve(np.array([[1.0, 4.0], [3.0, 8.0]]))
    assert {key: list(value) for key, value in found.items()} == {"mean": [2, 6], "low": [1, 4], "high": [3, 8]}
