"""What a golden check returns, and the weight recipe of the golden files.

A piece is a module `tests/golden/pieces/<piece>.py` with `check(folder: Path)` that yields (file name, [Check, ...])
for every golden file in `folder`; errors are largest absolute differences unless the name says otherwise.
"""

import math
import zlib
from typing import NamedTuple

import numpy as np


class Check(NamedTuple):
    name: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return bool(self.error <= self.tolerance)  # NaN fails


def close(name: str, ours, golden, tolerance: float, mask=None) -> Check:
    """Largest absolute difference; a wrong shape or a NaN on one side only is an infinite error."""
    ours, golden = np.asarray(ours), np.asarray(golden)
    if ours.shape != golden.shape:
        return Check(f"{name} shape {ours.shape} != {golden.shape}", math.inf, tolerance)
    difference = np.abs(ours.astype(np.float64) - golden.astype(np.float64))
    difference = np.where(np.isnan(ours) & np.isnan(golden), 0.0, difference)
    difference = np.where(ours == golden, 0.0, difference)  # equal infinities
    if mask is not None:
        difference = difference[mask]
    error = float(difference.max()) if difference.size else 0.0
    return Check(name, math.inf if math.isnan(error) else error, tolerance)


def scaled(golden, tolerance: float = 1e-5) -> float:
    """The tolerance for values of this size: relative to the largest one where that is above 1."""
    return tolerance * max(1.0, float(np.abs(golden).max()))


def u01(seed: int, n: int) -> np.ndarray:
    """Counter-based hash (splitmix64) to float32 in [0, 1), exact on every platform."""
    with np.errstate(over="ignore"):
        i = np.arange(1, n + 1, dtype=np.uint64)
        z = i * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed) * np.uint64(0xD1342543DE82EF95)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def sym(key: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """float32 in [-1, 1), determined by key, shape and seed."""
    n = int(np.prod(shape)) if len(shape) else 1
    return (np.float32(2) * u01(zlib.crc32(key.encode()) + (seed << 32), n) - np.float32(1)).reshape(shape)


EMBEDDINGS = (
    "bev_embedding.weight",
    "query_embedding.weight",
    "map_instance_embedding.weight",
    "map_pts_embedding.weight",
    "motion_mode_query.weight",
    "ego_query.weight",
    "row_embed.weight",
    "col_embed.weight",
    "cams_embeds",
    "level_embeds",
)


def recipe(key: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """The value of a reference weight by its full original name (golden README, "The weight recipe")."""
    shape, f = tuple(shape), np.float32
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if key.endswith("map_code_weights"):
        return np.ones(shape, f)
    if key.endswith("code_weights"):
        return np.array([1] * 8 + [0.2] * 2, f)
    center, scale = _center_scale(key, shape)
    if key.endswith("reference_points.weight") or ("cls_branches" in key and key.endswith(".6.weight")):
        scale *= 3.0
    if "lateral_convs" in key and key.endswith("weight"):
        scale *= 0.1
    value = f(scale) * sym(key, shape, seed)
    return value if center == 0.0 else f(center) + value


def _center_scale(key: str, shape: tuple[int, ...]) -> tuple[float, float]:
    if key.endswith("running_var"):
        return 1.0, 0.3
    if key.endswith("running_mean"):
        return 0.0, 0.1
    if key.endswith(EMBEDDINGS):
        large = key.endswith(("query_embedding.weight", "map_instance_embedding.weight"))
        return 0.0, 3.0 if large else 1.0
    if key.endswith("sampling_offsets.bias"):
        return 0.0, 4.0
    if key.endswith("attention_weights.bias"):
        return 0.0, 0.5
    if "map_cls_branches" in key and key.endswith(".6.bias"):
        return -1.5, 0.1
    if key.endswith("bias"):
        return 0.0, 0.1
    if len(shape) == 1:
        return (0.4, 0.1) if key.endswith("bn3.weight") else (1.0, 0.2)
    if len(shape) == 4:
        return 0.0, math.sqrt(6.0 / np.prod(shape[1:]))
    return 0.0, math.sqrt(3.0 / np.prod(shape[1:]))
