"""Trains an arm with all its seeds in one program, by the real train step, and lets every seed plan the val split.

Seeds are shared among the devices (`cli.use_cores` makes one of each core, of up to four); a device trains its seeds one after the other,
some steps at a time. A seed is what `dima_jax.train` with that seed is: its initial weights, its order of windows, its
keys of noise and dropout. Seeds side by side in one operation (`jax.vmap`) cost more on a CPU: docs/evidence.md#study.

K seeds, n training frames, v val frames, B windows of a step.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from dima_jax import optimizer, students, train_loop, train_step, weights
from dima_jax.errors import UserError
from dima_jax.interrupts import StopOnSignal
from dima_jax.jax_student import without_prefix
from dima_jax.progress import Progress
from dima_jax.sharded_model import ShardedModel
from dima_jax.study import frames
from dima_jax.study.frames import Words
from dima_jax.train_step import TrainState
from dima_jax.types import Batch, TaughtEgo
from dima_jax.vector import planning

CURVES = {
    "loss": "loss/total",
    "plan_loss": "loss/plan_imitation",
    "l2_student": "plan/l2_student",
    "l2_teacher": "plan/l2_teacher",
}
POINTS = 40  # of a curve
AT_ONCE = 50  # frames that are planned together after training
SEEDS = "seeds"  # the axis of the mesh


class Data(NamedTuple):
    """Windows of both splits as numpy arrays; words: None where no arm has an LLM."""

    train: Batch
    words: Words | None
    val: Batch


class Trained(NamedTuple):
    """plans: meters in the LiDAR frame, 0.5 s apart. curves: by the names of CURVES, means over equal parts of the run, NaN
    where the arm has no such number. llm_plans: of the LLM itself, None for an arm without one. taught: what the arm says of
    the training frames, None if it teaches nobody.
    """

    plans: Float[np.ndarray, "K v 6 2"]
    curves: dict[str, Float[np.ndarray, "K points"]]
    llm_plans: Float[np.ndarray, "K v 6 2"] | None
    taught: TaughtEgo | None


def train(
    config: ConfigDict,
    seeds: int,
    data: Data,
    taught: TaughtEgo | None,
    *,
    teaches: bool,
    llm_drives: bool = True,
    name: str,
    stop: StopOnSignal,
) -> Trained | None:
    """Seeds 0 to seeds - 1 of an arm; None if it was stopped.

    taught: [K, n, ...] of this arm's teacher. teaches: `Trained.taught` is wanted. llm_drives: `Trained.llm_plans`
    is, where the arm has an LLM. UserError, with the arm and the seed,
    for a loss that is not finite, and if the split has fewer frames than a step needs.
    """
    steps, batch = config.train.max_steps, config.data.batch_size
    count = len(data.train.index)
    if count < batch:
        raise UserError(f"{config.data.path} has {count} training frames, fewer than the plan's batch={batch}")
    mesh = seed_mesh(seeds)
    graph, params, base = starts(config, seeds)
    trained, frozen = optimizer.split_frozen(params, config.optim.groups)
    optim = optimizer.build(config, count // batch)
    state = TrainState(jnp.zeros(seeds, jnp.int32), trained, jax.vmap(optim.update.init)(trained))
    state, frozen, taught = place((state, frozen, taught), mesh, SEEDS)
    words = data.words if config.teacher.enabled else None
    base = place(base, mesh)
    shared = (place((data.train, words), mesh), base)
    orders = [frames.order(count, seed, steps, batch, _questions(words)) for seed in range(seeds)]
    chosen = jax.tree.map(lambda *x: np.stack(x), *orders)
    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
    advance = over_seeds(advance_function(graph, config, optim), mesh, donated=True)
    part = part_of(steps)
    logs = []
    with Progress(steps, "step", name=name, first="compiling; it starts after that") as bar:
        for start in range(0, steps, part):
            now = jax.tree.map(lambda x, start=start: x[:, start : start + part], chosen)
            state, log = advance(shared, state, frozen, taught, keys, now)
            logs.append(jax.device_get(log))
            check_finite(name, start + part, logs[-1])
            bar.advance(part, shown(logs[-1]))
            if stop.requested and start + part < steps:
                return None
    params = {**state.params, **frozen}

    def over(function: Callable, batch: Batch):
        found = over_seeds(with_base(function), mesh)((place(parts(batch), mesh), base), params, keys)
        return jax.tree.map(lambda x: joined(x, len(batch.index)), found)

    plans = over(plan_function(config), data.val)
    llm_plans = over(llm_plan_function(graph), data.val) if config.teacher.enabled and llm_drives else None
    check_plans(name, plans)
    check_plans(f"{name}, its LLM", llm_plans)
    return Trained(plans, curves(logs), llm_plans, over(ego_function(graph), data.train) if teaches else None)


def starts(config: ConfigDict, seeds: int) -> tuple[nnx.GraphDef, weights.Params, weights.Params]:
    """(structure, weights [K, ...] that the seeds start with, as `dima_jax.train` has them, those that all share).

    Shared is an LLM's base that was read and stays frozen: it would be the same K times, and may be large.
    """
    graph, found, base = None, [], {}
    for seed in range(seeds):
        one = config.copy_and_resolve_references()
        one.seed = seed
        model = ShardedModel(one, jax.devices()[:1])
        graph = graph or model.graph
        params = train_loop.fresh_params(model)
        base = shared_base(config, params)
        found.append(jax.device_get({path: value for path, value in params.items() if path not in base}))
    return graph, {path: np.stack([params[path] for params in found]) for path in found[0]}, base


def shared_base(config: ConfigDict, params: weights.Params) -> weights.Params:
    """Those of a seed's weights that every seed has, and keeps."""
    is_read = config.teacher.enabled and config.teacher.weights
    frozen = optimizer.split_frozen(params, config.optim.groups)[1] if is_read else {}
    return weights.with_prefix(frozen, "teacher/llm/")


