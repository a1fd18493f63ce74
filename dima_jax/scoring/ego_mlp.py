"""A planner that reads what the student reads of the ego, and no image: the CAN bus and the command.

A student whose images are worth something is better. Published planners that were given the ego's status were often
not (AD-MLP, arXiv 2305.10430; BEV-Planner, arXiv 2312.03031). It is a small MLP, fitted on the truth of the training
split whenever it is needed, in seconds, and told no more than the student was (`ego_inputs.Given`).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int

from dima_jax.scoring import ego_inputs
from dima_jax.scoring.ego_inputs import Given
from dima_jax.scoring.recorded import Truth

HIDDEN = (64, 64)
STEPS, BATCH = 4000, 128
PIECE = (
    32  # samples that are multiplied at once: a BLAS that shares out so little among threads waits more than it works
)
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 0.1
BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam
SEEDS = 4  # fits, of the seeds from 0 on
CLIP = 5.0  # standard deviations
CONSTANT = 1e-5  # an input that varies by less, of its size, is none
NEAR = 0.01  # meters; below, the loss is a parabola
NEEDS = ("paths", "masks", *ego_inputs.NEEDS)  # groups of the training truth

Layers = list[tuple[np.ndarray, np.ndarray]]  # (kernel [in, out], bias [out]) of each; before these axes those of a fit


class Samples(NamedTuple):
    """What the planner learns from: inputs; waypoints in meters, LiDAR frame; where they are known."""

    inputs: Float32[np.ndarray, "n 21"]
    waypoints: Float32[np.ndarray, "n 6 2"]
    mask: Bool[np.ndarray, "n 6"]


class Fit(NamedTuple):
    """One fit; call it with inputs [n, 21] for waypoints [n, 6, 2] in meters.

    mean, factor: of the inputs, to standard deviations; factor 0 for what never varied. offset, scale: of the waypoints.
    """

    layers: Layers
    mean: Float32[np.ndarray, " 21"]
    factor: Float32[np.ndarray, " 21"]
    offset: Float32[np.ndarray, "6 2"]
    scale: Float32[np.ndarray, "6 2"]

    def __call__(self, inputs: Float32[np.ndarray, "n 21"]) -> Float32[np.ndarray, "n 6 2"]:
        return self.waypoints(forward(self.layers, self.standardized(inputs))[-1])

    def standardized(self, inputs: Float32[np.ndarray, "n 21"]) -> Float32[np.ndarray, "n 21"]:
        return ((inputs - self.mean) * self.factor).clip(-CLIP, CLIP)

    def waypoints(self, outputs: Float32[np.ndarray, "... 12"]) -> Float32[np.ndarray, "... 6 2"]:
        return outputs.reshape(*outputs.shape[:-1], *self.scale.shape) * self.scale + self.offset


def name(given: Given) -> str:
    """The planner's row in a table, e.g. "blind MLP (speed, command)"."""
    return f"blind MLP ({given.words})"


def plans(truth: Truth, train: Truth, given: Given) -> list[Float32[np.ndarray, "N 6 2"]]:
    """Waypoints for each frame of the truth by the fit of each seed from 0 on; NaN where an input is not known.

    The training truth has the groups NEEDS, the other `ego_inputs.NEEDS`.
    """
    samples = read(train, given)
    inputs = ego_inputs.of(truth, given)
    return [one(inputs) for one in fit(samples, range(SEEDS))]


def read(train: Truth, given: Given) -> Samples:
    """All frames of a truth whose inputs are known."""
    inputs = ego_inputs.of(train, given)
    known = np.isfinite(inputs).all(axis=1)
    return Samples(inputs[known], train.path[known], train.path_mask[known])


