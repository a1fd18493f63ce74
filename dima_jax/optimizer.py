"""AdamW as VAD trains it (docs/vad.md#optimizer), with learning rates and freezing by weight path.

Linear warm-up over the first steps, cosine annealing that changes once per epoch (mmcv's) or with every step, gradient
clip by the global norm, weight decay on every trained weight.
"""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from dima_jax import config_check, weights


class Optimizer(NamedTuple):
    """update: optax's transformation of {path: gradient} to {path: change}. schedule: step -> learning rate."""

    update: optax.GradientTransformation
    schedule: optax.Schedule


def build(config: ConfigDict, steps_per_epoch: int) -> Optimizer:
    """The optimizer of a whole config (groups `optim` and `train`). steps_per_epoch: train steps, not updates."""
    optim = config.optim
    total_steps = num_steps(config, steps_per_epoch)
    updates = learning_rate(
        base=optim.learning_rate,
        warmup_steps=optim.warmup_steps,
        warmup_from=optim.warmup_from,
        final_scale=optim.final_scale,
        steps_per_epoch=max(1, steps_per_epoch // optim.accumulate),
        epochs=total_steps / steps_per_epoch,
        cosine_per=optim.cosine_per,
    )
    update = adamw(
        updates,
        optim.groups,
        weight_decay=optim.weight_decay,
        clip_norm=optim.clip_norm,
        accumulate=optim.accumulate,
    )
    return Optimizer(update, lambda step: updates(step // optim.accumulate))


def num_steps(config: ConfigDict, steps_per_epoch: int) -> int:
    """Train steps of a whole run: those of its epochs, `train.max_steps` at most."""
    steps = steps_per_epoch * config.train.epochs
    return min(steps, config.train.max_steps or steps)


def learning_rate(
    *,
    base: float,
    warmup_steps: int,
    warmup_from: float,
    final_scale: float,
    steps_per_epoch: int,
    epochs: float,
    cosine_per: str,
) -> optax.Schedule:
    """step -> learning rate: a cosine over all epochs and a linear warm-up on top of it.

    cosine_per: "epoch" changes the cosine once an epoch, as mmcv's CosineAnnealing with by_epoch=True, so a run of one
    epoch is not annealed at all; "step" changes it with every step. UserError for another word.
    """
    config_check.check_value("optim.cosine_per", cosine_per)

    def schedule(step):
        epoch = step // steps_per_epoch if cosine_per == "epoch" else step / steps_per_epoch
        epoch = jnp.minimum(epoch, epochs)
        cosine = 0.5 * (1.0 + jnp.cos(jnp.pi * epoch / epochs))
        rate = base * (final_scale + (1.0 - final_scale) * cosine)
        progress = jnp.minimum(step / max(warmup_steps, 1), 1.0)
        return rate * (warmup_from + (1.0 - warmup_from) * progress)

    return schedule


def split_frozen(params: weights.Params, groups: Iterable[tuple[str, float]]) -> tuple[weights.Params, weights.Params]:
    """(trainable, frozen): a weight whose group's multiplier is 0 is frozen. UserError for a weight without group."""
    multiplier = weights.match(groups, params)
    trainable = {path: value for path, value in params.items() if multiplier[path] > 0.0}
    frozen = {path: value for path, value in params.items() if multiplier[path] == 0.0}
    return trainable, frozen


def adamw(
    schedule: optax.Schedule,
    groups: Iterable[tuple[str, float]],
    *,
    weight_decay: float,
    clip_norm: float,
    accumulate: int,
) -> optax.GradientTransformation:
    """AdamW of the trained weights {path: array}. accumulate: steps whose mean gradient makes one update."""

    def scale_groups(updates, _):
        multiplier = weights.match(groups, updates)
        return {path: update * multiplier[path] for path, update in updates.items()}

    update = optax.chain(
        optax.stateless(lambda updates, _: clip(updates, clip_norm)),
        optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(lambda step: one_value(schedule(step))),
        optax.stateless(scale_groups),
    )
    return update if accumulate == 1 else optax.MultiSteps(update, accumulate).gradient_transformation()


def clip(gradients: weights.Params, norm: float) -> weights.Params:
    """Gradients of a global norm of at most `norm`, by torch's rule (clip_grad_norm_)."""
    factor = one_value(jnp.minimum(1.0, norm / (optax.tree.norm(gradients) + 1e-6)))
    return jax.tree.map(lambda gradient: gradient * factor, gradients)


def one_value(scalar: jax.Array) -> jax.Array:
    """The scalar, computed once: XLA weighs for every weight anew whether to compute it there again, which takes time
    with the square of their number.
    """
    return jax.lax.optimization_barrier(scalar)


def group_norms(gradients: weights.Params) -> dict[str, jax.Array]:
    """Gradient norm per part of the model: {"student/bev_encoder": norm, ...}, for the logs."""
    parts: dict[str, list[jax.Array]] = {}
    for path, gradient in gradients.items():
        parts.setdefault("/".join(path.split("/")[:2]), []).append(gradient)
    return {part: optax.tree.norm(values) for part, values in parts.items()}
