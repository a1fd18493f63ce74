"""What the definitions of several planning protocols are put together from."""

import numpy as np
from jaxtyping import Bool, Float, Int

from dima_jax.categories import CLASS_OF_CATEGORY, LIDARSEG_CATEGORIES
from dima_jax.constants import EGO_CENTER_AHEAD, EGO_LENGTH, EGO_WIDTH
from dima_jax.metrics.protocols.base import Column

HORIZONS = {"1s": 2, "2s": 4, "3s": 6}  # steps up to each
ALL_STEPS = tuple(range(6))
VEHICLES = ("car", "truck", "construction_vehicle", "bus", "trailer", "motorcycle", "bicycle")  # detection classes
EGO = {"ego_length": EGO_LENGTH, "ego_width": EGO_WIDTH, "ego_center_ahead": EGO_CENTER_AHEAD}


def categories_of(*classes: str) -> tuple[int, ...]:
    """Indices, in LIDARSEG_CATEGORIES, of the categories of these detection classes."""
    return tuple(i for i, name in enumerate(LIDARSEG_CATEGORIES) if CLASS_OF_CATEGORY.get(name) in classes)


def names(categories: tuple[int, ...]) -> list[str]:
    """What a definition says of categories."""
    return [LIDARSEG_CATEGORIES[i] for i in categories]


def up_to(quantity: str, how: str = "mean", weight: str = "mask") -> tuple[Column, ...]:
    """Columns `quantity_1s` ... of all steps up to each horizon."""
    return tuple(Column(f"{quantity}_{h}", quantity, tuple(range(n)), how, weight) for h, n in HORIZONS.items())


def at(quantity: str, weight: str = "mask", name: str | None = None) -> tuple[Column, ...]:
    """Columns `quantity_1s` ... (or of another name) of the step at each horizon."""
    return tuple(Column(f"{name or quantity}_{h}", quantity, (n - 1,), "mean", weight) for h, n in HORIZONS.items())


def average(*names: str) -> dict[str, tuple[str, ...]]:
    """`name_avg`: the mean of a name's columns of the three horizons."""
    return {f"{name}_avg": tuple(f"{name}_{h}" for h in HORIZONS) for name in names}


def any_within(weight: str = "mask") -> Column:
    """`any_3s`: whether there is any collision within the three seconds."""
    return Column("any_3s", "collision", ALL_STEPS, "any", weight)


def counted(
    flags: Bool[np.ndarray, "P F"], plans: Float[np.ndarray, "P F d"], exempt: Bool[np.ndarray, " F"] | None = None
) -> Float[np.ndarray, "P F"]:
    """1 where a plan's flag is set and the step is not exempt, else 0; NaN where the plan is not a number."""
    kept = flags if exempt is None else flags & ~exempt
    return np.where(np.isfinite(plans).all(axis=-1), kept, np.nan)


def nobody(plans: Float[np.ndarray, "P F d"]) -> Int[np.ndarray, "P F"]:
    """No agent is struck."""
    return np.full(plans.shape[:2], -1)
