"""Distillation: the student learns from the teacher's ego feature or plan, and not the other way round.

Both features are what enters the last Linear of the ego head. No source says how the paper compares them; the forms, and
where each comes from, are in docs/decisions.md#d6.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dima_jax import config_check
from dima_jax.losses import plan
from dima_jax.losses.l1 import absolute
from dima_jax.types import EgoTargets, Term

EPSILON = 1e-5  # added to the variance of a feature over its channels


class Ego(NamedTuple):
    """What a planner makes of the ego. offsets: the plan of every command, meters per step; None of a teacher that plans
    nothing, which "plan" and a gate cannot compare.
    """

    feature: Float[Array, "B D2"]
    offsets: Float[Array, "B R F 2"] | None


def distillation(
    teacher: Ego,
    student: Ego,
    command: Float[Array, "B R"],
    ego: EgoTargets,
    *,
    form: str,
    temperature: float,
    gate: bool,
) -> Term:
    """The distance of the student to the teacher, summed over samples; count = B. No gradient reaches the teacher.

    form, of `config.distill`: "kl", "kl_standardized", "feature_l2", "shared_head" or "plan"; UserError for another.
    temperature: of the first two. gate: a sample whose teacher does not plan nearer to the recorded path adds nothing.
    """
    config_check.check_value("distill.form", form)
    teacher = jax.lax.stop_gradient(teacher)
    ours, theirs = (x.feature.astype(jnp.float32) for x in (student, teacher))
    if form == "kl":
        distance = divergence(theirs, ours, temperature)
    elif form == "kl_standardized":
        distance = divergence(standardized(theirs), standardized(ours), temperature)
    elif form == "feature_l2":
        distance = jnp.square(standardized(ours) - standardized(theirs)).mean(-1)
    elif form == "shared_head":
        distance = jnp.square(ours - theirs).mean(-1)
    else:
        distance = absolute(plan.commanded(student.offsets - teacher.offsets, command)).mean((1, 2))
    if gate:
        distance = distance * is_better(teacher.offsets, student.offsets, command, ego)
    return Term(distance.sum(), jnp.float32(len(distance)))


def divergence(
    teacher_feature: Float[Array, "B D2"], student_feature: Float[Array, "B D2"], temperature: float
) -> Float[Array, " B"]:
    """temperature^2 * KL(teacher || student) of softmax(feature / temperature) over channels.

    temperature^2 keeps the gradient's size when the temperature changes (Hinton et al. 2015, section 2).
    """
    teacher_log = jax.nn.log_softmax(teacher_feature.astype(jnp.float32) / temperature)
    student_log = jax.nn.log_softmax(student_feature.astype(jnp.float32) / temperature)
    return temperature**2 * jnp.sum(jnp.exp(teacher_log) * (teacher_log - student_log), axis=-1)


def standardized(feature: Float[Array, "B D2"]) -> Float[Array, "B D2"]:
    """Mean 0 and variance 1 over the channels of each sample."""
    centered = feature - feature.mean(-1, keepdims=True)
    return centered * jax.lax.rsqrt(jnp.square(centered).mean(-1, keepdims=True) + EPSILON)


def is_better(
    teacher_offsets: Float[Array, "B R F 2"],
    student_offsets: Float[Array, "B R F 2"],
    command: Float[Array, "B R"],
    ego: EgoTargets,
) -> Bool[Array, " B"]:
    """Whether the teacher's plan is nearer to the recorded path than the student's, on average over the known steps.

    False where no step is known.
    """

    def error(offsets: Float[Array, "B R F 2"]) -> Float[Array, " B"]:
        distance = plan.displacement(offsets, command, ego.future_offsets)
        return jnp.where(ego.future_mask, distance, 0.0).sum(-1)

    return error(teacher_offsets) < error(student_offsets)
