"""The training loop: a model on a mesh, batches in the order of the seed, one jitted step, checkpoints.

`python -m dima_jax.train` is its command. A run that is started again goes on with exactly the next window, and ends
with the same bits as one that never stopped.
"""

import contextlib
import os
import sys
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from dima_jax import (
    checkpoints,
    config_changes,
    config_check,
    events,
    initialization,
    locks,
    loss_curves,
    optimizer,
    resume,
    sharding,
    teaching,
    weights,
)
from dima_jax.data import ego_inputs, loader, prompts
from dima_jax.errors import UserError
from dima_jax.event_file import EventFile
from dima_jax.interrupts import StopOnSignal
from dima_jax.optimizer import Optimizer
from dima_jax.progress import Progress
from dima_jax.sharded_model import ShardedModel
from dima_jax.train_step import TrainState, abstract_train_state, init_train_state, make_train_step


def main(config: ConfigDict, workdir: str, *, allow_config_change: bool = False) -> None:
    """Joins the other hosts if there are any, and trains."""
    if "JAX_COORDINATOR_ADDRESS" in os.environ:
        jax.distributed.initialize()
    train(config, workdir, allow_config_change=allow_config_change)


def train(config: ConfigDict, workdir: str, *, allow_config_change: bool = False) -> TrainState | None:
    """Trains for `config.train.epochs` epochs, `max_steps` steps at most, from the latest whole step of `workdir` if any.

    allow_config_change: goes on where the config changes what `config_changes.RUN_KEYS` forbids. Returns the last state,
    None if the run was finished before. A signal (`interrupts`) saves and exits. UserError if another
    trainer is at work there.
    """
    is_first = jax.process_index() == 0
    with locks.held(Path(workdir) / "train.lock", workdir) if is_first else contextlib.nullcontext():
        return _train(config, workdir, allow_config_change)


def _train(config: ConfigDict, workdir: str, allow_config_change: bool) -> TrainState | None:
    if resume.is_finished(config, workdir, allow_config_change=allow_config_change):
        return None
    prompts.tokenizer_of(config)  # one that does not fit is refused before anything is built
    windows = loader.num_train_windows(config)
    steps_per_epoch = windows // config.data.batch_size
    if steps_per_epoch == 0:
        raise UserError(
            f"{config.data.path} has {windows} training windows, fewer than data.batch_size={config.data.batch_size}"
        )
    total_steps = optimizer.num_steps(config, steps_per_epoch)
    resume.check(config, workdir, windows, allow_config_change=allow_config_change)
    manager = checkpoints.open_manager(workdir, config.train.keep)
    model, optim = ShardedModel(config), optimizer.build(config, steps_per_epoch)
    state, frozen, meta = start(model, optim, manager)
    position, history = meta.get("position", 0), []
    if meta:
        changed = resume.changes(meta, config, workdir, windows, allow_config_change=allow_config_change)
        history = config_changes.history(meta, changed)
        for key, was, now in changed:
            print(f"changed since step {meta['step']}: {key} was {was!r}, is {now!r}")
    print(summary(model, state, frozen, windows))

    train_step, key = make_train_step(model, optim), jax.random.key(config.seed)
    unread: tuple[int, dict] | None = None  # the newest step and its log
    with (
        StopOnSignal() as stop,
        contextlib.closing(loader.train_batches(config, position)) as batches,
        events.open_writer(workdir, int(state.step)) as writer,
        Progress(total_steps, "step", initial=int(state.step), first="compiling the step; it starts after that") as bar,
    ):
        batch = sharding.place_batch(model.mesh, next(batches))
        for step in range(int(state.step), total_steps):
            state, log = train_step(state, frozen, batch, key)
            position += config.data.batch_size
            is_last = stop.requested or step + 1 == total_steps
            saves = is_last or (step + 1) % config.train.save_every == 0
            if not saves:  # while the step runs
                batch = sharding.place_batch(model.mesh, next(batches))
            bar.advance()
            if unread is not None:  # of the step before: while this one runs, nobody waits for it
                read_log(writer, bar, config.train.log_every, *unread)
            unread = step + 1, log
            if saves:
                read_log(writer, bar, 1 if step + 1 == total_steps else config.train.log_every, *unread)
                unread = None
                save(manager, state, frozen, position, config, windows=windows, history=history)
            if is_last:
                break
            if saves:  # not before: a batch that cannot be read must not cost what is learned
                batch = sharding.place_batch(model.mesh, next(batches))
        manager.wait_until_finished()
    manager.close()
    if stop.requested:
        print(f"stopped by a signal; saved step {int(state.step)}. The same command goes on from there.")
        sys.exit(stop.status)
    if jax.process_index() == 0 and (picture := loss_curves.draw(workdir)):
        print(f"the losses, step by step: {picture}")
    return state