def with_base(function: Callable) -> Callable:
    """A function of (frames, all weights, key) as one of ((frames, the shared weights), a seed's own, key)."""

    def whole(shared, params, key):
        batch, base = shared
        return function(batch, {**params, **base}, key)

    return whole


def advance_function(graph: nnx.GraphDef, config: ConfigDict, optim: optimizer.Optimizer) -> Callable:
    """((data, the shared weights), state, frozen, taught, key, chosen) -> (state, {curve: mean}) of one seed over the steps of
    `chosen`.
    """
    step = train_step.step_function(graph, config, optim)

    def advance(shared, state, frozen, taught, key, chosen):
        data, base = shared

        def one(state, now):
            state, log = step(state, {**frozen, **base}, frames.choose(*data, taught, *now), key)
            return state, {curve: log[name] for curve, name in CURVES.items() if name in log}

        state, logs = jax.lax.scan(one, state, chosen)
        return state, {curve: _mean(curve, values) for curve, values in logs.items()}

    return advance


def plan_function(config: ConfigDict) -> Callable:
    """(val frames in parts, weights, key) -> waypoints of one seed."""
    graph, _ = weights.split(nnx.eval_shape(lambda: students.build(config, nnx.Rngs(0))))

    def plan(batch, params, key):
        student = without_prefix(params)
        return jax.lax.map(lambda part: planning.plans(graph, student, part, key), batch)

    return plan


def llm_plan_function(graph: nnx.GraphDef) -> Callable:
    """(val frames in parts, weights, key) -> waypoints of the LLM of one seed."""

    def plan(batch, params, key):
        return jax.lax.map(lambda part: planning.teacher_plans(graph, params, part, key), batch)

    return plan