def fit(samples: Samples, seeds: Sequence[int]) -> list[Fit]:
    """STEPS steps of AdamW on the distance to the recorded waypoints, by seed; a fit depends on its own seed alone."""
    sizes = (samples.inputs.shape[1], *HIDDEN, samples.waypoints[0].size)
    first, batches = [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        kernels = [rng.normal(size=(a, b), scale=np.sqrt(2 / a)).astype(np.float32) for a, b in pairwise(sizes)]
        first.append([(kernel, np.zeros(kernel.shape[1], np.float32)) for kernel in kernels])
        batches.append(rng.integers(len(samples.inputs), size=(STEPS, BATCH)))
    mean, deviation = samples.inputs.mean(0), samples.inputs.std(0)
    varies = deviation > CONSTANT * np.maximum(np.abs(mean), 1.0)
    factor = np.divide(1.0, deviation, where=varies, out=np.zeros_like(deviation))
    real = samples.mask[..., None]
    count = np.maximum(real.sum(0), 1)
    offset = (samples.waypoints * real).sum(0) / count
    scale = np.sqrt(((samples.waypoints - offset) ** 2 * real).sum(0) / count)
    start = Fit(stacked(first), mean, factor, offset.astype(np.float32), scale.astype(np.float32))
    layers = _descended(start, samples, np.stack(batches, axis=1))
    return [
        start._replace(layers=[(kernel[k, 0], bias[k, 0, 0]) for kernel, bias in layers]) for k in range(len(seeds))
    ]


def stacked(first: Sequence[Layers]) -> Layers:
    """Layers of K fits as kernels [K, 1, in, out] and biases [K, 1, 1, out]."""
    return [
        (np.stack([kernel for kernel, _ in of])[:, None], np.stack([bias for _, bias in of])[:, None, None])
        for of in zip(*first, strict=True)
    ]


def forward(layers: Layers, x: Float32[np.ndarray, "... n inputs"]) -> list[Float32[np.ndarray, "... n width"]]:
    """What goes into each layer, and the outputs; a ReLU after each layer but the last."""
    values = [x]
    for number, (kernel, bias) in enumerate(layers):
        x = values[-1] @ kernel + bias
        values.append(x if number == len(layers) - 1 else np.maximum(x, 0))
    return values


def gradient(fitted: Fit, batch: Samples) -> Layers:
    """Of the mean distance in meters over the known waypoints (a parabola below NEAR), by the layers' numbers.

    Of K fits at once: layers as `stacked`, fields of the batch [K, pieces, samples, ...], the inputs standardized.
    """
    values = forward(fitted.layers, batch.inputs)
    away = fitted.waypoints(values[-1]) - batch.waypoints
    error = np.sqrt((away**2).sum(axis=-1) + np.float32(NEAR**2))
    count = np.maximum(batch.mask.sum(axis=(1, 2, 3), keepdims=True, dtype=np.float32), 1)
    slope = (away * (batch.mask / (error * count))[..., None] * fitted.scale).reshape(values[-1].shape)
    found = []
    for number in reversed(range(len(fitted.layers))):
        kernel = (values[number].swapaxes(-1, -2) @ slope).sum(axis=1, keepdims=True)
        found.append((kernel, slope.sum(axis=(1, 2), keepdims=True)))
        if number:
            slope = (slope @ fitted.layers[number][0].swapaxes(-1, -2)) * (values[number] > 0)
    return found[::-1]


def _descended(start: Fit, data: Samples, batches: Int[np.ndarray, "steps K batch"]) -> Layers:
    """The layers after a step of AdamW (Loshchilov and Hutter, 2019) on each row of sample numbers."""
    data = data._replace(inputs=start.standardized(data.inputs))
    batches = batches.reshape(*batches.shape[:2], BATCH // PIECE, PIECE)
    numbers = _joined(start.layers)
    mean, square = np.zeros_like(numbers), np.zeros_like(numbers)
    for step, chosen in enumerate(batches):
        layers = _divided(numbers, start.layers)
        slope = _joined(gradient(start._replace(layers=layers), Samples(*(field[chosen] for field in data))))
        mean += np.float32(1 - BETAS[0]) * (slope - mean)
        square += np.float32(1 - BETAS[1]) * (slope * slope - square)
        first, second = (
            one / np.float32(1 - beta ** (step + 1)) for one, beta in zip((mean, square), BETAS, strict=True)
        )
        rate = np.float32(LEARNING_RATE * (1 + np.cos(np.pi * step / len(batches))) / 2)
        change = first / (np.sqrt(second) + np.float32(EPSILON)) + np.float32(WEIGHT_DECAY) * numbers
        numbers = numbers - rate * change
    return _divided(numbers, start.layers)


def _joined(layers: Layers) -> Float32[np.ndarray, " numbers"]:
    """All numbers of layers in one row."""
    return np.concatenate([part.ravel() for layer in layers for part in layer])


def _divided(numbers: Float32[np.ndarray, " numbers"], like: Layers) -> Layers:
    """Numbers of one row in the shapes of layers."""
    shapes = [part.shape for layer in like for part in layer]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    parts = [part.reshape(shape) for part, shape in zip(np.split(numbers, ends), shapes, strict=True)]
    return list(zip(parts[::2], parts[1::2], strict=True))
