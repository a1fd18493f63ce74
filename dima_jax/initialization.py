"""What a run does to its fresh random weights before the first step (config group `init`).

VAD starts from a trained backbone and trains for weeks. From nothing, its initializers drown the images and the speed:
frozen batch norms of mean 0 and variance 1 do not normalize, so the features fade from stage to stage; embeddings drawn
from N(0, 1) are added to them; and the CAN bus is read in its own units by layers without biases, behind which a layer
norm takes the size of the speed away. Remedies of the start alone; the architecture and what is exported stay the same.
"""

import jax
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from dima_jax import weights
from dima_jax.student import student as student_lib
from dima_jax.student.image_encoder import FrozenNorm, conv_norm

CONSTANT = 1e-3  # a CAN bus number that varies by less is none
EMBEDDINGS = ("queries", "camera_embeds", "level_embeds", "can_bus_norm/scale")  # of the BEV encoder


def prepare(config: ConfigDict, student: weights.Params, images: np.ndarray | None) -> weights.Params:
    """The student's fresh weights {"student/...": array} as `init.norm_frames` and `init.embed_scale` want them.

    images: [B, N, H, W, 3] uint8, prepared as in training; read only where `init.norm_frames` is above 0.
    """
    student = dict(student)
    if config.init.norm_frames:
        student |= norm_statistics(config, student, images)
    for name in EMBEDDINGS:
        path = f"student/bev_encoder/{name}"
        student[path] = student[path] * np.float32(config.init.embed_scale)
    return student


def can_bus_layer(seed: int, student: weights.Params, can_bus: np.ndarray) -> weights.Params:
    """The first CAN bus layer with its weights for inputs of deviation 1, each unit switching at one of these frames.

    student: its weights, fresh or trained. can_bus: [n, 18], the student's input. Returns the layer's, {path: array}.
    Without biases, relu layers turn a speed v into v times a fixed vector, and a layer norm into the same vector for
    every v. A number that does not vary starts without weight.
    """
    kernel, bias = (f"student/bev_encoder/can_bus1/{name}" for name in ("kernel", "bias"))
    deviation = can_bus.std(0)
    varies = deviation > CONSTANT
    scaled = (
        np.asarray(student[kernel]) * np.divide(1.0, deviation, where=varies, out=np.zeros_like(deviation))[:, None]
    )
    switches = can_bus[np.random.default_rng(seed).integers(len(can_bus), size=scaled.shape[1])]
    return {
        kernel: scaled.astype(np.float32),
        bias: -np.einsum("ui,iu->u", switches, scaled).astype(np.float32),
    }


def norm_statistics(config: ConfigDict, student: weights.Params, images: np.ndarray) -> weights.Params:
    """The frozen norms' means and variances over these images, each given those before it, as {path: array}.

    Data-dependent initialization (Krähenbühl et al., ICLR 2016). Every norm then normalizes as a trained one would.
    """
    graph, _ = student_lib.abstract(student_lib.in_float32(config))

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