def start(
    model: ShardedModel, optim: Optimizer, manager: checkpoints.Manager
) -> tuple[TrainState, weights.Params, dict]:
    """(state, frozen, meta): resumed from the newest whole step, or fresh (with `train.init_from` or `train.backbone`
    where given), then without `meta`.
    """
    config = model.config
    if manager.latest_step() is None:
        return *init_train_state(model, optim, fresh_params(model)), {}
    params = model.init_params()
    state, frozen = abstract_train_state(model, optim)
    student = weights.with_prefix(state.params | frozen, "student/")
    trainable = {path: leaf for path, leaf in state.params.items() if path not in student}
    student, trainable, opt_state, meta = resume.restore(manager, student, trainable, state.opt_state)
    trained, frozen = optimizer.split_frozen(params | student | trainable, config.optim.groups)
    step = jax.device_put(np.int32(meta["step"]), sharding.replicated(model.mesh))
    print(f"resuming from step {meta['step']} in {manager.directory}")
    return TrainState(step, trained, opt_state), frozen, meta


def fresh_params(model: ShardedModel) -> weights.Params:
    """Every weight that a run starts with, on its shards: `train.init_from`, `train.backbone` and the group `init`."""
    config, params = model.config, model.init_params()
    params |= model.place(fresh_student(config, params))
    for source, student in pretrained(config).items():
        params = replace_weights(model, params, student, source)
    params |= model.place(can_bus_layer(config, params))
    params |= model.place(earlier_heads(config, params))
    return params | model.place(teaching.earlier_teacher(config, params))


def fresh_student(config: ConfigDict, params: weights.Params) -> weights.Params:
    """The student's random weights as the group `init` wants them; {} where it changes nothing, or they are replaced.

    The images are the first ones of the training order, without photometric distortion.
    """
    frames, images = config.init.norm_frames, None
    if config.train.init_from or (not frames and config.init.embed_scale == 1.0):
        return {}
    if frames:
        windows = loader.TrainWindows(config)
        images = np.stack([windows.sample(i).images[config.data.history] for i in range(frames)])
    student = {path: np.asarray(value) for path, value in weights.with_prefix(params, "student/").items()}
    return initialization.prepare(config, student, images)


def can_bus_layer(config: ConfigDict, params: weights.Params) -> weights.Params:
    """The student's first CAN bus layer as `init.can_bus_frames` wants it, from frames all over the training split."""
    if not config.init.can_bus_frames:
        return {}
    can_bus = ego_inputs.read(config, config.data.train_split, config.init.can_bus_frames).can_bus
    return initialization.can_bus_layer(config.seed, params, can_bus)


def pretrained(config: ConfigDict) -> dict[str, weights.Params]:
    """{config line: weights} that a fresh run starts with: an earlier stage's student (D13), else a trained backbone.

    UserError if the earlier student wants its images prepared otherwise than this config prepares them.
    """
    if source := config.train.init_from:
        _, student, meta = checkpoints.load_student(source)
        image_keys = tuple(f"data.{key}" for key in checkpoints.IMAGE_KEYS)
        checkpoints.check_model(meta["config"], config, f"train.init_from={source}", image_keys)
        return {f"train.init_from={source}": student}
    if source := config.train.backbone:
        config_check.check_folders(config, "train.backbone")
        return {f"train.backbone={source}": checkpoints.load_weights(source)}
    return {}


