"""Saving, resuming, and reading the student alone.

A run's folder holds `checkpoints/<step>/` with four Orbax items:
    student     every weight under "student/": what ships; this folder can be copied alone
    trainable   the trained weights of the teacher (adapters, heads, LoRA)
    opt_state   the optimizer
    meta        step, data position, full config, normalization, command source (JSON)
`export` and `evaluate` read student and meta only. The frozen LLM base is never saved.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from dima_jax import weights
from dima_jax.errors import UserError
from dima_jax.student import student as student_lib

BACKBONE = ("student/image_encoder/stem/", "student/image_encoder/stages/")  # what `convert resnet` writes
ITEMS = ("student", "trainable", "opt_state", "meta")

# Config keys that say which model a checkpoint holds: for the student alone, and for a run that is resumed.
IMAGE_KEYS = ("image_scale", "image_shape", "valid_shape", "color_order", "mean", "std")
STUDENT_KEYS = ("student", *(f"data.{key}" for key in IMAGE_KEYS))
RUN_KEYS = (*STUDENT_KEYS, "teacher", "auxiliary", "optim.groups", "data.batch_size", "seed")


def open_manager(workdir: str, keep: int) -> ocp.CheckpointManager:
    """The manager of a run's folder. A step appears only when it is whole (Orbax writes it aside, then renames)."""
    options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True, enable_async_checkpointing=True)
    return ocp.CheckpointManager(_checkpoint_folder(workdir), item_names=ITEMS, options=options)


def _checkpoint_folder(workdir: str | Path) -> Path:
    return Path(workdir).resolve() / "checkpoints"


def save(
    manager: ocp.CheckpointManager, step: int, student: Mapping, trainable: Mapping, opt_state, position: int, config
) -> None:
    """Starts saving step `step`; `manager.wait_until_finished()` waits for it."""
    manager.save(
        step,
        args=ocp.args.Composite(
            student=ocp.args.StandardSave(dict(student)),
            trainable=ocp.args.StandardSave(dict(trainable) or {"none": jax.numpy.zeros(1)}),
            opt_state=ocp.args.StandardSave(opt_state),
            meta=ocp.args.JsonSave(describe(step, position, config)),
        ),
    )


def describe(step: int, position: int, config: ConfigDict) -> dict:
    """The item `meta`."""
    return {
        "step": step,
        "position": position,
        "config": json.loads(config.to_json()),
        "normalization": {key: list(config.data[key]) for key in ("mean", "std")}
        | {"color_order": config.data.color_order},
        "command_source": "final lateral position of the recorded path (VAD's rule)",
    }


def student_shapes(config: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
    """{path without "student/": shape} of the weights that the student of a config needs."""
    return student_lib.abstract(config)[1]


def save_student(workdir: str | Path, student: Mapping, config: ConfigDict) -> None:
    """Weights made elsewhere as a run's folder at step 0, with the items that `load_student` reads."""
    step = _checkpoint_folder(workdir) / "0"
    save_weights(step / "student", student)
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as writer:
        writer.save(step / "meta", args=ocp.args.JsonSave(describe(0, 0, config)), force=True)


def save_weights(folder: str | Path, params: Mapping) -> None:
    """{path: array} as one Orbax item; `load_weights` reads it."""
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as writer:
        writer.save(Path(folder).resolve(), args=ocp.args.StandardSave(dict(params)), force=True)


def restore(manager: ocp.CheckpointManager, student: Mapping, trainable: Mapping, opt_state, config) -> tuple:
    """(student, trainable, opt_state, meta) of the latest step, on the shardings of the abstract arrays given.

    UserError if the checkpoint was made with another model, naming the first key or weight that differs.
    """
    step, meta = manager.latest_step(), read_meta(manager, config)
    where = f"{manager.directory}/{step}"
    check_weights(ocp.StandardCheckpointHandler().metadata(Path(where) / "student"), student, where)
    restored = manager.restore(
        step,
        args=ocp.args.Composite(
            student=ocp.args.StandardRestore(dict(student)),
            trainable=ocp.args.StandardRestore(dict(trainable) or {"none": jax.ShapeDtypeStruct((1,), "float32")}),
            opt_state=ocp.args.StandardRestore(opt_state),
        ),
    )
    return restored.student, {k: v for k, v in restored.trainable.items() if k in trainable}, restored.opt_state, meta


def read_meta(manager: ocp.CheckpointManager, config: ConfigDict) -> dict:
    """The item `meta` of the latest step. UserError if that was made with another model than `config`'s."""
    step = manager.latest_step()
    meta = manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())).meta
    check_model(meta["config"], config, f"{manager.directory}/{step}")
    return meta


