"""From sub-scores to one score, and the human filter.

A sub-score that the recorded drive itself fails (0) says nothing of a planner: it is 1 for everybody. The filter comes
first; the product and the weighted mean are computed from what it leaves.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Formula(NamedTuple):
    """The product of the multipliers times the weighted mean of the others, by the names of the sub-scores."""

    multipliers: tuple[str, ...]
    weights: Mapping[str, float]

    def score(self, told: Mapping[str, Float[np.ndarray, "..."]]) -> Float[np.ndarray, "..."]:
        """told: sub-scores; a multiplier that is absent or NaN is left out, and so is a weighted one with its weight."""
        product, total, weight = 1.0, 0.0, 0.0
        for name in self.multipliers:
            if name in told:
                product = product * np.where(np.isnan(told[name]), 1.0, told[name])
        for name, share in self.weights.items():
            if name in told:
                known = ~np.isnan(told[name])
                total, weight = total + share * np.where(known, told[name], 0.0), weight + share * known
        return np.where(weight > 0, product * total / np.maximum(weight, 1.0), np.nan)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.multipliers, *self.weights)


def filtered(
    told: Mapping[str, Float[np.ndarray, "..."]], human: Mapping[str, Float[np.ndarray, "..."]]
) -> dict[str, Float[np.ndarray, "..."]]:
    """Sub-scores after the filter. human: those of the recorded drive; a NaN stays."""
    return {name: np.where((human[name] == 0) & ~np.isnan(value), 1.0, value) for name, value in told.items()}
