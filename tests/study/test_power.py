import numpy as np
import pytest

from dima_jax.study import power
from dima_jax.study.power import Components


def drawn(parts: Components, seeds: int, scenes: int, difference: float, rng) -> np.ndarray:
    seed, scene = rng.normal(0, parts.seed, (seeds, 1)), rng.normal(0, parts.scene, scenes)
    return difference + seed + scene + rng.normal(0, parts.rest, (seeds, scenes))


def test_hand_computed_parts():
    found = power.components(np.array([[1.0, 3.0], [2.0, 4.0]]))  # seeds 0.5 apart of the mean, scenes 1 apart, no rest
    assert found == pytest.approx((0.5**0.5, 2**0.5, 0.0))


def test_finds_the_parts_that_differences_were_drawn_from():
    true, rng = Components(0.03, 0.06, 0.02), np.random.default_rng(0)
    found = np.array([power.components(drawn(true, 8, 100, 0.1, rng)) for _ in range(200)])
    np.testing.assert_allclose((found**2).mean(axis=0), np.square(true), rtol=0.1)


def test_a_detectable_difference_is_detected_as_often_as_said():
    parts, rng = Components(0.03, 0.06, 0.02), np.random.default_rng(1)
    seeds, scenes = 8, 40
    difference, error = power.detectable(parts, seeds, scenes), power.standard_error(parts, seeds, scenes)
    means = np.array([drawn(parts, seeds, scenes, difference, rng).mean() for _ in range(4000)])
    assert (np.abs(means) > 1.96 * error).mean() == pytest.approx(0.8, abs=0.02)
    nothing = np.array([drawn(parts, seeds, scenes, 0.0, rng).mean() for _ in range(4000)])
    assert (np.abs(nothing) > 1.96 * error).mean() == pytest.approx(0.05, abs=0.012)


def test_seeds_needed():
    parts = Components(0.18 * 2**0.5, 0.0, 0.0)  # two arms of four runs each were 0.18 m apart within an arm
    assert power.seeds_needed(parts, 10, 0.3) == 6
    needed = power.seeds_needed(parts, 10, 0.1)
    assert power.detectable(parts, needed, 10) <= 0.1 < power.detectable(parts, needed - 1, 10)
    assert power.seeds_needed(Components(0.0, 1.0, 0.0), 10, 0.1) is None


@pytest.mark.parametrize("bad", [np.zeros((1, 5)), np.zeros((5, 1)), np.full((3, 3), np.nan)])
def test_refuses_what_says_nothing(bad):
    with pytest.raises(ValueError):
        power.components(bad)


def test_forecast_is_one_sentence():
    text = power.forecast(Components(0.02, 0.06, 0.01), 8, 100)
    assert text.startswith("8 seeds an arm on 100 scenes detect a difference of 0.026 m with a probability of 80%")
