"""A feature of any width as fewer numbers that vary alike: standardized principal components.

n frames of width E.
"""

import numpy as np
from jaxtyping import Float

from dima_jax.errors import UserError

LEAST = 1e-8  # share of the first component's variance below which a component is rounding, and 0


def standardized(feature: Float[np.ndarray, "n E"], count: int, name: str) -> Float[np.ndarray, "n {count}"]:
    """The first `count` principal components of these frames, each of mean 0 and variance 1 over them, float32.

    Of a component's two signs that one is taken in which its largest weight is positive. Components beyond those that the
    frames have are 0. name: of the feature's source, for UserError if it is narrower than `count`, or the same in every frame.
    """
    width = feature.shape[1]
    if width < count:
        raise UserError(
            f"{name}: the feature is {width} wide, fewer than the {count} of this student's; give a wider LLM or a "
            "smaller student.width"
        )
    centered = feature.astype(np.float64) - feature.mean(0, dtype=np.float64)
    variances, axes = np.linalg.eigh(centered.T @ centered / len(feature))
    variances, axes = variances[::-1][:count], axes[:, ::-1][:, :count]
    scale = np.square(feature, dtype=np.float64).mean()
    if not variances[0] > LEAST * scale:
        raise UserError(f"{name}: the feature is the same in every frame, so that it teaches nothing")
    largest = np.abs(axes).argmax(0)
    axes = axes * np.sign(axes[largest, np.arange(count)])
    is_there = variances > LEAST * variances[0]
    return (centered @ axes * np.where(is_there, 1 / np.sqrt(np.where(is_there, variances, 1.0)), 0.0)).astype(
        np.float32
    )
