"""What a study can detect: of differences between two arms, each trained with several seeds and scored on the same scenes.

A difference of seed k in scene s is modeled as

    D[k, s] = difference + seed_k + scene_s + rest_ks

with independent normal parts (two-way random effects without replication; Searle, Casella and McCulloch, "Variance
Components", 1992, chapter 4). The mean over K seeds and S scenes then has the variance

    seed^2 / K + scene^2 / S + rest^2 / (K S)

and a difference is detected at the level 5 % with a probability of `power` if it is `z(0.975) + z(power)` standard
deviations of that mean. Forecasts of few seeds or scenes are a little too good: Student's t would be wider.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

LEVEL, POWER = 0.05, 0.8


class Components(NamedTuple):
    """Standard deviations of the parts of a difference, in its unit: of seeds, of scenes, and what is left."""

    seed: float
    scene: float
    rest: float


def components(differences: Float[np.ndarray, "K S"]) -> Components:
    """The parts of paired differences of K seeds in S scenes, by the moments of the analysis of variance.

    A part whose estimate is negative is 0. ValueError for fewer than two seeds or scenes, and for numbers not finite.
    """
    seeds, scenes = differences.shape
    if seeds < 2 or scenes < 2:
        raise ValueError(f"{seeds} seeds and {scenes} scenes: the parts of a difference show from two of each")
    if not np.isfinite(differences).all():
        raise ValueError("a difference is not finite")
    by_seed, by_scene = differences.mean(axis=1), differences.mean(axis=0)
    left = differences - by_seed[:, None] - by_scene + differences.mean()
    rest = (left**2).sum() / ((seeds - 1) * (scenes - 1))
    seed = max(by_seed.var(ddof=1) - rest / scenes, 0.0)
    scene = max(by_scene.var(ddof=1) - rest / seeds, 0.0)
    return Components(*map(math.sqrt, (seed, scene, rest)))


def standard_error(parts: Components, seeds: int, scenes: int) -> float:
    """Of the mean difference over so many seeds and scenes."""
    return math.sqrt(parts.seed**2 / seeds + parts.scene**2 / scenes + parts.rest**2 / (seeds * scenes))


def detectable(parts: Components, seeds: int, scenes: int, power: float = POWER) -> float:
    """The smallest difference that so many seeds and scenes detect with a probability of `power`."""
    return float(ndtri(1 - LEVEL / 2) + ndtri(power)) * standard_error(parts, seeds, scenes)


def seeds_needed(
    parts: Components, scenes: int, difference: float, power: float = POWER, most: int = 1000
) -> int | None:
    """The fewest seeds that detect a difference in so many scenes; None if `most` do not: the scenes are too few."""
    if detectable(parts, most, scenes, power) > difference:
        return None
    fewest, enough = 0, most  # the former does not detect it, the latter does
    while enough - fewest > 1:
        middle = (fewest + enough) // 2
        fewest, enough = (
            (fewest, middle) if detectable(parts, middle, scenes, power) <= difference else (middle, enough)
        )
    return enough


def forecast(parts: Components, seeds: int, scenes: int, unit: str = "m", power: float = POWER) -> str:
    """In one sentence, e.g. for the head of a study."""
    return (
        f"{seeds} seeds an arm on {scenes} scenes detect a difference of {detectable(parts, seeds, scenes, power):.3f} {unit} "
        f"with a probability of {power:.0%} (standard deviations of paired differences: seeds {parts.seed:.3f}, scenes "
        f"{parts.scene:.3f}, rest {parts.rest:.3f} {unit})"
    )
