"""One Orbax item on disk: arrays or JSON. What the libraries below say of a damaged file or a full disk becomes one line.

An item that is written alone, e.g. a backbone, has its checksums in CHECKSUMS beside its arrays; those of a run's steps
are in the item `meta` (`checkpoints.py`).
"""

import contextlib
import json
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging as absl_logging

from dima_jax import checksums, weights
from dima_jax.checksums import DamageError
from dima_jax.config_changes import print_once
from dima_jax.errors import UserError

CHECKSUMS = "checksums.json"
UNFINISHED = "*.orbax-checkpoint-tmp*"  # what Orbax writes before it renames
ATTEMPTS = 50  # to remove what is unfinished, in 5 s
REASON_LENGTH = 300  # characters of a library's message


def save_weights(folder: str | Path, params: Mapping) -> None:
    """{path: array} as one Orbax item with its checksums; `load_weights` reads it."""
    folder = Path(folder).resolve()
    with writing(folder, size_of(params)):
        with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as writer:
            writer.save(folder, args=ocp.args.StandardSave(dict(params)), force=True)
        (folder / CHECKSUMS).write_text(json.dumps(checksums.seal({"sums": checksums.of(dict(params))})))


def load_weights(folder: str | Path, sums: checksums.Sums | None = None) -> weights.Params:
    """{path: numpy array} of one Orbax item, e.g. a `student/` folder that was copied alone; saved on any devices.

    sums: the item's checksums; by default those in its folder, else in the `meta` beside it. Without any, a line says that
    nothing was compared.
    DamageError if it is not what was saved, UserError if it is no item.
    """
    folder = Path(folder).resolve()
    if sums is None and not (folder / "_METADATA").exists():
        raise UserError(
            f"{folder} is not a checkpoint item; give a run's folder, a step's folder or its `student` folder"
        )
    with reading(folder):
        sums = sums or _stored_sums(folder)
        abstract = dict(ocp.StandardCheckpointHandler().metadata(folder))
        if sums is not None:  # before memory is taken for them
            checksums.check_labels(abstract, sums)
        with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as reader:
            target = {path: np.empty(leaf.shape, leaf.dtype) for path, leaf in abstract.items()}
            params = reader.restore(folder, args=ocp.args.StandardRestore(target))
        if sums is not None:
            checksums.check(params, sums)
    if sums is None:
        print_once(
            f"{folder} has no checksums (of an earlier version, or copied alone): nothing tells if it is damaged"
        )
    return params


def _stored_sums(folder: Path) -> checksums.Sums | None:
    if (folder / CHECKSUMS).exists():
        return checksums.unseal(json.loads((folder / CHECKSUMS).read_bytes()))["sums"]
    meta = folder.parent / "meta" / "metadata"
    content = json.loads(meta.read_bytes()) if meta.exists() else {}
    return checksums.unseal(content)["sums"].get(folder.name) if "sums" in content else None


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Errors of what is read below `folder` as a DamageError that names it; as a UserError where it may be whole."""
    quiet_orbax()
    try:
        yield
    except DamageError as error:
        raise DamageError(f"{folder} is damaged: {error}") from error
    except (UserError, jax.errors.JaxRuntimeError):
        raise
    except (MemoryError, PermissionError) as error:
        raise UserError(f"{folder} cannot be read: {reason(error)}") from error
    except Exception as error:  # of Orbax, TensorStore and zstd: many kinds
        raise DamageError(f"{folder} is damaged: {reason(error)}") from error


@contextlib.contextmanager
def writing(folder: Path, needed: int) -> Iterator[None]:
    """Errors of what is written as `folder`, or below it, as one line; what is unfinished is removed.

    needed: bytes, before compression.
    """
    quiet_orbax()
    try:
        yield
    except (UserError, jax.errors.JaxRuntimeError):
        raise
    except Exception as error:  # of Orbax and TensorStore: many kinds
        remove_unfinished(folder)
        raise UserError(
            f"{folder} cannot be written: {reason(error)}; up to {needed / 1e6:,.1f} MB are needed, {_free(folder)} are "
            "free. What was saved before is whole; make room, and the same command goes on from there"
        ) from error


def remove_unfinished(folder: Path) -> None:
    """Deletes what a save that failed has left: in a folder, or beside it. Its other threads may still write there."""
    for _ in range(ATTEMPTS):
        left = [*folder.glob(UNFINISHED), *folder.parent.glob(folder.name + UNFINISHED)]
        if not left:
            return
        for path in left:
            shutil.rmtree(path, ignore_errors=True)
        time.sleep(0.1)


def size_of(tree) -> int:
    """Bytes of a tree's arrays."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def reason(error: Exception) -> str:
    """A library's message as one line, not too long."""
    text = " ".join(str(error).split()).partition(" [tensorstore_spec=")[0] or type(error).__name__
    if len(text) <= REASON_LENGTH:
        return text
    return f"{text[: REASON_LENGTH // 4]} ... {text[-REASON_LENGTH * 3 // 4 :]}"  # the file and the cause come last


def quiet_orbax() -> None:
    """Orbax logs a traceback in every thread that an error passes, and warns of what we name ourselves; Python shows one of
    each read that ends after Orbax gave up. The error is raised as well, and becomes our one line.
    """
    absl_logging.get_absl_logger().addFilter(_is_not_of_orbax)
    if not getattr(sys.unraisablehook, "is_quiet", False):
        sys.unraisablehook = _without_late_reads(sys.unraisablehook)


def _without_late_reads(shown: Callable) -> Callable:
    def hook(unraisable) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            shown(unraisable)

    hook.is_quiet = True
    return hook


def _is_not_of_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in record.pathname


def _free(folder: Path) -> str:
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    return f"{shutil.disk_usage(existing).free / 1e6:,.1f} MB"
