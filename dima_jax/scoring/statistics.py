"""Means of a protocol's columns, and 95 % intervals by resampling whole scenes with replacement.

Frames of a scene resemble each other, so scenes are what is drawn. Every resample is a number of draws for each scene;
a mean weights each frame with it. Two planners are compared on the same draws and the same frames: the interval is that
of their difference. Fixed seed. The ends are percentiles of the resamples, a little wider than 2.5 and 97.5 where scenes
are few (`percentiles`), without which an interval from ten scenes holds the truth 89 times in 100. Where a planner is there with several seeds of its
training, each resample draws among them too; its number is the mean over the seeds.

n frames, C columns, S scenes, B resamples, K seeds of a planner; A = the columns and the averages after them.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import ndtr, stdtrit

from dima_jax.metrics.protocols.base import Definition

RESAMPLES = 1000
SEED = 0
SHARE = 0.95  # of intervals that hold what is true
FEWEST_SCENES = 2  # of an interval
FEWEST_RANKED = 5  # scenes of a subset in which planners are ranked


class Estimate(NamedTuple):
    """A mean over frames (over seeds, of several), its interval, None for fewer than two scenes, and what it is of."""

    value: float | None
    low: float | None
    high: float | None
    frames: int
    scenes: int


class Sums(NamedTuple):
    """Of one file's rows, by scene: sums of weight * value and of the weights, and the frames that count."""

    weighted: Float[np.ndarray, "S C"]
    weight: Float[np.ndarray, "S C"]
    frames: Int[np.ndarray, "S C"]


class Planner(NamedTuple):
    """The rows of a planner's K files (one for each seed): value NaN where the weight is 0."""

    value: Float[np.ndarray, "K n C"]
    weight: Float[np.ndarray, "K n C"]


def names(definition: Definition) -> list[str]:
    """Of the columns and the averages, in the order in which everything here has them."""
    return [column.name for column in definition.columns] + list(definition.averages)


@lru_cache(maxsize=64)
def draws(num_scenes: int, resamples: int = RESAMPLES, seed: int = SEED) -> Int[np.ndarray, "B S"]:
    """How often each scene is drawn in each resample: the same for every planner, protocol and column."""
    times = np.random.default_rng(seed).multinomial(num_scenes, np.full(num_scenes, 1 / num_scenes), size=resamples)
    times.flags.writeable = False  # it is kept for the next one who asks
    return times


@lru_cache
def percentiles(scenes: int) -> tuple[float, float]:
    """Of the resamples, for an interval from so many scenes: 2.5 and 97.5 of very many.

    Resampling S scenes has (S - 1) / S of the variance, and no tails like Student's t. The percentiles that make up for
    both are the "expanded percentile interval" of Hesterberg, "What Teachers Should Know about the Bootstrap" (2015).
    """
    if scenes < FEWEST_SCENES:
        return (0.0, 100.0)
    away = stdtrit(scenes - 1, (1 + SHARE) / 2) * np.sqrt(scenes / (scenes - 1))
    return 100 * float(ndtr(-away)), 100 * float(ndtr(away))


@lru_cache
def _seed_draws(seeds: int, other: bool, resamples: int = RESAMPLES) -> Float[np.ndarray, "B K"]:
    """The share of each seed in each resample. other: of the second planner of a pair, independent of the first."""
    generator = np.random.default_rng([SEED, seeds, other])
    return generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds


def estimates(
    definition: Definition, planners: Mapping[str, Planner], scene: Int[np.ndarray, " n"]
) -> dict[str, dict[str, Estimate]]:
    """{planner: {column or average: its mean and interval}}. scene: of each frame."""
    index, times = _drawn(scene)
    result = {}
    for name, planner in planners.items():
        sums = _sums(planner, index)
        resampled = _resampled(definition, sums, times, other=False)
        result[name] = _estimates(definition, sums, _pooled(definition, sums), resampled)
    return result


def differences(
    definition: Definition,
    planners: Mapping[str, Planner],
    pairs: Sequence[tuple[str, str]],
    scene: Int[np.ndarray, " n"],
    *,
    paired_seeds: bool = False,
) -> list[dict[str, Estimate]]:
    """Of each pair (a, b): {column or average: a minus b}, over the frames for which both have a number.

    paired_seeds: file k of a and file k of b were trained with the same seed, and are drawn together; ValueError where the
    numbers of their files differ.
    """
    counts = [{len(planners[name].value) for name in pair} for pair in pairs]
    if paired_seeds and any(len(count) > 1 for count in counts):
        raise ValueError("planners with different numbers of seeds have no pairs of them")
    index, times = _drawn(scene)
    whole = {name: _common(planner) for name, planner in planners.items()}
    kept: dict[tuple[str, bool], tuple] = {}

    def resampled(name: str, other: bool) -> tuple:
        if (name, other) not in kept:
            sums = _sums(planners[name], index)
            kept[name, other] = (sums, _pooled(definition, sums), _resampled(definition, sums, times, other))
        return kept[name, other]

    result = []
    for a, b in pairs:
        both = whole[a] & whole[b]
        if all((planners[name].weight[:, ~both] == 0).all() for name in (a, b)):
            first, second = resampled(a, False), resampled(b, not paired_seeds)
        else:
            sums = [_sums(_restricted(planners[name], both), index) for name in (a, b)]
            first, second = (
                (one, _pooled(definition, one), _resampled(definition, one, times, other))
                for one, other in zip(sums, (False, not paired_seeds), strict=True)
            )
        result.append(_estimates(definition, first[0], first[1] - second[1], first[2] - second[2]))
    return result


