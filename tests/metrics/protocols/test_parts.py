"""Columns and categories that definitions are put together from."""

import numpy as np

from dima_jax.metrics.protocols import parts
from dima_jax.metrics.protocols.base import Column


def test_columns():
    assert parts.up_to("l2")[1] == Column("l2_2s", "l2", (0, 1, 2, 3), "mean", "mask")
    assert parts.up_to("hit", "any", "frame")[0] == Column("hit_1s", "hit", (0, 1), "any", "frame")
    assert parts.at("l2")[2] == Column("l2_3s", "l2", (5,), "mean", "mask")
    assert parts.at("l2", "frame", "other")[0] == Column("other_1s", "l2", (1,), "mean", "frame")
    assert parts.average("l2", "x") == {"l2_avg": ("l2_1s", "l2_2s", "l2_3s"), "x_avg": ("x_1s", "x_2s", "x_3s")}
    assert parts.any_within() == Column("any_3s", "collision", (0, 1, 2, 3, 4, 5), "any", "mask")


def test_categories():
    assert parts.names(parts.categories_of("bus", "pedestrian"))[-2:] == ["vehicle.bus.bendy", "vehicle.bus.rigid"]
    assert len(parts.categories_of(*parts.VEHICLES)) == 8 and parts.categories_of() == ()


def test_flags_that_count():
    plans = np.zeros((2, 3, 2))
    plans[1, 2] = np.nan
    flags = np.array([[True, True, False], [False, True, True]])
    assert np.array_equal(parts.counted(flags, plans), [[1, 1, 0], [0, 1, np.nan]], equal_nan=True)
    exempt = np.array([True, False, True])
    assert np.array_equal(parts.counted(flags, plans, exempt), [[0, 1, 0], [0, 1, np.nan]], equal_nan=True)
    assert parts.nobody(plans).tolist() == [[-1] * 3] * 2
