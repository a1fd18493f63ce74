"""Trains DiMA (or, without a teacher, the student alone: stages 1 and 2); resumes by itself.

    python -m dima_jax.train --config=configs/base.py --workdir=runs/base [--config.train.epochs=12]

Writes `checkpoints/` (see `checkpoints.py`) and TensorBoard event files into --workdir. SIGTERM saves and exits; a run
that is started again goes on with exactly the next window.
"""

import os
import signal
import sys
from pathlib import Path

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict
from tensorboardX import SummaryWriter
from tqdm import tqdm

from dima_jax import checkpoints, cli, optimizer, sharding, weights
from dima_jax.data import loader
from dima_jax.errors import UserError
from dima_jax.train_step import Setup, TrainState


def main() -> None:
    if CONFIG.value is None:
        raise UserError("--config is missing; e.g. --config=configs/demo.py (runs on a laptop) or configs/base.py")
    name = Path(flags.FLAGS["config"].config_filename).stem
    if "JAX_COORDINATOR_ADDRESS" in os.environ:
        jax.distributed.initialize()
    train(CONFIG.value, WORKDIR.value or f"runs/{name}")


def train(config: ConfigDict, workdir: str) -> TrainState:
    """Runs `config.train.epochs` epochs into `workdir`, from its latest checkpoint if it has one."""
    windows = loader.num_train_windows(config)
    steps_per_epoch = windows // config.data.batch_size
    if steps_per_epoch == 0:
        raise UserError(
            f"{config.data.path} has {windows} training windows, fewer than data.batch_size={config.data.batch_size}"
        )
    setup = Setup(config, steps_per_epoch)
    manager = checkpoints.open_manager(workdir, config.train.keep)
    state, frozen, position = start(setup, manager, config)
    describe(state, frozen, setup, windows)

    total_steps = steps_per_epoch * config.train.epochs
    step_function, key = setup.train_step(state), jax.random.key(config.seed)
    stop = StopOnSignal()
    batches = loader.train_batches(config, position)
    previous = None
    with (
        SummaryWriter(str(Path(workdir) / "events")) as events,
        tqdm(total=total_steps, initial=int(state.step), unit="step", dynamic_ncols=True, mininterval=2.0) as bar,
    ):
        for step in range(int(state.step), total_steps):
            batch = sharding.place_batch(setup.mesh, next(batches))
            state, log = step_function(state, frozen, batch, key)
            position += config.data.batch_size
            if previous is not None:
                check_finite(step, previous)
            previous = log
            bar.update()
            if (step + 1) % config.train.log_every == 0 or step == int(total_steps) - 1:
                report(events, bar, step + 1, jax.device_get(log))
            if (step + 1) % config.train.save_every == 0 or step + 1 == total_steps or stop.requested:
                check_finite(step + 1, log)
                save(manager, state, frozen, position, config)
            if stop.requested:
                break
    manager.wait_until_finished()
    manager.close()
    if stop.requested:
        print(f"stopped by a signal; saved step {int(state.step)}. The same command goes on from there.")
        sys.exit(0)
    return state


def start(setup: Setup, manager, config: ConfigDict) -> tuple[TrainState, weights.Params, int]:
    """(state, frozen, data position): resumed, or fresh (with `train.init_from` or `train.backbone` where given)."""
    state, frozen = setup.init()
    if manager.latest_step() is None:
        for source, student in earlier_weights(config).items():
            state, frozen = replace_weights(setup, state, frozen, student, source)
        return state, frozen, 0
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), (state, frozen))
    student = weights.with_prefix(abstract[0].params, "student/") | weights.with_prefix(abstract[1], "student/")
    trainable = {path: leaf for path, leaf in abstract[0].params.items() if path not in student}
    student, trainable, opt_state, meta = checkpoints.restore(
        manager, student, trainable, abstract[0].opt_state, config
    )
    trained, frozen_student = optimizer.split_frozen(student, config.optim.groups)
    step = jax.device_put(np.int32(meta["step"]), sharding.replicated(setup.mesh))
    print(f"resuming from step {meta['step']} in {manager.directory}")
    return TrainState(step, {**trained, **trainable}, opt_state), {**frozen, **frozen_student}, meta["position"]