def earlier_heads(config: ConfigDict, params: weights.Params) -> weights.Params:
    """The auxiliary heads of the run in `train.init_from` that this config has too; none from a student alone."""
    heads = weights.with_prefix(params, "auxiliary/")
    if not config.train.init_from or not heads or not checkpoints.is_whole_run(config.train.init_from):
        return {}
    saved = checkpoints.load_trainable(config.train.init_from)
    return {path: saved[path] for path in heads if path in saved and saved[path].shape == heads[path].shape}


def replace_weights(
    model: ShardedModel, params: weights.Params, student: weights.Params, source: str
) -> weights.Params:
    """`params` with these in place of the initial ones: the whole student, or the whole backbone.

    UserError naming the first weight that does not fit.
    """
    is_backbone = all(path.startswith(checkpoints.BACKBONE) for path in student)
    prefixes = checkpoints.BACKBONE if is_backbone else ("student/",)
    expected = {path: leaf for path, leaf in model.abstract.items() if path.startswith(prefixes)}
    for path in sorted(expected.keys() | student.keys()):
        if path not in student or path not in expected or student[path].shape != expected[path].shape:
            raise UserError(f"{source}: the weight {path} is missing, extra or of another shape")
    return params | model.place(student)


def save(manager, state: TrainState, frozen: weights.Params, position: int, config: ConfigDict, **record) -> None:
    """Starts saving the state under its step; a frozen LLM base is never saved. record: see `checkpoints.describe`."""
    student = weights.with_prefix(state.params, "student/") | weights.with_prefix(frozen, "student/")
    trainable = {path: value for path, value in state.params.items() if path not in student}
    checkpoints.save(manager, int(state.step), student, trainable, state.opt_state, position, config, **record)


def read_log(writer: EventFile, bar: Progress, every: int, step: int, log: dict) -> None:
    """Waits for a step, checks its loss, and reports every `every`-th step. UserError as `check_finite`."""
    check_finite(step, log)
    if step % every == 0:
        report(writer, bar, step, jax.device_get(log))


def report(writer: EventFile, bar: Progress, step: int, log: dict) -> None:
    """Writes every number of a step for TensorBoard; the bar shows the loss, its four largest terms and the plans' L2 where
    a step is known.
    """
    for name, value in log.items():
        writer.add_scalar(name, float(value), step)
    terms = {name.removeprefix("loss/"): float(value) for name, value in log.items() if name.startswith("loss/")}
    largest = sorted((name for name in terms if name != "total"), key=lambda name: -abs(terms[name]))[:4]
    shown = [f"{name}={terms[name]:.3g}" for name in ["total", *largest]]
    plans = {name: float(log.get(f"plan/{name}", np.nan)) for name in ("l2_student", "l2_teacher")}
    shown += [f"{name}={value:.2f} m" for name, value in plans.items() if np.isfinite(value)]
    bar.advance(0, " ".join(shown))


def check_finite(step: int, log: dict) -> None:
    """UserError that names the loss terms that are not finite."""
    if np.isfinite(float(log["loss/total"])):
        return
    bad = [name for name, value in log.items() if not np.isfinite(float(value)) and not name.startswith("plan/")]
    raise UserError(
        f"step {step}: {', '.join(sorted(bad))} not finite; lower optim.learning_rate, or look at that term's input"
    )


def summary(model: ShardedModel, state: TrainState, frozen: weights.Params, windows: int) -> str:
    """What is about to be trained, in one line."""
    student = weights.count(weights.with_prefix(model.abstract, "student/"))
    return (
        f"{windows} windows; {weights.count(state.params):,} trained weights, {weights.count(frozen):,} frozen; "
        f"the student has {student:,}; mesh {dict(model.mesh.shape)} on {model.mesh.devices.flat[0].platform}"
    )
