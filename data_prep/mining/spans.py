"""Runs of true values."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool


def spans(mask: Bool[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """The runs [start, end) of a mask, in order."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def mask_of(length: int, found: Iterable[tuple[int, int]]) -> Bool[np.ndarray, " length"]:
    """True in each of the runs [start, end)."""
    mask = np.zeros(length, bool)
    for start, end in found:
        mask[start:end] = True
    return mask
