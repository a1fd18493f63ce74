"""Saving, resuming, and reading the student alone.

A run's folder holds `checkpoints/<step>/` with four Orbax items:
    student     every weight under "student/": what ships; this folder can be copied alone
    trainable   the trained weights of the teacher (adapters, heads, LoRA)
    opt_state   the optimizer
    meta        step, data position, full config and its changes, normalization, command source, checksums (JSON)
`export` and `evaluate` read student and meta only. The frozen LLM base is never saved. Everything that is read is
compared with its checksum (`checksums.py`) before it is used.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import jax
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from dima_jax import checksums, run_folder, students, weights
from dima_jax.checkpoint_items import load_weights, reading, save_weights, size_of, writing
from dima_jax.checksums import DamageError
from dima_jax.config_changes import IMAGE_KEYS, STUDENT_KEYS, check_model, print_once, with_new_keys
from dima_jax.errors import UserError
from dima_jax.run_folder import latest_run, step_folder

__all__ = [
    "BACKBONE",
    "IMAGE_KEYS",
    "STUDENT_KEYS",
    "check_model",
    "check_weights",
    "describe",
    "is_whole_run",
    "latest_run",
    "load_student",
    "load_trainable",
    "load_weights",
    "newest_meta",
    "open_manager",
    "read_meta",
    "restore",
    "save",
    "save_student",
    "save_weights",
    "step_folder",
    "student_shapes",
]

BACKBONE = ("student/image_encoder/stem/", "student/image_encoder/stages/")  # what `convert resnet` writes
ITEMS = ("student", "trainable", "opt_state", "meta")
UNSUMMED = {"step", "position", "config", "normalization", "command_source"}  # all keys of `meta` before checksums


class Manager(ocp.CheckpointManager):
    """Orbax's manager, whose saves fail in one line. needed: bytes of the save that runs, before compression."""

    needed = 0

    def wait_until_finished(self) -> None:
        with writing(Path(self.directory), self.needed):
            super().wait_until_finished()


def open_manager(workdir: str, keep: int) -> Manager:
    """The manager of a run's folder. A step appears only when it is whole (Orbax writes it aside, then renames).

    What a killed save has left is removed, so only who may write there opens one. UserError if nobody can.
    """
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep, create=True, cleanup_tmp_directories=True, enable_async_checkpointing=True
    )
    folder = run_folder.checkpoint_folder(workdir)
    with writing(folder, 0):
        return Manager(folder, item_names=ITEMS, options=options)


def save(
    manager: Manager,
    step: int,
    student: Mapping,
    trainable: Mapping,
    opt_state,
    position: int,
    config,
    *,
    windows: int | None = None,
    history: Iterable[Mapping] = (),
) -> None:
    """Starts saving step `step`; `manager.wait_until_finished()` waits for it. windows, history: see `describe`.

    UserError if this save, or the one before, cannot be written.
    """
    arrays = {
        "student": dict(student),
        "trainable": dict(trainable) or {"none": jax.numpy.zeros(1)},
        "opt_state": opt_state,
    }
    sums = {item: checksums.of(tree) for item, tree in arrays.items()}
    meta = checksums.seal(describe(step, position, config, windows, history) | {"sums": sums})
    manager.wait_until_finished()
    manager.needed = size_of(arrays)
    with writing(Path(manager.directory), manager.needed):
        items = {item: ocp.args.StandardSave(tree) for item, tree in arrays.items()}
        manager.save(step, args=ocp.args.Composite(**items, meta=ocp.args.JsonSave(meta)))


def describe(
    step: int, position: int, config: ConfigDict, windows: int | None = None, history: Iterable[Mapping] = ()
) -> dict:
    """The item `meta` without its checksums. windows: of an epoch. history: `config_changes.history`."""
    return {
        "step": step,
        "position": position,
        "windows": windows,
        "config": json.loads(config.to_json()),
        "history": list(history),
        "normalization": {key: list(config.data[key]) for key in ("mean", "std")}
        | {"color_order": config.data.color_order},
        "command_source": "final lateral position of the recorded path (VAD's rule)",
    }


