"""Going on with a run: is it finished, may this config go on with it, and which of its steps is whole."""

from pathlib import Path

import jax
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from dima_jax import checkpoints, config_changes, optimizer, run_folder
from dima_jax.checksums import DamageError
from dima_jax.data import loader


def is_finished(config: ConfigDict, workdir: str, *, allow_config_change: bool) -> bool:
    """Whether the run has all its steps, which a line then says; asks neither for a model nor, if it can, for records.

    UserError if its config cannot go on with the run; DamageError if no step is whole.
    """
    meta = checkpoints.newest_meta(workdir)
    if meta is None:
        return False
    changes(meta, config, workdir, None, allow_config_change=allow_config_change)
    windows = meta.get("windows") or loader.num_train_windows(config)
    steps_per_epoch = windows // config.data.batch_size
    total = optimizer.num_steps(config, steps_per_epoch)
    if not steps_per_epoch or meta["step"] < total:
        return False
    try:
        checkpoints.load_student(workdir, meta["step"])
    except DamageError:  # training goes on from the step before
        return False
    print(
        f"{workdir} is finished: step {meta['step']} of {total}. Evaluate it with `python -m "
        f"dima_jax.evaluate --checkpoint={workdir}`, raise --config.train.epochs to go on, or give another --workdir"
    )
    return True


def check(config: ConfigDict, workdir: str, windows: int, *, allow_config_change: bool) -> None:
    """UserError if the run in `workdir`, if there is one, cannot go on with this config and so many windows."""
    meta = checkpoints.newest_meta(workdir)
    if meta is not None:
        changes(meta, config, workdir, windows, allow_config_change=allow_config_change)


def changes(
    meta: dict, config: ConfigDict, workdir: str, windows: int | None, *, allow_config_change: bool
) -> list[tuple]:
    """[(key, was, is)] of the config since the step of `meta`. UserError if the run cannot go on with it."""
    where = str(run_folder.checkpoint_folder(workdir) / str(meta["step"]))
    return config_changes.check_resumed(meta, config, windows, where, allowed=allow_config_change)


def restore(manager: checkpoints.Manager, student: dict, trainable: dict, opt_state) -> tuple:
    """`checkpoints.restore` of the newest whole step, and its `meta`; newer steps are moved aside, which lines say.

    DamageError if no step is whole: nothing is moved then.
    """
    damaged: list[tuple[Path, DamageError]] = []
    for step in run_folder.steps(Path(manager.directory)):
        try:
            meta = checkpoints.read_meta(step)
            restored = checkpoints.restore(manager, meta, student, trainable, opt_state)
        except DamageError as error:
            damaged.append((step, error))
            continue
        _move(damaged)
        manager.reload()
        return *restored, meta
    raise DamageError(f"{damaged[0][1]}; no step of this run is whole: give another --workdir")


def _move(damaged: list[tuple[Path, DamageError]]) -> None:
    if not damaged:
        return
    if jax.process_index() == 0:
        for step, error in damaged:
            print(f"{error}; moved to {run_folder.set_aside(step)}")
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("damaged steps are moved")
