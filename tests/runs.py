"""A run's folder as training would leave it, without training: for tests of what reads a run."""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from dima_jax import checkpoints, optimizer, train_loop, weights
from dima_jax.sharded_model import ShardedModel
from dima_jax.student import student as student_lib
from dima_jax.train_step import init_train_state
from tests import tiny_root
from tests.mini import mini_config


class JointRun(NamedTuple):
    """params: all weights; the teacher's trained ones are not what `init_params` draws. graph: for `weights.bind`."""

    folder: Path
    config: ConfigDict
    params: weights.Params
    graph: nnx.GraphDef


def make(folder: Path) -> JointRun:
    """Records of two scenes with two DriveLM questions in `folder`/records, and a run on them in `folder`/run."""
    questions = tiny_root.drivelm(folder / "drivelm.json")
    records = tiny_root.write_records(tiny_root.make(folder / "root"), folder / "records", str(questions))
    return joint(mini_config(records), folder)


def joint(config: ConfigDict, folder: Path) -> JointRun:
    """A whole run at step 0 in `folder`/run."""
    model = ShardedModel(config, jax.devices()[:1])
    state, frozen = init_train_state(model, optimizer.build(config, steps_per_epoch=1))
    rng = np.random.default_rng(0)
    for path, value in weights.with_prefix(state.params, "teacher/").items():
        state.params[path] = np.asarray(value) + rng.normal(size=value.shape, scale=0.1).astype(np.float32)
    manager = checkpoints.open_manager(str(folder / "run"), keep=1)
    train_loop.save(manager, state, frozen, 0, config)
    manager.wait_until_finished()
    return JointRun(folder / "run", config, state.params | frozen, model.graph)


class StudentRun(NamedTuple):
    """A student of random weights at step 0. config: of its val split, with `scenes` scenes."""

    folder: Path
    config: ConfigDict
    scenes: int


def student_alone(folder: Path, scenes: int) -> StudentRun:
    """Records with so many val scenes in `folder`/records, and a student on them in `folder`/run."""
    config = mini_config(tiny_root.write_drives(tiny_root.make(folder / "root"), folder / "records", scenes))
    params = weights.split(student_lib.build(config, nnx.Rngs(0)))[1]
    checkpoints.save_student(folder / "run", {f"student/{path}": value for path, value in params.items()}, config)
    return StudentRun(folder / "run", config, scenes)
