"""What can be refused about a run before JAX is imported: a folder, split or sample that is not there, a damaged config.

`evaluate`, `export` and `ask` call it first. It only looks: what it lets pass is judged by `checkpoints`.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from ml_collections import ConfigDict

from dima_jax import config_changes, config_check, run_folder
from dima_jax.data.records import Records
from dima_jax.errors import UserError


def chosen_run(checkpoint: str | None) -> Path:
    """The folder that --checkpoint names, by default the last run's. UserError if there is none."""
    if not checkpoint:
        return run_folder.latest_run()
    if not Path(checkpoint).is_dir():
        raise UserError(f"--checkpoint={checkpoint}: no such folder; give a run's folder, such as runs/demo")
    return Path(checkpoint)


def saved_config(run: Path) -> ConfigDict | None:
    """The config of a step's folder or of a run's latest step, with keys that are new since; None where that cannot be read.

    UserError for a config of another version.
    """
    folder = run if (run / "meta").is_dir() else next(iter(run_folder.steps(run)), run)
    try:
        saved = json.loads((folder / "meta" / "metadata").read_text())["config"]
        return ConfigDict(config_changes.with_new_keys(saved, str(folder)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def check_run(
    run: Path,
    given: ConfigDict | None,
    parts: Iterable[str],
    split: str | None = None,
    sample: str | None = None,
    *,
    default_split: str = "val_split",
) -> None:
    """UserError for a damaged config, absent records, and a split or sample that they do not hold.

    given: the config of the command line, if any. parts: what the command reads of it (`config_check.check`). split: by
    default the one that the config's key `default_split` names.
    """
    config = given or saved_config(run)
    if config is None:
        return
    if given is None:
        config_check.check(config, parts)
    config_check.check_folders(config, "data.path")
    records = Records(config.data.path, split or config.data[default_split])
    if sample is not None:
        find_sample(records, sample)


def find_sample(records: Records, sample: str) -> int:
    """The number of a sample's record. UserError if there is none."""
    if sample not in records.samples:
        raise UserError(f"--sample={sample}: split {records.split!r} of {records.folder} has no such sample")
    return records.samples.index(sample)
