"""Means, intervals and differences against plain loops and against what is known to be true."""

import time

import numpy as np
import pytest

from dima_jax.scoring import statistics
from dima_jax.scoring.statistics import Planner
from tests.scoring.toy import Toy

DEFINITION = Toy.definition
COLUMNS = [column.name for column in DEFINITION.columns]


def planner(rng, scene, offset=0.0, seeds=1, spread=1.0, noise=1.0):
    """Values whose mean differs from scene to scene by `spread`, and whose columns are equal."""
    drift = rng.normal(0, spread, scene.max() + 1)[scene]
    value = (offset + drift + rng.normal(0, noise, (seeds, len(scene))))[..., None].repeat(len(COLUMNS), -1)
    return Planner(value, np.ones(value.shape))


def scenes(count, frames=10):
    return np.repeat(np.arange(count), frames)


def test_against_plain_loops():
    rng, scene = np.random.default_rng(0), np.sort(np.random.default_rng(1).integers(0, 8, 60))
    one = planner(rng, scene, 2.0)
    weight = rng.random(one.weight.shape)
    weight[rng.random(weight.shape) < 0.2] = 0
    one = Planner(np.where(weight > 0, one.value, np.nan), weight)
    found = statistics.estimates(DEFINITION, {"a": one}, scene)["a"]
    means = {}
    for number, column in enumerate(COLUMNS):
        value, w = one.value[0, :, number], one.weight[0, :, number]
        resampled = []
        for times in statistics.draws(8):
            rows = [i for which, count in enumerate(times) for i in np.flatnonzero(scene == which).tolist() * count]
            kept = [i for i in rows if w[i] > 0]
            resampled.append(np.dot(w[kept], value[kept]) / w[kept].sum())
        known = w > 0
        means[column] = (np.dot(w[known], value[known]) / w[known].sum(), np.array(resampled), int(known.sum()))
    for column, (mean, resampled, frames) in means.items():
        one = found[column]
        low, high = np.percentile(resampled, statistics.percentiles(8))
        np.testing.assert_allclose((one.value, one.low, one.high), (mean, low, high))
        assert (one.frames, one.scenes) == (frames, 8)
    three = [means[name] for name in ("l2_1s", "l2_2s", "l2_3s")]
    low, high = np.percentile(np.mean([one[1] for one in three], axis=0), statistics.percentiles(8))
    average = found["l2_avg"]
    np.testing.assert_allclose(
        (average.value, average.low, average.high), (np.mean([one[0] for one in three]), low, high)
    )


def test_percentiles_are_wider_for_few_scenes():
    np.testing.assert_allclose(statistics.percentiles(10**6), (2.5, 97.5), atol=1e-3)
    low, high = statistics.percentiles(10)  # of -2.262 * sqrt(10 / 9) in a normal distribution
    np.testing.assert_allclose((low, 100 - high), 0.856, atol=1e-3)


def test_the_draws_are_the_same_every_time():
    np.testing.assert_array_equal(statistics.draws(7), statistics.draws(7))
    assert (statistics.draws(7).sum(axis=1) == 7).all() and statistics.draws(7).shape == (1000, 7)


@pytest.mark.parametrize("count", [10, 100])
def test_intervals_hold_what_is_true_95_times_in_100(count):
    """Of the mean of one planner, and of the difference of two that see the same scenes."""
    rng, scene, held, between = np.random.default_rng(3), scenes(count, 6), 0, 0
    trials = 500
    for _ in range(trials):
        one, other = planner(rng, scene, 1.0), planner(rng, scene, 0.7)
        found = statistics.estimates(DEFINITION, {"a": one}, scene)["a"]["l2_1s"]
        held += found.low <= 1.0 <= found.high
        (pair,) = statistics.differences(DEFINITION, {"a": one, "b": other}, [("a", "b")], scene)
        between += pair["l2_1s"].low <= 0.3 <= pair["l2_1s"].high
    assert 0.93 <= held / trials <= 0.97 and 0.93 <= between / trials <= 0.97, (held, between)


def test_a_difference_is_paired():
    """What both planners share leaves the interval of their difference."""
    rng, scene = np.random.default_rng(4), scenes(30)
    one = planner(rng, scene, spread=3.0)
    other = Planner(one.value - 0.1, one.weight)
    planners = {"a": one, "b": other}
    (found,) = statistics.differences(DEFINITION, planners, [("a", "b")], scene)
    np.testing.assert_allclose([(one.value, one.low, one.high) for one in found.values()], 0.1)
    (back,) = statistics.differences(DEFINITION, planners, [("b", "a")], scene)
    np.testing.assert_allclose(back["l2_avg"].value, -0.1)


