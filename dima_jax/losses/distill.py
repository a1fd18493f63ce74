"""Feature distillation: the student's ego feature learns from the teacher's, and not the other way round.

Both features are what enters the last Linear of the ego head. They become distributions by a softmax over channels,
which is a choice of ours: no source says how the paper does it (docs/decisions.md#d6).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dima_jax.types import Term


def distillation(
    teacher_feature: Float[Array, "B D2"], student_feature: Float[Array, "B D2"], temperature: float
) -> Term:
    """temperature^2 * KL(teacher || student) of softmax(feature / temperature), summed over samples; count = B.

    temperature^2 keeps the gradient's size when the temperature changes (Hinton et al. 2015, section 2).
    """
    teacher = jax.lax.stop_gradient(teacher_feature)
    teacher_log = jax.nn.log_softmax(teacher.astype(jnp.float32) / temperature)
    student_log = jax.nn.log_softmax(student_feature.astype(jnp.float32) / temperature)
    divergence = jnp.sum(jnp.exp(teacher_log) * (teacher_log - student_log), axis=-1)
    return Term(temperature**2 * divergence.sum(), jnp.float32(divergence.shape[0]))
