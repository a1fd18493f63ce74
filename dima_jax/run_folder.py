"""Where a run's steps lie: `<run>/checkpoints/<step>/`, and `<run>/damaged/<step>/` for those that training set aside."""

import re
from pathlib import Path

from dima_jax.errors import UserError

_STEP = re.compile(r"0|[1-9][0-9]{0,17}")


def checkpoint_folder(workdir: str | Path) -> Path:
    """The absolute folder of a run's steps."""
    return Path(workdir).resolve() / "checkpoints"


def steps(directory: str | Path) -> list[Path]:
    """The folders of all steps, newest first, whole or not. directory: a run, its `checkpoints`, or one of the steps."""
    directory = Path(directory).resolve()
    if _is_step(directory):
        directory = directory.parent
    folder = directory / "checkpoints" if (directory / "checkpoints").is_dir() else directory
    found = [path for path in folder.glob("*") if _STEP.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: -int(path.name))


def step_folder(directory: str | Path, step: int | None = None) -> Path:
    """The folder, absolute, of a run's latest step or of step `step`; a step's own folder is itself.

    UserError if there is none. Whether it is whole, reading tells.
    """
    directory = Path(directory).resolve()
    if _is_step(directory):
        if step is not None and directory.name != str(step):
            raise UserError(f"{directory} is one step's folder; give the run's folder beside --step={step}")
        return directory
    found = steps(directory)
    if not found:
        raise UserError(
            f"no checkpoint in {directory}; train with --workdir={directory.name} first, or give another --checkpoint"
        )
    if step is None:
        return found[0]
    for path in found:
        if path.name == str(step):
            return path
    raise UserError(f"{directory} has no step {step}; it has {', '.join(path.name for path in reversed(found))}")


def latest_run(root: str = "runs") -> Path:
    """The run's folder whose newest checkpoint is the newest of all under `root`."""
    found = sorted(Path(root).glob("*/checkpoints/*/meta"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(f"no checkpoint under {root}/; train first (`make demo` does), or give --checkpoint=DIR")
    return found[-1].parents[2]


def set_aside(step: Path) -> Path:
    """Moves a step's folder to the run's folder `damaged`; returns where it is."""
    place = step.parents[1] / "damaged" / step.name
    number = 1
    while place.exists():
        number += 1
        place = place.with_name(f"{step.name}_{number}")
    try:
        place.parent.mkdir(exist_ok=True)
        return step.rename(place)
    except OSError as error:
        raise UserError(f"{step} cannot be moved to {place}: {error.strerror}; move it away by hand") from error


def _is_step(directory: Path) -> bool:
    has_items = (directory / "student").is_dir() and (directory / "meta").is_dir()
    return has_items or (directory.parent.name == "checkpoints" and bool(_STEP.fullmatch(directory.name)))
