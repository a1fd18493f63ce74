"""The training loop on five small arrays: all of it is real but the model, the records and the step, which cost nothing.

    python -m tests.tiny_trainer FOLDER KILLS

trains in FOLDER/straight without a stop, and in FOLDER/killed with so many SIGKILLs at moments drawn by chance.
"""

import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dima_jax import checkpoints, sharding, train_loop
from dima_jax.train_step import TrainState
from tests.mini import mini_config

SHAPES = {"student/a": (64, 33), "student/b": (), "student/c": (5, 4, 3), "teacher/d": (40,), "teacher/e": (7, 7)}
WINDOWS = 11
BATCH = 2


class Model:
    """Stands for a `ShardedModel`."""

    def __init__(self, config):
        self.config, self.mesh = config, sharding.make_mesh(1, 1, 1, jax.devices()[:1])
        place = sharding.replicated(self.mesh)
        self.abstract = {
            path: jax.ShapeDtypeStruct(shape, jnp.float32, sharding=place) for path, shape in SHAPES.items()
        }

    def init_params(self):
        rng = np.random.default_rng(self.config.seed)
        return self.place({path: rng.normal(size=shape).astype(np.float32) for path, shape in SHAPES.items()})

    def place(self, params):
        return {path: jax.device_put(value, sharding.replicated(self.mesh)) for path, value in params.items()}


def make_train_step(model, optim, seconds: float = 0.0):
    """A step whose gradients depend on the batch: which windows were read, and in which order, shows in the weights."""

    @jax.jit
    def update(state, batch):
        gradients = jax.tree.map(lambda x: jnp.sin(x + batch.sum()), state.params)
        updates, opt_state = optim.update.update(gradients, state.opt_state, state.params)
        return TrainState(state.step + 1, optax.apply_updates(state.params, updates), opt_state)

    def step(state, frozen, batch, key):
        time.sleep(seconds)
        return update(state, batch), {"loss/total": np.float32(1)}

    return step


def train_batches(config, position):
    while True:
        yield np.arange(position, position + config.data.batch_size, dtype=np.float32)
        position += config.data.batch_size


def replacements(seconds: float = 0.0) -> list[tuple]:
    """(module, name, what stands for it)."""
    shapes = {path: jax.ShapeDtypeStruct(shape, jnp.float32) for path, shape in SHAPES.items()}
    student = {path.removeprefix("student/"): leaf for path, leaf in shapes.items() if path.startswith("student/")}
    return [
        (train_loop, "ShardedModel", Model),
        (train_loop, "make_train_step", lambda model, optim: make_train_step(model, optim, seconds)),
        (train_loop.loader, "train_batches", train_batches),
        (train_loop.loader, "num_train_windows", lambda config: WINDOWS),
        (train_loop.loss_curves, "draw", lambda workdir: None),
        (checkpoints, "student_shapes", lambda config: student),
    ]


def config(steps: int = 5, save_every: int = 1):
    made = mini_config()
    made.data.batch_size = BATCH
    made.train.update(epochs=-(-steps // (WINDOWS // BATCH)), max_steps=steps, save_every=save_every, keep=2)
    return made


def main(folder: Path, kills: int) -> None:
    """Every trainer is a fork of this process: what is imported is imported once. JAX itself starts in the forks."""
    for module, name, replacement in replacements(seconds=0.01):
        setattr(module, name, replacement)
    moments = random.Random(0)
    steps = 3 * kills
    _wait(_fork(config(steps, save_every=steps), folder / "straight"))
    settings = config(steps)
    for _ in range(kills):
        trainer = _fork(settings, folder / "killed")
        _wait_for_a_step(folder / "killed", trainer)
        time.sleep(moments.uniform(0, 0.3))
        os.kill(trainer, signal.SIGKILL)
        os.waitpid(trainer, 0)
        print("killed beside", sorted(path.name for path in (folder / "killed" / "checkpoints").iterdir()))
    _wait(_fork(settings, folder / "killed"))


def _fork(settings, workdir: Path) -> int:
    process = os.fork()
    if process:
        return process
    try:
        train_loop.train(settings, str(workdir))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _wait(process: int) -> None:
    assert os.waitpid(process, 0)[1] == 0


def _wait_for_a_step(workdir: Path, trainer: int) -> None:
    """Returns when the trainer has saved a step that was not there."""
    before = _steps(workdir)
    while _steps(workdir) <= before:
        assert os.waitpid(trainer, os.WNOHANG) == (0, 0)
        time.sleep(0.01)


def _steps(workdir: Path) -> set[str]:
    return {path.name for path in (workdir / "checkpoints").glob("*") if path.name.isdigit()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
