"""Every shape fills its box and stays inside it."""

import numpy as np
import pytest

from data_prep.miniworld.render.meshes import shape_of
from tests.data_prep.miniworld.straight_road import SIZES


@pytest.mark.parametrize("category", SIZES)
def test_shape_fills_its_box_and_stays_inside(category):
    width, length, height = SIZES[category]
    for variant in range(9):
        corners = shape_of(category, width, length, height, variant).corners.reshape(-1, 3)
        half = np.array([length / 2, width / 2])
        assert (np.abs(corners[:, :2]) <= half + 1e-4).all()
        assert corners[:, 2].min() == pytest.approx(0.0, abs=1e-4)
        assert corners[:, 2].max() == pytest.approx(height, abs=1e-4)
        reach = np.abs(corners[:, :2]).max(axis=0) / half
        still = category.startswith("human")  # legs and arms swing, so a person at rest is shorter than the box
        assert (reach > (0.3 if still else 0.95, 0.95)).all(), reach
