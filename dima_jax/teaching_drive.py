"""Drives a run's student through a split and keeps what the run's teacher says of each key frame (`teacher_cache.py`)."""

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from dima_jax import checkpoints, config_changes, scene_shards
from dima_jax.data import sequences
from dima_jax.driving import drive
from dima_jax.dual import Dual
from dima_jax.errors import UserError
from dima_jax.policy import Policy
from dima_jax.progress import Progress
from dima_jax.scoring import npz_file
from dima_jax.teacher_cache import Taught, TeacherCache


def write(run: Path, config: ConfigDict, split: str, out: str | Path, *, part: int = 0, parts: int = 1) -> TeacherCache:
    """Writes the scenes that `out` lacks, of them every `parts`-th from number `part` on.

    run: one step's folder of a whole run. UserError if it has no teacher, the records are missing or damaged, or `out`
    holds what another teacher said, or another folder's files.
    """
    drives = sequences.Drives(config, split)
    if not len(drives):
        raise UserError(f"split {split!r} of {config.data.path} has no frames")
    dual, policy = Dual(run, config), Policy.load(run, config)
    cache, samples = TeacherCache(out), drives.records.samples
    cache.open(source(run, config, drives))
    mine = scene_shards.share(scene_shards.scenes_of(drives.records), part, parts)
    left = cache.left(mine, samples)
    frames = sum(len(scene.numbers) for scene in mine)
    done = frames - sum(len(scene.numbers) for scene in left)
    with Progress(frames, "frame", name=split, initial=done, first="compiling for the first frame") as progress:
        for scene in left:
            said = []
            for _ in drive(policy, drives, scene.numbers, threads=config.data.workers):
                said.append([np.asarray(x)[0] for x in dual.teach(policy.student_output)])
                progress.advance()
            cache.write(scene, samples, Taught(*map(np.stack, zip(*said, strict=True))))
    return cache


def source(run: Path, config: ConfigDict, drives: sequences.Drives) -> dict:
    """What the numbers hang on: weights, sizes and inputs of student and teacher, and the records."""
    saved = checkpoints.load_student(run)[1] | checkpoints.load_trainable(run)
    return {
        "checkpoint": npz_file.content_hash({path: np.asarray(value) for path, value in saved.items()}),
        "config": config_changes.hash_of_inputs(config, "student", "teacher"),
        "seed": config.seed,
        "data": drives.records.data_hash,
        "split": drives.split,
    }
