"""One optimization step: forward, the DiMA loss, gradients, update. The same step serves every stage, by config.

The weights are in two parts. `state.params` are trained; `frozen` (the LLM base, frozen stem and norms) is an argument
of its own: not differentiated, not optimized, not donated.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from flax import nnx, struct
from jaxtyping import Array, Int
from ml_collections import ConfigDict

from dima_jax import dima, optimizer, sharding, teaching, weights
from dima_jax.losses import dima_loss
from dima_jax.optimizer import Optimizer
from dima_jax.sharded_model import ShardedModel
from dima_jax.types import Batch, Term


@struct.dataclass
class TrainState:
    """step: how many steps were taken. params: the trained weights by path. opt_state: optax's."""

    step: Int[Array, ""]
    params: weights.Params
    opt_state: optax.OptState


def init_train_state(
    model: ShardedModel, optim: Optimizer, params: weights.Params | None = None
) -> tuple[TrainState, weights.Params]:
    """(state at step 0, frozen weights), every array on its sharding. params: all weights, by default initial ones."""
    trained, frozen = optimizer.split_frozen(params or model.init_params(), model.config.optim.groups)
    places = train_state_sharding(model, optim)
    return TrainState(
        step=jax.device_put(jnp.zeros((), jnp.int32), places.step),
        params=trained,
        opt_state=jax.jit(optim.update.init, out_shardings=places.opt_state)(trained),
    ), frozen


def abstract_train_state(model: ShardedModel, optim: Optimizer) -> tuple[TrainState, weights.Params]:
    """As `init_train_state`, as `jax.ShapeDtypeStruct`s on their shardings; nothing is allocated.

    What belongs to a weight lies beside that weight, counters everywhere.
    """
    trained, frozen = optimizer.split_frozen(model.abstract, model.config.optim.groups)
    everywhere = sharding.replicated(model.mesh)

    def beside(x, weight):
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=weight.sharding)

    def counter(x):
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere)

    shapes = jax.eval_shape(optim.update.init, trained)
    opt_state = optax.tree.map_params(optim.update, beside, shapes, trained, transform_non_params=counter)
    return TrainState(counter(jax.ShapeDtypeStruct((), jnp.int32)), trained, opt_state), frozen


def train_state_sharding(model: ShardedModel, optim: Optimizer) -> TrainState:
    """A TrainState of shardings: where each array of the state lives."""
    return jax.tree.map(lambda x: x.sharding, abstract_train_state(model, optim)[0])


def make_train_step(model: ShardedModel, optim: Optimizer) -> Callable:
    """jitted (state, frozen, batch, key) -> (state, log) of `step_function`. The state is donated, and comes back where it
    was.
    """
    places = train_state_sharding(model, optim)
    step = step_function(
        model.graph, model.config, optim, lambda gradients: jax.lax.with_sharding_constraint(gradients, places.params)
    )
    return jax.jit(
        sharding.on_mesh(step, model.mesh),
        donate_argnums=0,
        out_shardings=(places, sharding.replicated(model.mesh)),
    )


def step_function(
    graph: nnx.GraphDef,
    config: ConfigDict,
    optim: Optimizer,
    place: Callable[[weights.Params], weights.Params] = lambda gradients: gradients,
) -> Callable:
    """A pure (state, frozen, batch, key) -> (state, log).

    graph: of the whole model. place: puts gradients on their shardings.

    log: {name: scalar}: the loss, its terms before weighting, the share of samples in which each planning constraint acts,
    the L2 of the student's and the teacher's plan in meters, gradient norms by part of the model, the learning rate, with a
    teacher the weight of distillation.
    """
    loss_weights = config.loss.to_dict()

    def train_step(state: TrainState, frozen: Mapping, batch: Batch, key: jax.Array):
        key = jax.random.fold_in(key, state.step)
        distill_weight = teaching.weight(config, state.step)

        def loss(params):
            output = weights.bind(graph, {**params, **frozen})(
                batch, history=config.data.history, key=key, is_training=True
            )
            now = {**loss_weights, "distill": distill_weight}
            total, means = dima_loss.total(loss_terms(output, batch, config), now)
            acting = dima_loss.acting_shares(output.student, batch, tuple(config.student.pc_range))
            return total, (means, acting, dima_loss.plan_errors(output.student, output.teacher or batch.taught, batch))

        (total, (means, acting, errors)), gradients = jax.value_and_grad(loss, has_aux=True)(state.params)
        gradients = teaching.hold(place(gradients), config, state.step)
        with jax.named_scope("optimizer"):
            updates, opt_state = optim.update.update(gradients, state.opt_state, state.params)
            updates = teaching.hold(
                updates, config, state.step
            )  # weight decay and momentum change what has no gradient
            params = optax.apply_updates(state.params, updates)
        log = {
            "loss/total": total,
            **{f"loss/{name}": value for name, value in means.items()},
            **{f"acting/{name}": value for name, value in acting.items()},
            **{f"plan/{name}": value for name, value in errors.items()},
            **{f"gradient_norm/{part}": norm for part, norm in optimizer.group_norms(gradients).items()},
            "learning_rate": optim.schedule(state.step),
            **({"distill_weight": distill_weight} if config.teacher.enabled or config.distill.cache else {}),
        }
        return TrainState(state.step + 1, params, opt_state), log

    return train_step


@jax.named_scope("losses")
def loss_terms(output: dima.DiMAOutput, batch: Batch, config: ConfigDict) -> dict[str, Term]:
    """Every term of one forward pass, as the config weighs them."""
    loss_weights, pc_range = config.loss.to_dict(), tuple(config.student.pc_range)
    matches = dima_loss.match(output.student, batch, loss_weights)
    terms = dima_loss.student_terms(output.student, batch, matches, loss_weights, pc_range)
    if output.auxiliary is not None:
        terms |= dima_loss.auxiliary_terms(
            output.student,
            output.auxiliary,
            batch,
            loss_weights,
            history=config.data.history,
            image_shape=tuple(config.data.image_shape),
            bev_shape=tuple(config.student.bev_shape),
            pc_range=pc_range,
        )
    if output.teacher is not None:
        terms |= dima_loss.teacher_terms(
            output.student if config.teacher.shapes_student else jax.lax.stop_gradient(output.student),
            output.teacher,
            output.future_bevs,
            batch,
            matches,
            loss_weights,
            bev_shape=tuple(config.student.bev_shape),
            bev_grid=tuple(config.teacher.adapter.bev_grid),
            pc_range=pc_range,
            history=config.data.history,
        )
    if (teacher := output.teacher or batch.taught) is not None:
        how = dict(form=config.distill.form, gate=config.distill.gate)
        terms |= dima_loss.distill_terms(output.student, teacher, batch, loss_weights, **how)
    return terms
