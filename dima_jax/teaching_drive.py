"""Keeps what the teacher of a run says of each key frame of a split (`teacher_cache.py`).

Of a run of images its student drives each scene from its first frame, and its LLM reads the tokens. In vector mode frames
are told, not driven; where such a run has no LLM its student is the teacher, as the privileged one is
(docs/evidence.md#the-privileged-teacher).
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from dima_jax import checkpoints, config_changes, scene_shards
from dima_jax.data import sequences
from dima_jax.data.records import Records
from dima_jax.driving import drive
from dima_jax.dual import Dual
from dima_jax.errors import UserError
from dima_jax.policy import Policy
from dima_jax.progress import Progress
from dima_jax.scoring import npz_file
from dima_jax.sharded_model import ShardedModel
from dima_jax.teacher_cache import Taught, TeacherCache
from dima_jax.vector import planning

# Of key frames in order, (ego feature [D2], ego offsets [R, F, 2]) of each.
Words = Callable[[Sequence[int]], Iterator[tuple[np.ndarray, np.ndarray]]]


def write(run: Path, config: ConfigDict, split: str, out: str | Path, *, part: int = 0, parts: int = 1) -> TeacherCache:
    """Writes the scenes that `out` lacks, of them every `parts`-th from number `part` on.

    run: one step's folder of a whole run. UserError if it has no teacher, the records are missing or damaged, or `out`
    holds what another teacher said, or another folder's files.
    """
    records = Records(config.data.path, split)
    if not len(records):
        raise UserError(f"split {split!r} of {config.data.path} has no frames")
    words = (of_vectors if config.vector.enabled else of_images)(run, config, split)
    cache = TeacherCache(out)
    cache.open(source(run, config, records))
    mine = scene_shards.share(scene_shards.scenes_of(records), part, parts)
    left = cache.left(mine, records.samples)
    frames = sum(len(scene.numbers) for scene in mine)
    done = frames - sum(len(scene.numbers) for scene in left)
    with Progress(frames, "frame", name=split, initial=done, first="compiling for the first frame") as progress:
        for scene in left:
            said = []
            for one in words(scene.numbers):
                said.append(one)
                progress.advance()
            cache.write(scene, records.samples, Taught(*map(np.stack, zip(*said, strict=True))))
    return cache


def of_images(run: Path, config: ConfigDict, split: str) -> Words:
    """What the LLM says while the student drives."""
    drives, dual, policy = sequences.Drives(config, split), Dual(run, config), Policy.load(run, config)

    def words(numbers):
        for _ in drive(policy, drives, numbers, threads=config.data.workers):
            yield _first(dual.teach(policy.student_output))

    return words


def of_vectors(run: Path, config: ConfigDict, split: str) -> Words:
    """What the LLM, or without one the student, says of what it is told. The noise is that of `config.seed`."""
    model = ShardedModel.for_evaluation(config)
    params, key = model.load(run), jax.random.key(config.seed, impl="threefry2x32")  # draws the same in any batch
    _, frames = planning.recorded_frames(config, split)
    say = jax.jit(lambda params, frame: planning.taught(model.graph, params, frame, key))

    def words(numbers):
        for number in numbers:
            said = say(params, jax.tree.map(operator.itemgetter(slice(number, number + 1)), frames))
            yield _first((said.ego_feature, said.ego_offsets))

    return words


def _first(arrays):
    return tuple(np.asarray(x)[0] for x in arrays)


def source(run: Path, config: ConfigDict, records: Records) -> dict:
    """What the numbers hang on: weights, sizes and inputs of student and teacher, and the records."""
    saved = checkpoints.load_student(run)[1] | checkpoints.load_trainable(run)
    groups = ("student", "teacher", *(("vector",) if config.vector.enabled else ()))
    return {
        "checkpoint": npz_file.content_hash({path: np.asarray(value) for path, value in saved.items()}),
        "config": config_changes.hash_of_inputs(config, *groups),
        "seed": config.seed,
        "data": records.data_hash,
        "split": records.split,
    }