def ego_function(graph: nnx.GraphDef) -> Callable:
    """(training frames in parts, weights, key) -> ego feature and plan of one seed: of its LLM if it has one, else of its
    student.
    """

    def ego(batch, params, key):
        return jax.lax.map(lambda part: planning.taught(graph, params, part, key), batch)

    return ego


def over_seeds(function: Callable, mesh: Mesh, *, donated: bool = False) -> Callable:
    """A jitted function of one seed, for all. The first argument is shared; the others, and what is returned, have a first
    axis of seeds. donated: the second argument is given away.
    """

    def local(shared, *own):
        return jax.lax.map(lambda one: function(shared, *one), own)

    def everywhere(shared, *own):
        specs = (PartitionSpec(), *[PartitionSpec(SEEDS)] * len(own))
        return jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(SEEDS), check_vma=False)(
            shared, *own
        )

    return jax.jit(everywhere, donate_argnums=(1,) if donated else ())


def seed_mesh(seeds: int) -> Mesh:
    """The most devices that share the seeds evenly."""
    devices = jax.devices()
    number = max(one for one in range(1, len(devices) + 1) if seeds % one == 0)
    return Mesh(np.asarray(devices[:number]), (SEEDS,))


def place(tree, mesh: Mesh, *axes: str):
    """The arrays, split along these axes of the mesh or, without any, on every device."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(*axes)))


def parts(batch: Batch) -> Batch:
    """Frames [n, ...] as [parts, AT_ONCE, ...], the last ones filled up with the first frame."""
    count = len(batch.index)
    rows = np.zeros((math.ceil(count / AT_ONCE), AT_ONCE), np.int32)
    rows.ravel()[:count] = np.arange(count)
    return jax.tree.map(lambda x: x[rows], batch)


def joined(array: jax.Array, count: int) -> np.ndarray:
    """[K, parts, AT_ONCE, ...] of `parts` as [K, n, ...]."""
    array = np.asarray(array)
    return array.reshape(len(array), -1, *array.shape[3:])[:, :count]


def part_of(steps: int) -> int:
    """Steps at a time: few enough for the curves, and the same every time, as another number is another program."""
    most = math.ceil(steps / POINTS)
    return max(part for part in range(1, most + 1) if steps % part == 0)


def curves(logs: list[dict]) -> dict[str, Float[np.ndarray, "K points"]]:
    """One row for each seed, POINTS numbers at most."""
    found = {}
    for name in CURVES:
        if name in logs[0]:
            rows = np.stack([log[name] for log in logs], axis=1)
            pieces = np.array_split(rows, min(POINTS, rows.shape[1]), axis=1)
            found[name] = np.stack([piece.mean(axis=1) for piece in pieces], axis=1).astype(np.float32)
    return found


def check_finite(name: str, step: int, log: dict) -> None:
    """UserError for a seed whose loss is no longer finite."""
    bad = np.flatnonzero(~np.isfinite(log["loss"]))
    if len(bad):
        raise UserError(f"{name}, seed {bad[0]}: the loss is not finite by step {step}; lower optim.learning_rate")


def check_plans(name: str, plans: Float[np.ndarray, "K ..."] | None) -> None:
    """UserError for a seed whose last step left weights that plan nothing."""
    bad = [] if plans is None else np.flatnonzero(~np.isfinite(plans).reshape(len(plans), -1).all(axis=1))
    if len(bad):
        raise UserError(f"{name}, seed {bad[0]}: its plans are not finite; lower optim.learning_rate")


def shown(log: dict) -> str:
    """For the bar: the L2 of both planners, the mean over seeds."""
    return " ".join(f"{key}={np.mean(log[key]):.2f} m" for key in ("l2_student", "l2_teacher") if key in log)


def _mean(curve: str, values: Float[Array, " steps"]) -> Float[Array, ""]:
    """A batch without a known step has no L2."""
    return jnp.nanmean(values) if curve.startswith("l2") else values.mean()


def _questions(words: Words | None) -> int:
    return 1 if words is None else words.text.tokens.shape[1]