def earlier_weights(config: ConfigDict) -> dict[str, weights.Params]:
    """{where from: weights} that a fresh run starts with: an earlier stage's student (D13), else a trained backbone.

    UserError if the earlier student wants its images prepared otherwise than this config prepares them.
    """
    if source := config.train.init_from:
        _, student, meta = checkpoints.load_student(source)
        image_keys = tuple(f"data.{key}" for key in checkpoints.IMAGE_KEYS)
        checkpoints.check_model(meta["config"], config, f"train.init_from={source}", image_keys)
        return {f"train.init_from={source}": student}
    if source := config.train.backbone:
        if not Path(source).is_dir():
            raise UserError(
                f"train.backbone={source}: no such folder; `python -m dima_jax.convert resnet` makes it from "
                "torchvision's resnet50 .pth, or set --config.train.backbone= to start from random weights"
            )
        return {f"train.backbone={source}": checkpoints.load_weights(source)}
    return {}


def replace_weights(setup: Setup, state: TrainState, frozen: weights.Params, student: weights.Params, source: str):
    """(state, frozen) with these weights in place of the fresh ones: the whole student, or the whole backbone.

    UserError naming the first weight that does not fit.
    """
    rooms = (
        ("student/",) if any(not path.startswith(checkpoints.BACKBONE) for path in student) else checkpoints.BACKBONE
    )
    expected = {path: leaf for path, leaf in setup.abstract.items() if path.startswith(rooms)}
    for path in sorted(expected.keys() | student.keys()):
        if path not in student or path not in expected or student[path].shape != expected[path].shape:
            raise UserError(f"{source}: the weight {path} is missing, extra or of another shape")
    student = {path: jax.device_put(value, setup.shardings[path]) for path, value in student.items()}
    trained, frozen_student = optimizer.split_frozen(student, setup.config.optim.groups)
    return setup.state_of({**state.params, **trained}), {**frozen, **frozen_student}


def save(manager, state: TrainState, frozen: weights.Params, position: int, config: ConfigDict) -> None:
    student = weights.with_prefix(state.params, "student/") | weights.with_prefix(frozen, "student/")
    trainable = {path: value for path, value in state.params.items() if path not in student}
    checkpoints.save(manager, int(state.step), student, trainable, state.opt_state, position, config)


def report(events: SummaryWriter, bar: tqdm, step: int, log: dict) -> None:
    for name, value in log.items():
        events.add_scalar(name, float(value), step)
    terms = {name.removeprefix("loss/"): float(value) for name, value in log.items() if name.startswith("loss/")}
    largest = sorted((name for name in terms if name != "total"), key=lambda name: -abs(terms[name]))[:4]
    bar.set_postfix_str(" ".join(f"{name}={terms[name]:.3g}" for name in ["total", *largest]), refresh=False)


def check_finite(step: int, log: dict) -> None:
    """UserError that names the first loss term that is not finite."""
    if np.isfinite(float(log["loss/total"])):
        return
    bad = [name for name, value in log.items() if not np.isfinite(float(value))]
    raise UserError(
        f"step {step}: {', '.join(sorted(bad))} not finite; lower optim.learning_rate, or look at that term's input"
    )


def describe(state: TrainState, frozen: weights.Params, setup: Setup, windows: int) -> None:
    trained, fixed = weights.count(state.params), weights.count(frozen)
    student = weights.count(weights.with_prefix(setup.abstract, "student/"))
    print(
        f"{windows} windows; {trained:,} trained weights, {fixed:,} frozen; the student has {student:,}; "
        f"mesh {dict(setup.mesh.shape)} on {setup.mesh.devices.flat[0].platform}"
    )


class StopOnSignal:
    """SIGTERM asks the loop to save and stop; nothing is lost."""

    def __init__(self):
        self.requested = False
        signal.signal(signal.SIGTERM, self._request)

    def _request(self, *_):
        self.requested = True


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    CONFIG = cli.define_config()
    WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; default runs/<name of the config file>.")
    cli.run(main)
