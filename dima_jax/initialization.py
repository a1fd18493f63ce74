"""What a run does to its fresh random weights before the first step (config group `init`).

VAD starts from a trained backbone. From nothing, its initializers drown the images: frozen batch norms of mean 0 and
variance 1 do not normalize, so the features fade from stage to stage, and embeddings drawn from N(0, 1) are added to
them. Two remedies, both of the start alone; the architecture and what is exported stay the same.
"""

import jax
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from dima_jax import weights
from dima_jax.student import student as student_lib
from dima_jax.student.image_encoder import FrozenNorm, conv_norm

EMBEDDINGS = ("queries", "camera_embeds", "level_embeds")  # of the BEV encoder


def prepare(config: ConfigDict, student: weights.Params, images: np.ndarray | None) -> weights.Params:
    """The student's fresh weights {"student/...": array} as the group `init` wants them.

    images: [B, N, H, W, 3] uint8, prepared as in training; read only where `init.norm_frames` is above 0.
    """
    student = dict(student)
    if config.init.norm_frames:
        student |= norm_statistics(config, student, images)
    for name in EMBEDDINGS:
        path = f"student/bev_encoder/{name}"
        student[path] = student[path] * np.float32(config.init.embed_scale)
    return student


def norm_statistics(config: ConfigDict, student: weights.Params, images: np.ndarray) -> weights.Params:
    """The frozen norms' means and variances over these images, each given those before it, as {path: array}.

    Data-dependent initialization (Krähenbühl et al., ICLR 2016). Every norm then normalizes as a trained one would.
    """
    graph, _ = student_lib.abstract(config)

    @jax.jit
    def statistics(params, images):
        module = weights.bind(graph, params)
        module.image_encoder(module.normalize(images), set_and_apply)
        return weights.split(module)[1]

    params = {path.removeprefix("student/"): value for path, value in student.items()}
    changed = statistics(params, images.reshape(-1, *images.shape[2:]))
    return {f"student/{path}": value for path, value in changed.items() if path.endswith(("/mean", "/var"))}


def set_and_apply(layer: nnx.Conv, norm: FrozenNorm, x: jax.Array) -> jax.Array:
    """`conv_norm`, after setting the norm's statistics to those of what the convolution returns for x."""
    plain = conv_norm(layer, FrozenNorm.identity(layer.out_features), x)
    norm.mean[...], norm.var[...] = plain.mean((0, 1, 2)), plain.var((0, 1, 2))
    return conv_norm(layer, norm, x)
