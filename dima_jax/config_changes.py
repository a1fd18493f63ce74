"""The config that a run was saved with against the one of today: keys that are new, that differ, that must not differ.

Saved configs are those of the item `meta`, as JSON holds them: {group: {key: value}}, lists for tuples.
"""

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

from ml_collections import ConfigDict

from dima_jax.configs import base
from dima_jax.errors import UserError
from dima_jax.output_files import json_text

IMAGE_KEYS = ("cameras", "image_scale", "image_shape", "valid_shape", "color_order", "mean", "std")
# Which student a checkpoint holds.
STUDENT_KEYS = ("student", "vector.enabled", "vector.future", *(f"data.{key}" for key in IMAGE_KEYS))
# How a student is computed, not which it is: a run may go on with other values, and its student be evaluated with them.
FREE_KEYS = ("student.dtype", "student.encoder_remat")
# What a run that goes on must not change; all other keys may differ and are printed. First the model, then what the
# optimizer's state belongs to, then what makes the data position (a number of windows) mean the same windows.
RUN_KEYS = (
    *STUDENT_KEYS,
    "teacher",
    "auxiliary",
    "distill.form",
    "optim.groups",
    "optim.accumulate",
    "seed",
    "data.batch_size",
    "data.train_split",
    "data.history",
    "data.future",
    "data.shuffle_scenes",
)
ALLOW = "--allow_config_change"
NOT_SEEN = (
    "path",
    "workers",
    "cache_gib",
    "prefetch_gib",
    "batch_size",
    "shuffle_scenes",
    "hold_out_paths",
)  # of `data`: no prediction hangs on them


def hash_of_inputs(config: ConfigDict, *groups: str) -> str:
    """16 hexadecimal digits of what predictions hang on: these groups, and of `data` what changes a frame."""
    data = {key: value for key, value in config.data.to_dict().items() if key not in NOT_SEEN}
    read = {group: config[group].to_dict() for group in groups} | {"data": data}
    return hashlib.sha256(json_text(read, sort_keys=True).encode()).hexdigest()[:16]


def check_model(saved: Mapping, config: ConfigDict, where: str, keys: Sequence[str] = RUN_KEYS) -> None:
    """UserError naming the first of the keys, or keys of these groups, in which the saved config differs; FREE_KEYS may."""
    for key, was, now in changes(saved, config):
        if _is_below(key, keys) and key not in FREE_KEYS:
            hint = f", or another --workdir, or {ALLOW}" if keys is RUN_KEYS else ""
            raise UserError(
                f"{where} was made with another config: {key} was {was!r}, is {now!r}; use the config of that run{hint}"
            )


def changes(saved: Mapping, config: ConfigDict) -> list[tuple]:
    """[(key, saved value, value now)] of every key that differs, None where there is no such key; sorted by key."""
    was, now = _leaves(saved), _leaves(json.loads(config.to_json()))
    return [
        (key, was.get(key), now.get(key)) for key in sorted(was.keys() | now.keys()) if was.get(key) != now.get(key)
    ]


def check_resumed(meta: Mapping, config: ConfigDict, windows: int | None, where: str, *, allowed: bool) -> list[tuple]:
    """The changes since a run was saved. UserError naming the first that may not be, unless it is allowed.

    windows: of an epoch, now; None if they have not been counted.
    """
    if not allowed:
        check_model(meta["config"], config, where)
        saved = meta.get("windows")
        if None not in (windows, saved) and windows != saved:
            raise UserError(
                f"{where} was trained on {saved} windows, {config.data.path} has {windows}: its place in the data means "
                f"nothing there; use the records of that run, another --workdir, or {ALLOW}"
            )
    return changes(meta["config"], config)


def history(meta: Mapping, changed: Iterable[tuple]) -> list[dict]:
    """What `meta` keeps of the changes of a run: [{"step", "changed": {key: [was, is]}}, ...], these the last."""
    changed = {key: [was, now] for key, was, now in changed}
    entries = list(meta.get("history", []))
    return [*entries, {"step": meta["step"], "changed": changed}] if changed else entries


def with_new_keys(saved: Mapping, where: str) -> dict:
    """A saved config with the keys that configs/base.py has since got, as it has them; a line says which.

    UserError if a value is of another kind than today's: the key has another meaning.
    """
    defaults, known = _leaves(json.loads(base.get_config().to_json())), _leaves(saved)
    missing = {key: value for key, value in defaults.items() if key not in known}
    for key in sorted(defaults.keys() & known.keys()):
        if _kind(defaults[key]) != _kind(known[key]):
            raise UserError(
                f"{where}: its config is of another version of dima_jax ({key} is {known[key]!r}, would be like "
                f"{defaults[key]!r} today); train or convert it again, or use that version"
            )
    filled = json.loads(json.dumps(saved))
    for key, value in missing.items():
        *groups, name = key.split(".")
        group = filled
        for part in groups:
            group = group.setdefault(part, {})
        group[name] = value
    if missing:
        values = ", ".join(f"{key}={value!r}" for key, value in missing.items())
        print_once(f"{where}: its config has no {values}: taken from configs/base.py, which has got them since")
    return filled


@functools.cache
def print_once(line: str) -> None:
    """Prints a line, the first time: one command reads a checkpoint several times."""
    print(line)


def _leaves(config: Mapping, prefix: str = "") -> dict:
    leaves = {}
    for key, value in config.items():
        leaves |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves


def _kind(value) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def _is_below(key: str, groups: Iterable[str]) -> bool:
    return any(key == group or key.startswith(group + ".") for group in groups)
