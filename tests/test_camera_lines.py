"""Lines in a camera's image, by hand."""

import numpy as np
import pytest

from dima_jax import camera_lines

FRONT = np.array([[100.0, 80, 0, 0], [0, 60, -100, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # looks along +y from the LiDAR


def test_segments_are_cut_at_the_camera():
    through = np.array([[[0.0, 10, 0], [0.0, -10, 0]], [[0.0, -1, 0], [0.0, -2, 0]]])
    (pixels,) = camera_lines.project(through, FRONT)
    np.testing.assert_allclose(pixels, [[80, 60], [80, 60]], atol=1e-6)  # straight ahead is the image center
    side = np.array([[[1.0, 2, 0], [1.0, -2, 0]]])
    assert camera_lines.project(side, FRONT)[0, 1, 0] == pytest.approx(80 + 100 / camera_lines.NEAR)
