"""One optimization step: forward, the DiMA loss, gradients, update. The same step serves every stage, by config.

The weights are in three parts. `state.params` are trained; `frozen` (the LLM base, frozen stem and norms) is an argument
of its own: not differentiated, not optimized, not donated.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from flax import nnx, struct
from jaxtyping import Array, Int
from ml_collections import ConfigDict

from dima_jax import checkpoints, dima, optimizer, sharding, weights
from dima_jax.convert import llm_folder
from dima_jax.losses import dima_loss
from dima_jax.types import Batch, Term


@struct.dataclass
class TrainState:
    step: Int[Array, ""]
    params: weights.Params
    opt_state: optax.OptState


class Setup:
    """Everything a run derives from its config: structure of the model, optimizer, mesh, shardings."""

    def __init__(self, config: ConfigDict, steps_per_epoch: int, devices=None):
        self.config = config
        self.mesh = sharding.make_mesh(config.mesh.data, config.mesh.fsdp, config.mesh.model, devices)
        self.graph, self.abstract = weights.split(nnx.eval_shape(lambda: dima.build(config, config.seed)))
        self.shardings = sharding.shard_params(self.mesh, config.mesh.rules, self.abstract)
        updates = optimizer.learning_rate(
            base=config.optim.learning_rate,
            warmup_steps=config.optim.warmup_steps,
            warmup_from=config.optim.warmup_from,
            final_scale=config.optim.final_scale,
            steps_per_epoch=max(1, steps_per_epoch // config.optim.accumulate),
            epochs=config.train.epochs,
        )
        self.schedule = lambda step: updates(step // config.optim.accumulate)
        self.optimizer = optimizer.build(
            updates,
            config.optim.groups,
            weight_decay=config.optim.weight_decay,
            clip_norm=config.optim.clip_norm,
            accumulate=config.optim.accumulate,
        )

    def init(self) -> tuple[TrainState, weights.Params]:
        """(state, frozen) with fresh weights on their shards; the LLM's base from `teacher.weights` where given."""
        trainable, frozen = optimizer.split_frozen(self.fresh(), self.config.optim.groups)
        return self.state_of(trainable), frozen

    def load(self, run: str | Path) -> weights.Params:
        """Every weight of a run on its shards: student and trained teacher as saved, the LLM's base from its source.

        UserError if the folder holds a student alone.
        """
        saved = checkpoints.load_student(run)[1] | checkpoints.load_trainable(run)
        return self.fresh() | {path: jax.device_put(value, self.shardings[path]) for path, value in saved.items()}

    def fresh(self) -> weights.Params:
        """The weights that a run starts with.

        Weight by weight, not as one jitted function: hundreds of random draws in one program compile for a minute.
        """
        source = self.config.teacher.weights if self.config.teacher.enabled else ""
        params = weights.split(dima.build(self.config, self.config.seed, init_llm=not source))[1]
        base = (
            weights.with_prefix(params, "teacher/llm/") if source else {}
        )  # shapes: no device ever holds a drawn base
        drawn = {
            path: jax.device_put(value, self.shardings[path]) for path, value in params.items() if path not in base
        }
        return drawn | llm_folder.load(source, base, self.shardings) if source else drawn

    def abstract_state(self) -> tuple[TrainState, weights.Params]:
        """(state, frozen) as shapes on their shards; nothing is allocated."""
        everywhere = sharding.replicated(self.mesh)
        placed = {
            path: jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=self.shardings[path])
            for path, value in self.abstract.items()
        }
        trainable, frozen = optimizer.split_frozen(placed, self.config.optim.groups)
        opt_state = jax.tree.map(
            lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
            jax.eval_shape(self.optimizer.init, trainable),
            self.moments(trainable),
        )
        step = jax.ShapeDtypeStruct((), jnp.int32, sharding=everywhere)
        return TrainState(step=step, params=trainable, opt_state=opt_state), frozen

    def state_of(self, trainable: weights.Params) -> TrainState:
        """A state at step 0 around given weights."""
        opt_state = jax.jit(self.optimizer.init, out_shardings=self.moments(trainable))(trainable)
        step = jax.device_put(jnp.zeros((), jnp.int32), sharding.replicated(self.mesh))
        return TrainState(step=step, params=dict(trainable), opt_state=opt_state)

    def moments(self, trainable: Mapping) -> optax.OptState:
        """Where the optimizer's state lives: what belongs to a weight beside that weight, counters everywhere."""
        return optax.tree.map_params(
            self.optimizer,
            lambda _, place: place,
            jax.eval_shape(self.optimizer.init, dict(trainable)),
            {path: self.shardings[path] for path in trainable},
            transform_non_params=lambda _: sharding.replicated(self.mesh),
        )

    def train_step(self, state: TrainState) -> Callable:
        """jitted (state, frozen, batch, key) -> (state, log), compiled once for states placed like this one.

        The state is donated, and comes back where it was.
        """
        places = jax.tree.map(lambda x: x.sharding, state)
        step = make_step(self.graph, self.optimizer, self.schedule, self.config, places.params)
        return jax.jit(
            sharding.on_mesh(step, self.mesh), donate_argnums=0, out_shardings=(places, sharding.replicated(self.mesh))
        )


def loss_terms(output: dima.DiMAOutput, batch: Batch, config: ConfigDict) -> dict[str, Term]:
    """Every term of one forward pass, as the config weighs them."""
    loss_weights, pc_range = config.loss.to_dict(), tuple(config.student.pc_range)
    matches = dima_loss.match(output.student, batch, loss_weights, pc_range)
    terms = dima_loss.student_terms(output.student, batch, matches, loss_weights, pc_range)
    if output.teacher is not None:
        terms |= dima_loss.teacher_terms(
            output.student,
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
    return terms


def make_step(
    graph: nnx.GraphDef, optimizer: optax.GradientTransformation, schedule, config: ConfigDict, places: Mapping
) -> Callable:
    """(state, frozen, batch, key) -> (state, log). places: {path: sharding} of the trained weights and their gradients."""
    loss_weights = config.loss.to_dict()

    def step(state: TrainState, frozen: Mapping, batch: Batch, key: jax.Array):
        key = jax.random.fold_in(key, state.step)

        def objective(params):
            model = weights.bind(graph, {**params, **frozen})
            output = model(batch, history=config.data.history, key=key, is_training=True)
            return dima_loss.total(loss_terms(output, batch, config), loss_weights)

        (total, means), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
        gradients = jax.lax.with_sharding_constraint(gradients, dict(places))
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        log = {
            "loss/total": total,
            **{f"loss/{name}": value for name, value in means.items()},
            **{f"gradient_norm/{room}": norm for room, norm in optimizer.group_norms(gradients).items()},
            "learning_rate": schedule(state.step),
        }
        return TrainState(state.step + 1, optax.apply_updates(state.params, updates), opt_state), log

    return step
