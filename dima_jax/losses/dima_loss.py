"""The DiMA loss: every term of training, weighted and added.

    L = L_planning + L_perception + L_llm + L_recon + L_future + L_edit + L_distill

Each term arrives as a `Term(sum, count)`; it is divided here, once, and weighted by the config (`config.loss`). Terms
with weight 0 are not computed. The teacher's terms are there only when there is a teacher (stage 3).
"""

import jax.numpy as jnp
from jax import lax

from dima_jax import geometry
from dima_jax.losses import agents, distill, language, plan, surrogate
from dima_jax.losses import map as map_losses
from dima_jax.types import Batch, StudentOutput, TeacherOutput, Term


def total(terms: dict[str, Term], weights: dict[str, float]) -> tuple[jnp.ndarray, dict[str, jnp.ndarray]]:
    """(weighted sum, {name: mean of the term, unweighted}). A term with count 0 is 0."""
    means = {name: term.sum / jnp.maximum(term.count, 1e-6) for name, term in terms.items()}
    means = {name: jnp.where(terms[name].count > 0, mean, 0.0) for name, mean in means.items()}
    return sum(weights[name] * mean for name, mean in means.items()), means
