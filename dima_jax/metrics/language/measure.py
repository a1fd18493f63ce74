"""A score of answers as a function of sums over questions, so that it can be computed again for any resample of them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float


class Measure(NamedTuple):
    """n questions, k sums, B resamples.

    sums: each question's part, 0 where it does not count. counts: which questions do. reduce: sums over questions [B, k]
    to scores [B]; what it returns where no question counts is not used.
    """

    sums: Float[np.ndarray, "n k"]
    counts: Bool[np.ndarray, " n"]
    reduce: Callable[[np.ndarray], np.ndarray]

    @property
    def value(self) -> float:
        """The score of the questions as they are."""
        return float(self.reduce(self.sums.sum(axis=0, keepdims=True))[0])


def mean(values: Float[np.ndarray, " n"], counts: Bool[np.ndarray, " n"]) -> Measure:
    """The mean of values over the questions that count; the others' values may be NaN."""
    return Measure(np.stack([np.where(counts, values, 0.0), counts], axis=1).astype(np.float64), counts, _ratio)


def _ratio(sums: Float[np.ndarray, "B 2"]) -> Float[np.ndarray, " B"]:
    return sums[:, 0] / np.maximum(sums[:, 1], 1)
