"""What `benchmarks.surrogates` computes: scenes of a frozen student, a teacher that learns from them, its scores."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dima_jax import progress, weights
from dima_jax.data import loader
from dima_jax.dima import DiMAOutput
from dima_jax.geometry import offsets_to_waypoints
from dima_jax.losses import dima_loss, plan, surrogate
from dima_jax.optimizer import Optimizer
from dima_jax.sharded_model import ShardedModel
from dima_jax.train_step import TrainState, init_train_state, loss_terms
from dima_jax.types import Frame


def scenes(model: ShardedModel, params: weights.Params, split: str, count: int):
    """(batch without images, BEV, BEVs to come) of the first `count` windows of a split in the seed's order, on the host."""
    config = model.config.copy_and_resolve_references()
    config.data.train_split = split
    windows, size = loader.TrainWindows(config), config.data.batch_size

    @jax.jit
    def see(batch):
        output = weights.bind(model.graph, params)(
            batch, history=config.data.history, key=jax.random.key(0), is_training=False
        )
        return output.student.tokens.bev, output.future_bevs

    found = []
    starts = range(0, count, size)
    for i in progress.each(starts, len(starts), "batch", name=f"scenes of {split}", first="compiling"):
        batch = windows.batch(i, size)
        found.append((batch.replace(images=np.zeros((size, 0))), *jax.device_get(see(batch))))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *found)


def teach(model: ShardedModel, params: weights.Params, scene, key: jax.Array, is_training: bool) -> DiMAOutput:
    """Both models' output on a batch of `scenes`. is_training: BEV cells are masked."""
    (batch, bev, future_bevs), dima = scene, weights.bind(model.graph, params)
    history = model.config.data.history
    frame = Frame(batch.images, batch.lidar2img[:, history], batch.can_bus[:, history], batch.command)
    output = dima.student.decode(bev, frame=frame)
    texts = (batch.text, batch.edit_text)
    taught = dima.teacher(output.tokens, output, *texts, batch.command, batch.ego, key=key, is_training=is_training)
    return DiMAOutput(output, taught, future_bevs, None)


def train_teacher(model: ShardedModel, optim: Optimizer, params: weights.Params, scene, steps: int) -> weights.Params:
    """All weights after `steps` on windows of `scene` in random order."""
    config = model.config
    state, frozen = init_train_state(model, optim, params)

    @jax.jit
    def step(state, scene, key):
        def objective(params):
            output = teach(model, params | frozen, scene, key, is_training=True)
            return dima_loss.total(loss_terms(output, scene[0], config), config.loss.to_dict())[0]

        loss, gradients = jax.value_and_grad(objective)(state.params)
        updates, opt_state = optim.update.update(gradients, state.opt_state, state.params)
        return TrainState(state.step + 1, optax.apply_updates(state.params, updates), opt_state), loss

    rng = np.random.default_rng(config.seed)
    with progress.Progress(steps, "step", name="teacher", first="compiling") as bar:
        for i in range(steps):
            rows = rng.choice(len(scene[1]), config.data.batch_size, replace=False)
            state, loss = step(state, jax.tree.map(lambda x, rows=rows: x[rows], scene), jax.random.key(i))
            bar.advance(note=f"loss={float(loss):.2f}" if i % 50 == 0 else None)
    return state.params | frozen


def scores(model: ShardedModel, params: weights.Params, scene) -> dict:
    """The figures of `main` over all windows of `scene`. Only the reconstruction is judged on masked BEVs."""
    config, size = model.config, model.config.data.batch_size

    @jax.jit
    def look(params, scene, key):
        masked, whole = (teach(model, params, scene, key, is_training=flag) for flag in (True, False))
        return of_bev_tasks(masked, whole, scene[0], config) | of_edits(whole, scene[0])

    starts = range(0, len(scene[1]), size)
    rows = [
        jax.device_get(look(params, jax.tree.map(lambda x, i=i: x[i : i + size], scene), jax.random.key(i)))
        for i in progress.each(starts, len(starts), "batch", name="val", first="compiling")
    ]

    def mean(name):
        return float(sum(row[name][0] for row in rows) / sum(row[name][1] for row in rows))

    total, squares, count = (sum(row["cells"][i] for row in rows) for i in range(3))
    added = np.concatenate([row["added"] for row in rows])
    before, after = (np.concatenate([row["distances"][i] for row in rows])[added] for i in range(2))
    conflict = before < plan.COLLISION_RADIUS
    return {
        "reconstruction_error": mean("reconstruction"),
        "error_of_the_mean": float((squares / count - (total / count) ** 2).mean()),
        "future_error": mean("future"),
        "error_of_copying": mean("copy"),
        "added_vehicles": len(before),
        "conflicts": int(conflict.sum()),
        "farther_after_the_edit": float((after > before)[conflict].mean()) if conflict.any() else None,
        "distance_m": [float(x[conflict].mean()) for x in (before, after)] if conflict.any() else None,
    }


def of_bev_tasks(masked: DiMAOutput, whole: DiMAOutput, batch, config) -> dict:
    """Sums and counts of the two BEV tasks' errors, of copying the present, and what the mean of all cells needs."""
    shape, grid = tuple(config.student.bev_shape), tuple(config.teacher.adapter.bev_grid)
    bev, ahead = whole.student.tokens.bev, slice(config.data.history + 1, None)
    now = surrogate.layer_norm(surrogate.cell_average(bev, shape, grid))

    def future(prediction):
        frames = whole.future_bevs, batch.frame_to_current[:, ahead], batch.frame_mask[:, ahead]
        return surrogate.future(prediction, *frames, shape, grid, tuple(config.student.pc_range))

    return {
        "reconstruction": surrogate.reconstruction(
            masked.teacher.bev_reconstruction, bev, masked.teacher.bev_masked, shape, grid
        ),
        "future": future(whole.teacher.bev_future),
        "copy": future(now[:, None]),
        "cells": (now.sum(axis=(0, 1)), (now**2).sum(axis=(0, 1)), now.shape[0] * now.shape[1]),
    }


def of_edits(output: DiMAOutput, batch) -> dict:
    """Distances [B] in meters, before and after, to the added vehicle (the last of the edit's) over the horizon."""
    edit, command = output.teacher.edit, batch.command.argmax(axis=-1)
    track = edit.agent_centers[:, -1, None] + offsets_to_waypoints(edit.agent_future_offsets[:, -1])

    def distance(offsets):
        path = offsets_to_waypoints(jnp.take_along_axis(offsets, command[:, None, None, None], axis=1)[:, 0])
        return jnp.linalg.norm(path - track, axis=-1).min(axis=-1)

    return {
        "distances": tuple(map(distance, (output.teacher.ego_offsets, edit.ego_offsets))),
        "added": edit.agent_mask[:, -1],
    }
