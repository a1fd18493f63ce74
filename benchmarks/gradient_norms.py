"""What `benchmarks.gradient_shares` computes: the norm of every loss term's gradient by the BEV tokens."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from dima_jax import weights
from dima_jax.errors import UserError
from dima_jax.losses import dima_loss
from dima_jax.sharded_model import ShardedModel
from dima_jax.train_step import loss_terms


def make_gradient_norms(model: ShardedModel) -> Callable:
    """jitted (params, batch, key) -> {term: (its mean, the norm of that mean's gradient by the current frame's BEV)}.

    Each term is traced back from the BEV on alone: one forward pass, and one backward pass a term that does not reach the
    image encoder. UserError in vector mode.
    """
    config = model.config
    if config.vector.enabled:
        raise UserError("config.vector.enabled=True: a vector student has no BEV encoder; give a config of images")

    def means_of(params, batch, key, offset):
        """The terms' means, with `offset` (zeros) added to every BEV; frames before and after give no gradient."""
        bound = weights.bind(model.graph, params)
        encoder = bound.student.bev_encoder
        bound.student.bev_encoder = lambda *inputs: encoder(*inputs) + offset
        output = bound(batch, history=config.data.history, key=key, is_training=True)
        return dima_loss.total(loss_terms(output, batch, config), config.loss.to_dict())[1]

    @jax.jit
    def gradient_norms(params, batch, key):
        cells = config.student.bev_shape[0] * config.student.bev_shape[1]
        start = jnp.zeros((len(batch.command), cells, config.student.width))
        means, pull = jax.vjp(lambda offset: means_of(params, batch, key, offset), start)
        names = sorted(means)
        norms = jax.lax.map(lambda row: optax.tree.norm(pull(dict(zip(names, row, strict=True)))), jnp.eye(len(names)))
        return {name: (means[name], norms[i]) for i, name in enumerate(names)}

    return gradient_norms
