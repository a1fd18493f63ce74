"""The synthetic batch agrees with its spec and is possible."""

import jax
import numpy as np
import pytest

from dima_jax.configs import base
from dima_jax.data import loader


def small_config():
    config = base.get_config()
    config.data.update(batch_size=2, history=1, image_shape=(32, 64), max_agents=8, max_map=6, max_text=128)
    return config


@pytest.mark.parametrize("photometric", [True, False])
def test_example_agrees_with_spec(photometric):
    config = small_config()
    config.data.photometric = photometric
    jax.tree.map(
        lambda want, got: np.testing.assert_equal((got.shape, got.dtype), (want.shape, want.dtype)),
        loader.spec(config),
        loader.example(config),
    )


def test_example_is_possible():
    config = small_config()
    batch = loader.example(config)
    low, high = config.student.pc_range[:2], config.student.pc_range[3:5]
    centers = batch.agents.boxes[batch.agents.mask][:, :2]
    assert (centers > low).all() and (centers < high).all()
    ahead = np.array([0.0, 10.0, -0.5, 1.0])
    x, y, depth, _ = batch.lidar2img[0, 0, 0] @ ahead  # CAM_FRONT sees what is ahead in its middle
    np.testing.assert_allclose((x / depth, y / depth, depth), (32, 16, 10), atol=1e-4)
    assert batch.edit_text.answer_mask.any(axis=-1).all()