def check_model(saved: Mapping, config: ConfigDict, where: str, keys=RUN_KEYS) -> None:
    """UserError naming the first key in which the saved config describes another model than `config`."""
    current = json.loads(config.to_json())
    for group in keys:
        ours, theirs = current, saved
        for key in group.split("."):
            ours, theirs = ours[key], theirs.get(key, {})
        difference = _first_difference(group, theirs, ours)
        if difference:
            key, was, now = difference
            raise UserError(
                f"{where} was made with another config: {key} was {was!r}, is {now!r}; "
                "use the config of that run, or another --workdir"
            )


def check_weights(saved: Iterable[str], needed: Iterable[str], where: str) -> None:
    """UserError naming the first path that a saved student does not share with what this version needs."""
    needed = set(needed)
    for path in sorted(needed.symmetric_difference(saved)):
        is_what = "lacks" if path in needed else "has an unknown"
        raise UserError(
            f"{where} {is_what} weight {path}: its student was written by another version of dima_jax; "
            "train or convert it again, or use that version"
        )


def _first_difference(key, saved, current):
    if isinstance(saved, dict) and isinstance(current, dict):
        for name in sorted(saved.keys() | current.keys()):
            difference = _first_difference(f"{key}.{name}", saved.get(name), current.get(name))
            if difference:
                return difference
        return None
    return None if saved == current else (key, saved, current)


def latest_run(root: str = "runs") -> Path:
    """The run's folder whose newest checkpoint is the newest of all under `root`."""
    steps = sorted(Path(root).glob("*/checkpoints/*/meta"), key=lambda path: path.stat().st_mtime)
    if not steps:
        raise UserError(f"no checkpoint under {root}/; train first (`make demo` does), or give --checkpoint=DIR")
    return steps[-1].parents[2]


def load_student(directory: str | Path) -> tuple[ConfigDict, weights.Params, dict]:
    """(config, {path: array}, meta) of a run's folder (its latest step) or of one step's folder.

    Only the items `student` and `meta` are read. UserError if there is no whole checkpoint, or if its student is not
    made of the weights that its config needs.
    """
    step = step_folder(directory)
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
        meta = reader.restore(step / "meta")
    config, student = ConfigDict(meta["config"]), load_weights(step / "student")
    try:
        needed = student_shapes(config)
    except (AttributeError, KeyError, TypeError) as error:  # a key is missing, unknown or means something else
        raise UserError(
            f"{step}: its config is of another version of dima_jax ({error}); train or convert it again, or use that version"
        ) from error
    check_weights(student, [f"student/{path}" for path in needed], str(step))
    return config, student, meta


def is_whole_run(directory: str | Path) -> bool:
    """Whether the folder holds more than a student: what else was trained beside it."""
    return (step_folder(directory) / "trainable").is_dir()


def load_trainable(directory: str | Path) -> weights.Params:
    """{path: array} of what was trained beside the student. UserError if the folder holds a student alone."""
    folder = step_folder(directory) / "trainable"
    if not is_whole_run(directory):
        raise UserError(f"{folder.parent} holds a student alone; give the folder of a whole run")
    return {path: value for path, value in load_weights(folder).items() if path != "none"}


def load_weights(folder: str | Path) -> weights.Params:
    """{path: numpy array} of one Orbax item, e.g. a `student/` folder that was copied alone; saved on any devices."""
    folder = Path(folder).resolve()
    if not (folder / "_METADATA").exists():
        raise UserError(
            f"{folder} is not a checkpoint item; give a run's folder, a step's folder or its `student` folder"
        )
    abstract = ocp.StandardCheckpointHandler().metadata(folder)
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as reader:
        target = {path: np.empty(leaf.shape, leaf.dtype) for path, leaf in abstract.items()}
        return reader.restore(folder, args=ocp.args.StandardRestore(target))


def step_folder(directory: str | Path) -> Path:
    """The folder, absolute, of a run's latest whole step; a step's own folder is itself. UserError if there is none."""
    directory = Path(directory).resolve()
    if (directory / "student").is_dir() and (directory / "meta").is_dir():
        return directory
    folder = directory / "checkpoints" if (directory / "checkpoints").is_dir() else directory
    steps = [path for path in folder.glob("*") if path.name.isdigit() and (path / "meta").is_dir()]
    if not steps:
        raise UserError(
            f"no checkpoint in {directory}; train with --workdir={directory.name} first, or give another --checkpoint"
        )
    return max(steps, key=lambda path: int(path.name))
