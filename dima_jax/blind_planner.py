"""A planner that sees what the student reads of the ego, and no image: the CAN bus and the command.

A student whose images are worth something is better. Published planners that were given the ego's status were often
not (AD-MLP, arXiv 2305.10430; BEV-Planner, arXiv 2312.03031). It is a small MLP, fitted on the training split whenever
it is needed, in seconds, and as blind as the config's arm: `config.data.ego_status` and `config.data.command` act on it
as on the student.
"""

import time
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from dima_jax.constants import COMMANDS
from dima_jax.data import ego_inputs
from dima_jax.types import Frame

HIDDEN = (64, 64)
STEPS, BATCH = 4000, 128
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 0.1
SEEDS = 4  # fits side by side, from the config's seed on: the first is the planner, the others tell the spread
CLIP = 5.0  # standard deviations
CONSTANT = 1e-5  # an input that varies by less, of its size, is none
NEAR = 0.01  # meters; below, the loss is a parabola
EGO_STATUS_NAMES = {"full": "full ego status", "speed": "speed", "none": ""}


class Samples(NamedTuple):
    """What the planner learns from: inputs [n, 18 + 3] float32; waypoints [n, F, 2] meters; mask [n, F]."""

    inputs: np.ndarray
    waypoints: np.ndarray
    mask: np.ndarray


class BlindPlanner:
    """Fitted on a split of the config's records; call it with a `types.Frame`.

    name: with its inputs; num_frames: it was fitted on; seconds: that took; seeds: of its fits. UserError if the
    records are missing.
    """

    def __init__(self, config: ConfigDict, split: str):
        start = time.monotonic()
        self.name = name(config)
        self.seeds = list(range(config.seed, config.seed + SEEDS))
        samples = read(config, split)
        self.num_frames = len(samples.inputs)
        self._fits = [fit(samples, seed) for seed in self.seeds]
        self.seconds = time.monotonic() - start

    def __call__(self, frame: Frame) -> np.ndarray:
        """Waypoints [SEEDS, F, 2] in meters by each fit. frame: with a batch axis of 1; its images are not read."""
        inputs = _concatenate(frame.can_bus, frame.command)
        return np.stack([fitted(inputs)[0] for fitted in self._fits])


def name(config: ConfigDict) -> str:
    """The planner's row in a table, e.g. "blind MLP (speed, command)"."""
    inputs = [EGO_STATUS_NAMES[config.data.ego_status], "command" if config.data.command else ""]
    return f"blind MLP ({', '.join(filter(None, inputs)) or 'nothing'})"


def read(config: ConfigDict, split: str) -> Samples:
    """The student's ego inputs at evaluation and the recorded path, of all frames of a split.

    UserError if the records are missing or damaged.
    """
    ego = ego_inputs.read(config, split)
    return Samples(_concatenate(ego.can_bus, ego.command), ego.waypoints, ego.mask)


def _concatenate(can_bus, command) -> np.ndarray:
    """[n, 18] and one-hot [n, 3] to [n, 21] float32."""
    assert command.shape[1] == len(COMMANDS)
    return np.concatenate([np.asarray(can_bus), np.asarray(command)], axis=1).astype(np.float32)


class Fit(NamedTuple):
    """One fit; call it with inputs [n, 21] for waypoints [n, F, 2] in meters.

    layers: (kernel, bias) of each. mean, factor: of the inputs, to standard deviations; factor 0 for what never varied.
    offset, scale: of the waypoints [F, 2], meters.
    """

    layers: list[tuple[np.ndarray, np.ndarray]]
    mean: np.ndarray
    factor: np.ndarray
    offset: np.ndarray
    scale: np.ndarray

    def __call__(self, inputs):
        x = ((inputs - self.mean) * self.factor).clip(-CLIP, CLIP)
        for kernel, bias in self.layers[:-1]:
            x = x @ kernel + bias
            x = x * (x > 0)
        kernel, bias = self.layers[-1]
        return (x @ kernel + bias).reshape(-1, *self.scale.shape) * self.scale + self.offset


def fit(samples: Samples, seed: int) -> Fit:
    """STEPS steps of AdamW on the distance to the recorded waypoints; the same for the same seed."""
    rng = np.random.default_rng(seed)
    sizes = (samples.inputs.shape[1], *HIDDEN, samples.waypoints[0].size)
    layers = [
        (rng.normal(size=(a, b), scale=np.sqrt(2 / a)).astype(np.float32), np.zeros(b, np.float32))
        for a, b in pairwise(sizes)
    ]
    mean, deviation = samples.inputs.mean(0), samples.inputs.std(0)
    varies = deviation > CONSTANT * np.maximum(np.abs(mean), 1.0)
    factor = np.divide(1.0, deviation, where=varies, out=np.zeros_like(deviation))
    real = samples.mask[..., None]
    count = np.maximum(real.sum(0), 1)
    offset = (samples.waypoints * real).sum(0) / count
    scale = np.sqrt(((samples.waypoints - offset) ** 2 * real).sum(0) / count)
    batches = rng.integers(len(samples.inputs), size=(STEPS, BATCH))
    start = Fit(layers, mean, factor, offset.astype(np.float32), scale.astype(np.float32))
    return start._replace(layers=jax.tree.map(np.asarray, _descend(start, samples, batches)))


@jax.jit
def _descend(start: Fit, data: Samples, batches) -> list:
    """The layers after a step on each row of sample numbers of batches [STEPS, BATCH]."""
    optimizer = optax.adamw(optax.cosine_decay_schedule(LEARNING_RATE, STEPS), weight_decay=WEIGHT_DECAY)

    def loss(layers, batch: Samples):
        plan = start._replace(layers=layers)(batch.inputs)
        error = jnp.sqrt(jnp.sum((plan - batch.waypoints) ** 2, axis=-1) + NEAR**2)  # [n, F] meters
        return jnp.sum(error * batch.mask) / jnp.maximum(jnp.sum(batch.mask), 1)

    def step(state, chosen):
        layers, momenta = state
        gradient = jax.grad(loss)(layers, Samples(*(field[chosen] for field in data)))
        updates, momenta = optimizer.update(gradient, momenta, layers)
        return (optax.apply_updates(layers, updates), momenta), None

    return jax.lax.scan(step, (start.layers, optimizer.init(start.layers)), batches)[0][0]
