"""`configs/vector.py` at the sizes of `tests/mini.py`, without noise, and a batch that has room for every question."""

import jax
import jax.numpy as jnp
from flax import nnx

from dima_jax import students, weights
from dima_jax.data import fake_batch
from tests.mini import mini_config

KEY = jax.random.key(0, impl="threefry2x32")  # its draws do not depend on the vmap around them


def vector_config(records="absent", **vector):
    """vector: keys of the group, beside enabled."""
    config = mini_config(records)
    config.vector.update(enabled=True, **vector)
    config.auxiliary.update(image=False, bev=False, agent_groups=0, map_groups=0)
    config.data.update(history=0, future=0)
    config.loss.future = 0.0
    return config


def example(config, seed=0):
    """A batch of arrays without images."""
    batch = jax.tree.map(jnp.asarray, fake_batch.example(config, seed))
    return batch.replace(images=batch.images[:, :, :0], lidar2img=batch.lidar2img[:, :, :0])


def student(config, seed=0):
    """(graph, weights) of the student."""
    return weights.split(students.build(config, nnx.Rngs(seed)))
