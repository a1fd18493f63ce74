"""A finished arm in one file, so that a study that was stopped goes on with the arms that are left.

    DIR/arms/<name>.npz     tokens [v] of the val frames, plans [K, v, 6, 2], curve_<name> [K, points]; of an arm with an LLM
                            its llm_plans [K, v, 6, 2]; of an arm that teaches others ego_feature [K, n, D2] and
                            ego_offsets [K, n, R, 6, 2] of the training frames

The header holds what all of it hangs on (`inputs`); a file of other inputs is refused, not replaced.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from dima_jax import config_check, output_files
from dima_jax.errors import UserError
from dima_jax.scoring import npz_file
from dima_jax.study.plan import Arm, Plan, config_of
from dima_jax.study.training import Trained
from dima_jax.types import TaughtEgo

FORMAT, VERSION = "dima_jax.study_arm", 2
CURVE = "curve_"
TAUGHT = ("ego_feature", "ego_offsets")
# Keys of a config that change no number; the epochs of a plan are its steps.
NOT_READ = ("data.path", "data.workers", "data.cache_gib", "data.prefetch_gib", "data.hold_out_paths", "train.epochs")


class Done(NamedTuple):
    """seconds: that the arm took; content_hash: of the file's arrays."""

    trained: Trained
    seconds: float
    content_hash: str


def inputs(plan: Plan, arm: Arm, data: dict[str, str], teacher: str, held_out: str) -> dict[str, Any]:
    """{what: value} that an arm's numbers hang on. data: {split: hash of its records}. teacher: the content hash of the
    file of the arm, or of the cache, that teaches it, "" for none; where a cache lies does not matter. held_out: hash of the training frames without a path.
    """
    config = config_of(plan, arm)
    found = {
        "seeds": plan.seeds,
        "questions": plan.questions if config.teacher.enabled else 0,
        "teaches": arm.name in plan.teachers(),
        "teacher": teacher,
        "train records": data[config.data.train_split],
        "held out": held_out,
        "val records": data[config.data.val_split],
        **{f"config.{key}": value for key, value in _leaves(config).items() if key not in NOT_READ},
    }
    if arm.cache:
        del found["config.distill.cache"]
    if config.teacher.enabled and not plan.llm_drives:
        found["llm drives"] = False
    return json.loads(output_files.json_text(found))


def _leaves(config: ConfigDict) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in config_check.flat(config).items()}


def path_of(folder: str | Path, name: str) -> Path:
    """The file of an arm in the folder of a study."""
    return Path(folder) / "arms" / f"{output_files.file_name(name)}.npz"


def write(path: Path, tokens: list[str], trained: Trained, seconds: float, inputs: dict[str, Any]) -> Done:
    """Keeps an arm."""
    arrays = {"tokens": np.array(tokens, str), "plans": trained.plans}
    arrays |= {CURVE + name: rows for name, rows in trained.curves.items()}
    if trained.llm_plans is not None:
        arrays["llm_plans"] = trained.llm_plans
    if trained.taught is not None:
        arrays |= {name: getattr(trained.taught, name) for name in TAUGHT}
    header = {"format": FORMAT, "version": VERSION, "mode": "vector mode", "seconds": seconds, "inputs": inputs}
    npz_file.write(path, arrays, header)
    return Done(trained, seconds, npz_file.content_hash(arrays))


def read(path: Path, tokens: list[str], inputs: dict[str, Any]) -> Done | None:
    """A finished arm; None if there is none, or if the file is damaged, which is said.

    UserError for a file of something else or that cannot be read, and naming the first input in which it differs from what
    is asked for.
    """
    if not path.exists():
        return None
    try:
        arrays, header = npz_file.read(path, FORMAT, VERSION)
        held = dict(header["inputs"])
        seconds = float(header["seconds"])
    except (npz_file.DamagedFile, LookupError, TypeError, ValueError) as error:
        print(f"{path.stem} is trained again: {error}")
        return None
    for key in sorted(held.keys() | inputs.keys()):
        holds_more = key == "teaches" and held.get(key)
        if held.get(key) != inputs.get(key) and not holds_more:
            raise UserError(
                f"{path}: this arm was trained with {key}={held.get(key)!r:.60}, the plan says {inputs.get(key)!r:.60}; "
                "give another --out, or delete the file to train it again"
            )
    taught = TaughtEgo(*(arrays[name] for name in TAUGHT)) if inputs["teaches"] else None
    if arrays["tokens"].tolist() != tokens:
        raise UserError(
            f"{path}: is of other val frames; give another --out, or delete the file to train the arm again"
        )
    curves = {name.removeprefix(CURVE): rows for name, rows in arrays.items() if name.startswith(CURVE)}
    return Done(Trained(arrays["plans"], curves, arrays.get("llm_plans"), taught), seconds, header["content_hash"])