def student_shapes(config: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
    """{path without "student/": shape} of the weights that the student of a config needs."""
    return students.shapes(config)


def save_student(workdir: str | Path, student: Mapping, config: ConfigDict) -> None:
    """Weights made elsewhere as a run's folder at step 0, with the items that `load_student` reads."""
    step = run_folder.checkpoint_folder(workdir) / "0"
    save_weights(step / "student", student)
    sums = {"student": checksums.of(dict(student))}
    meta = checksums.seal(describe(0, 0, config) | {"sums": sums})
    with writing(step, 0), ocp.Checkpointer(ocp.JsonCheckpointHandler()) as writer:
        writer.save(step / "meta", args=ocp.args.JsonSave(meta), force=True)


def restore(manager: Manager, meta: Mapping, student: Mapping, trainable: Mapping, opt_state) -> tuple:
    """(student, trainable, opt_state) of the step of `meta`, on the shardings of the abstract arrays given.

    DamageError if it is not what was saved; UserError, naming the first weight that differs, if it was made with
    another model.
    """
    step = Path(manager.directory) / str(meta["step"])
    targets = {
        "student": dict(student),
        "trainable": dict(trainable) or {"none": jax.ShapeDtypeStruct((1,), "float32")},
        "opt_state": opt_state,
    }
    sums = meta.get("sums")
    if sums is None:
        print_once(f"{step} has no checksums (an earlier version wrote it): nothing tells if it is damaged")
    if sums is not None and not targets.keys() <= sums.keys():
        raise UserError(f"{step} holds a student alone; name it in train.init_from, and give another --workdir")
    for item, tree in targets.items() if sums is not None else ():
        needed = checksums.leaves_by_path(tree)
        check_weights(sums[item], needed, f"{step}/{item}")
        _check_shapes({path: saved for path, (saved, _) in sums[item].items()}, needed, f"{step}/{item}")
    restored = {}
    for item, tree in targets.items():
        with reading(step / item):
            args = ocp.args.Composite(**{item: ocp.args.StandardRestore(tree)})
            restored[item] = manager.restore(meta["step"], args=args)[item]
            unchecked = checksums.check(restored[item], sums[item]) if sums is not None else 0
        if unchecked:
            print(f"{step}/{item}: {unchecked} arrays lie on other devices than they were saved from: not compared")
    trained = {path: value for path, value in restored["trainable"].items() if path in trainable}
    return restored["student"], trained, restored["opt_state"]


def read_meta(step: Path) -> dict:
    """The item `meta` of a step's folder, its config filled with newer keys. DamageError if it is not what was saved."""
    with reading(step / "meta"):
        with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
            meta = reader.restore(step / "meta")
        if set(meta) != UNSUMMED:
            meta = checksums.unseal(meta)
        if step.parent.name == "checkpoints" and str(meta["step"]) != step.name:
            raise DamageError(f"it is that of step {meta['step']}")
    try:
        return meta | {"config": with_new_keys(meta["config"], str(step))}
    except (AttributeError, KeyError, TypeError) as error:
        raise _another_version(step, error) from error


def newest_meta(workdir: str | Path) -> dict | None:
    """`meta` of the newest step that has a whole one; None in a folder without steps. DamageError if none is whole."""
    first = None
    for step in run_folder.steps(workdir):
        try:
            return read_meta(step)
        except DamageError as error:
            first = first or error
    if first:
        raise first
    return None


def check_weights(saved: Iterable[str], needed: Iterable[str], where: str) -> None:
    """UserError naming the first path that a saved student does not share with what this version needs."""
    needed = set(needed)
    for path in sorted(needed.symmetric_difference(saved)):
        is_what = "lacks" if path in needed else "has an unknown"
        raise UserError(
            f"{where} {is_what} weight {path}: it was written by another version of dima_jax, or with other settings; "
            "train or convert it again, or use that version"
        )


def _check_shapes(saved: Mapping[str, str], needed: Mapping, where: str) -> None:
    """UserError naming the first weight whose dtype or shape, as `checksums.label` has it, is not what is needed."""
    for path, leaf in needed.items():
        if saved[path] != checksums.label(leaf):
            raise UserError(
                f"{where}: {path} is {saved[path]}, its config needs {checksums.label(leaf)}; "
                "use the config and the version of dima_jax that it was written with"
            )


def _another_version(step: Path, error: Exception) -> UserError:
    return UserError(
        f"{step}: its config is of another version of dima_jax ({error}); train or convert it again, or use that version"
    )


def load_student(directory: str | Path, step: int | None = None) -> tuple[ConfigDict, weights.Params, dict]:
    """(config, {path: array}, meta) of a run's folder (its latest step, or step `step`) or of one step's folder.

    Only the items `student` and `meta` are read. UserError if there is no checkpoint, or if its student is not made of
    the weights that its config needs. DamageError if it is not what was saved, which says which step is whole.
    """
    folder = step_folder(directory, step)
    try:
        return _load_student(folder)
    except DamageError as error:
        raise DamageError(f"{error}; {_whole_step(folder)}") from error


def _load_student(step: Path) -> tuple[ConfigDict, weights.Params, dict]:
    meta = read_meta(step)
    config = ConfigDict(meta["config"])
    student = load_weights(step / "student", meta.get("sums", {}).get("student"))
    try:
        needed = {f"student/{path}": leaf for path, leaf in student_shapes(config).items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # a key is unknown or means something else
        raise _another_version(step, error) from error
    check_weights(student, needed, str(step))
    _check_shapes({path: checksums.label(value) for path, value in student.items()}, needed, str(step))
    return config, student, meta


def _whole_step(damaged: Path) -> str:
    """What to do instead of reading a damaged step: which other step's student is whole."""
    for step in run_folder.steps(damaged):
        if step != damaged:
            try:
                _load_student(step)
            except UserError:
                continue
            return f"step {step.name} is whole: give --step={step.name}"
    return "no other step of this run is whole; copy it again, or train or convert it again"


def is_whole_run(directory: str | Path) -> bool:
    """Whether the folder holds more than a student: what else was trained beside it."""
    step = step_folder(directory)
    return (step / "trainable").is_dir() or "trainable" in read_meta(step).get("sums", {})


def load_trainable(directory: str | Path) -> weights.Params:
    """{path: array} of what was trained beside the student. UserError if the folder holds a student alone."""
    step = step_folder(directory)
    if not is_whole_run(directory):
        raise UserError(f"{step} holds a student alone; give the folder of a whole run")
    params = load_weights(step / "trainable", read_meta(step).get("sums", {}).get("trainable"))
    return {path: value for path, value in params.items() if path != "none"}
