"""The student of a config: VAD, or where `vector.enabled` the one of vector mode (docs/evidence.md#vector-mode)."""

import jax
from flax import nnx
from ml_collections import ConfigDict

from dima_jax import weights
from dima_jax.student import student
from dima_jax.student.student import Student
from dima_jax.vector import vector_student
from dima_jax.vector.vector_student import VectorStudent


def build(config: ConfigDict, rngs: nnx.Rngs) -> Student | VectorStudent:
    """With newly initialized weights."""
    return (vector_student if config.vector.enabled else student).build(config, rngs)


def shapes(config: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
    """{path without "student/": shape} of the weights; no array is made."""
    return weights.split(nnx.eval_shape(lambda: build(config, nnx.Rngs(0))))[1]