def test_only_frames_that_both_have_are_compared():
    rng, scene = np.random.default_rng(5), scenes(12)
    one = planner(rng, scene)
    weight = np.where(np.isin(scene, [0, 1, 2])[:, None], 0.0, one.weight)
    other = Planner(np.where(weight > 0, one.value + 0.5, np.nan), weight)
    (found,) = statistics.differences(DEFINITION, {"a": one, "b": other}, [("a", "b")], scene)
    np.testing.assert_allclose([found["l2_1s"].value, found["l2_1s"].low, found["l2_1s"].high], -0.5)
    assert (found["l2_1s"].frames, found["l2_1s"].scenes) == (90, 9)


def test_seeds_are_drawn_too():
    """Seeds that differ by more than scenes do widen the interval; the number is the mean over them."""
    rng, scene = np.random.default_rng(6), scenes(50)
    alone = planner(rng, scene, spread=0.1, noise=0.1)
    three = Planner(
        np.concatenate([alone.value + shift for shift in (-1.0, 0.0, 2.0)]), np.ones((3, *alone.value.shape[1:]))
    )
    found = statistics.estimates(DEFINITION, {"a": alone, "b": three}, scene)
    np.testing.assert_allclose(found["b"]["l2_1s"].value, found["a"]["l2_1s"].value + 1 / 3)
    assert found["a"]["l2_1s"].high - found["a"]["l2_1s"].low < 0.2
    assert found["b"]["l2_1s"].high - found["b"]["l2_1s"].low > 2.0


def test_paired_seeds_are_drawn_together():
    """What both trainings with a seed have in common is in neither's favor."""
    rng, scene = np.random.default_rng(3), scenes(20)
    first = planner(rng, scene, seeds=6, noise=0.1)
    of_seed = rng.normal(0, 1.0, (6, 1, 1))
    planners = {
        "a": Planner(first.value + of_seed + 0.1, first.weight),
        "b": Planner(first.value + of_seed, first.weight),
    }
    paired, apart = (
        statistics.differences(DEFINITION, planners, [("a", "b")], scene, paired_seeds=one)[0]["l2_avg"]
        for one in (True, False)
    )
    assert paired.value == pytest.approx(apart.value) == pytest.approx(0.1)
    assert paired.low == pytest.approx(0.1) and paired.high == pytest.approx(0.1) and apart.low < 0.0 < apart.high
    fewer = planners | {"b": Planner(first.value[:5], first.weight[:5])}
    with pytest.raises(ValueError, match="different numbers of seeds"):
        statistics.differences(DEFINITION, fewer, [("a", "b")], scene, paired_seeds=True)


def test_what_is_not_defined_is_none():
    one, scene = planner(np.random.default_rng(7), scenes(3)), scenes(3)
    nothing = Planner(np.full(one.value.shape, np.nan), np.zeros(one.weight.shape))
    found = statistics.estimates(DEFINITION, {"a": nothing}, scene)["a"]["l2_avg"]
    assert found == (None, None, None, 0, 0)
    (pair,) = statistics.differences(DEFINITION, {"a": one, "b": nothing}, [("a", "b")], scene)
    assert pair["l2_avg"] == (None, None, None, 0, 0)
    single = statistics.estimates(DEFINITION, {"a": one}, np.zeros(len(scene), int))["a"]["l2_1s"]
    assert single.value is not None and (single.low, single.high, single.scenes) == (None, None, 1)
    counts = Planner(np.where(np.arange(30)[:, None] == 3, np.nan, one.value), one.weight)
    assert statistics.estimates(DEFINITION, {"a": counts}, scene)["a"]["l2_1s"].value is None
    empty = Planner(one.value[:, :0], one.weight[:, :0])
    assert statistics.estimates(DEFINITION, {"a": empty}, scene[:0])["a"]["l2_1s"] == (None, None, None, 0, 0)


def test_ten_planners_are_compared_in_no_time():
    rng, scene = np.random.default_rng(8), np.sort(np.random.default_rng(9).integers(0, 150, 6019))
    planners = {str(i): planner(rng, scene, i) for i in range(10)}
    start = time.process_time()
    statistics.estimates(DEFINITION, planners, scene)
    pairs = [(a, b) for a in planners for b in planners if a < b]
    assert len(statistics.differences(DEFINITION, planners, pairs, scene)) == 45
    print(f"{time.process_time() - start:.2f} s of one processor")
    assert time.process_time() - start < 10