def _common(planner: Planner) -> Bool[np.ndarray, "n C"]:
    """Where every seed has a number."""
    return (planner.weight > 0).all(axis=0)


def _restricted(planner: Planner, kept: Bool[np.ndarray, "n C"]) -> Planner:
    return Planner(planner.value, np.where(kept, planner.weight, 0.0))


def _drawn(scene: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, "B S"]]:
    """(the number of each frame's scene among those that have frames, draws of these scenes)."""
    present, index = np.unique(scene, return_inverse=True)
    return index, draws(len(present)) if len(present) else np.zeros((RESAMPLES, 0), np.int64)


def _sums(planner: Planner, index: Int[np.ndarray, " n"]) -> list[Sums]:
    """For each seed. A value that is not known and yet counts makes its sum NaN."""
    scenes = int(index.max()) + 1 if len(index) else 0
    result = []
    for value, weight in zip(planner.value, planner.weight, strict=True):
        columns = range(value.shape[1])
        parts = (np.where(weight > 0, weight * value, 0.0), weight, weight > 0)
        summed = [
            [np.bincount(index, part[:, column].astype(np.float64), scenes) for column in columns] for part in parts
        ]
        weighted, total, frames = (np.array(one, np.float64).reshape(len(columns), scenes).T for one in summed)
        result.append(Sums(weighted, total, frames.astype(np.int64)))
    return result


def _ratio(weighted: Float[np.ndarray, "..."], weight: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    return np.divide(weighted, weight, out=np.full(weighted.shape, np.nan), where=weight > 0)


def _with_averages(definition: Definition, means: Float[np.ndarray, "... C"]) -> Float[np.ndarray, "... A"]:
    """An average is the mean of the means of its columns."""
    number = {column.name: i for i, column in enumerate(definition.columns)}
    averages = [means[..., [number[name] for name in members]].mean(-1) for members in definition.averages.values()]
    return np.concatenate([means, *(one[..., None] for one in averages)], axis=-1)


def _pooled(definition: Definition, sums: list[Sums]) -> Float[np.ndarray, " A"]:
    means = [_ratio(one.weighted.sum(axis=0), one.weight.sum(axis=0)) for one in sums]
    return _with_averages(definition, np.mean(means, axis=0))


def _resampled(
    definition: Definition, sums: list[Sums], times: Int[np.ndarray, "B S"], other: bool
) -> Float[np.ndarray, "B A"]:
    times = times.astype(np.float64)
    means = np.stack([_ratio(times @ one.weighted, times @ one.weight) for one in sums], axis=1)
    share = _seed_draws(len(sums), other)
    return _with_averages(definition, (share[..., None] * means).sum(axis=1))


def _ends(values: Float[np.ndarray, " B"], scenes: int) -> tuple[float, float]:
    """Of the interval; resamples in which a column has no frame are left out."""
    known = values[~np.isnan(values)]
    return tuple(np.percentile(known, percentiles(scenes)).tolist()) if len(known) else (np.nan, np.nan)


def _estimates(
    definition: Definition,
    sums: list[Sums],
    values: Float[np.ndarray, " A"],
    resampled: Float[np.ndarray, "B A"],
) -> dict[str, Estimate]:
    """With the frames and scenes of the file that has the fewest; an average has those of its scarcest column."""
    number = {column.name: i for i, column in enumerate(definition.columns)}
    columns = [[i] for i in number.values()] + [[number[name] for name in one] for one in definition.averages.values()]
    frames = np.min([one.frames.sum(axis=0) for one in sums], axis=0)
    scenes = np.min([(one.frames > 0).sum(axis=0) for one in sums], axis=0)
    result = {}
    for i, (name, members) in enumerate(zip(names(definition), columns, strict=True)):
        of, count = int(frames[members].min()), int(scenes[members].min())
        ends = _ends(resampled[:, i], count) if count >= FEWEST_SCENES else (np.nan, np.nan)
        result[name] = Estimate(*(_known(one) for one in (values[i], *ends)), of, count)
    return result


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
