"""Who is ahead, in words."""

import numpy as np
import pytest

from dima_jax.scoring import statistics, verdicts
from dima_jax.scoring.statistics import Estimate, Planner
from tests.scoring.toy import Toy


def estimate(value, low, high, scenes=30):
    return Estimate(value, low, high, 10 * scenes, scenes)


@pytest.mark.parametrize(
    ("one", "unit", "expected"),
    [
        (estimate(-0.1, -0.2, -0.05), "m", "a_better"),
        (estimate(0.1, 0.05, 0.2), "m", "b_better"),
        (estimate(0.1, 0.05, 0.2), "score", "a_better"),
        (estimate(-0.1, -0.2, -0.05), "score", "b_better"),
        (estimate(0.1, -0.01, 0.2), "m", "undecided"),
        (estimate(0.0, 0.0, 0.0), "share", "undecided"),
        (estimate(-0.1, -0.2, 0.0), "share", "undecided"),
        (estimate(-0.1, -0.2, -0.05, scenes=4), "m", "too_few_scenes"),
        (estimate(-0.1, -0.2, -0.05, scenes=5), "m", "a_better"),
        (Estimate(-0.1, None, None, 10, 1), "m", "too_few_scenes"),
        (Estimate(None, None, None, 0, 0), "m", None),
    ],
)
def test_verdicts(one, unit, expected):
    assert verdicts.verdict(one, unit) == expected
    assert (verdicts.sentence("a", [("b", one)], "l2_avg", unit, "toy") is None) == (expected is None)


def test_sentences():
    def told(*ones, unit="m", coverage=""):
        others = [(f"their{i}", one) for i, one in enumerate(ones)]
        return verdicts.sentence("ours", others, "l2_avg", unit, "toy", coverage)

    assert told(estimate(-0.1, -0.2, -0.05)) == (
        "toy, l2_avg: ours is better than their0 by 0.10 m (0.05 m to 0.20 m). 300 frames of 30 scenes."
    )
    assert told(estimate(0.002, 0.001, 0.003), unit="share", coverage="scored 300 of 400 frames") == (
        "toy, l2_avg: ours is worse than their0 by 0.20 % (0.10 % to 0.30 %). "
        "300 frames of 30 scenes; scored 300 of 400 frames."
    )
    several = [estimate(0.1, -0.05, 0.2), estimate(-1, -2, -0.5), estimate(0, -0.1, 0.1, scenes=20)]
    assert told(*several, Estimate(None, None, None, 0, 0)) == (
        "toy, l2_avg: ours cannot be told apart from their0 (-0.05 m to +0.20 m) and their2 (-0.10 m to +0.10 m); "
        "is better than their1 by 1.00 m (0.50 m to 2.00 m). 200 frames of 20 scenes."
    )
    assert told(estimate(0.1, 0.1, 0.1, scenes=1)) == (
        "toy, l2_avg: ours has too few scenes to be ranked with their0 (they differ by 0.10 m). 10 frames of 1 scene."
    )


def test_a_planted_difference_is_found_in_150_scenes_and_not_in_10():
    """0.1 m between two planners that each differ from scene to scene by 0.3 m: 20 tries of each."""
    rng, found = np.random.default_rng(0), {}
    for count in (10, 150):
        scene = np.repeat(np.arange(count), 40)
        found[count] = []
        for _ in range(20):
            values = [
                shift + rng.normal(0, 0.3 / 2**0.5, count)[scene] + rng.normal(0, 0.5, len(scene))
                for shift in (0.7, 0.8)
            ]
            rows = [Planner(np.repeat(one[None, :, None], 4, -1), np.ones((1, len(scene), 4))) for one in values]
            planners = dict(zip("ab", rows, strict=True))
            (one,) = statistics.differences(Toy.definition, planners, [("a", "b")], scene)
            found[count].append(verdicts.verdict(one["l2_avg"], "m"))
    assert found[150].count("a_better") >= 18 and "b_better" not in found[150]
    assert found[10].count("undecided") >= 14
