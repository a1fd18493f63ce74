"""Which files of a Hugging Face folder hold the weights, and their tensors, not read yet.

A folder may hold the same weights more than once, in several formats and under other names. As in transformers an
index.json says which shards belong to the model, safetensors come before `.bin` files, and all other files are ignored.
"""

import itertools
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dima_jax.convert import safetensors_files, torch_file
from dima_jax.errors import UserError

SHARD = re.compile(r".*-(\d+)-of-(\d+)\.\w+")


class Stored(NamedTuple):
    """A tensor in a file: its shape, and `read()`, which gives it in the file's dtype."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


def index(folder: Path) -> dict[str, Stored]:
    """{key: tensor} of the model in a folder.

    Raises UserError when there is none, the index names a file or a key that is not there, a file is cut short, or two
    files hold the same key.
    """
    files, keys = _weight_files(folder)
    found: dict[str, Stored] = {}
    owner: dict[str, Path] = {}
    for file in files:
        for key, stored in _tensors(file).items():
            if keys.get(key, file.name) != file.name:
                continue  # the index takes it from another shard
            if key in found:
                raise UserError(f"{file}: {key} is also in {owner[key].name}; remove one of the files")
            found[key], owner[key] = stored, file
    for key, name in keys.items():
        if key not in found:
            raise UserError(f"{folder / name}: has no {key}, which the index.json expects there; fetch it again")
    return found


def _tensors(file: Path) -> dict[str, Stored]:
    if file.suffix == ".safetensors":
        tensors = safetensors_files.index(file.parent, [file])
        return {key: Stored(stored.shape, stored.read) for key, stored in tensors.items()}
    return {
        key: Stored(stored.shape, partial(torch_file.read, file, key, stored))
        for key, stored in torch_file.index(file).items()
    }


def _weight_files(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """(the files, {key: name of its file} where an index.json says so)."""
    for stem, suffix in (("model", "safetensors"), ("pytorch_model", "bin")):
        listed = folder / f"{stem}.{suffix}.index.json"
        if listed.is_file():
            keys = _read_index(listed, suffix)
            return [folder / name for name in sorted(set(keys.values()))], keys
        if (folder / f"{stem}.{suffix}").is_file():
            return [folder / f"{stem}.{suffix}"], {}
        if shards := sorted(folder.glob(f"{stem}-*.{suffix}")):
            _check_whole(shards)
            return shards, {}
    if files := sorted(folder.glob("*.safetensors")):  # under a name of its own
        return files, {}
    hint = " (adapter_config.json: an adapter alone; merge it into its base model first)"
    raise UserError(
        f"{folder}: holds no *.safetensors and no pytorch_model*.bin{hint if (folder / 'adapter_config.json').is_file() else ''}; "
        "give the folder of a Hugging Face model"
    )


def _read_index(path: Path, suffix: str) -> dict[str, str]:
    try:
        keys = json.loads(path.read_text())["weight_map"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: is no index of weights (no JSON with a weight_map); fetch it again") from error
    if not isinstance(keys, dict) or not keys:
        raise UserError(f"{path}: its weight_map is not a table of keys and files; fetch it again")
    for key, name in keys.items():
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(f".{suffix}"):
            raise UserError(f"{path}: {key} is in {name!r}, which is not the name of a .{suffix} file beside it")
        if not (path.parent / name).is_file():
            raise UserError(f"{path}: {key} is in {name}, which is not there; fetch the missing file")
    return keys


def _check_whole(shards: list[Path]) -> None:
    """UserError if shards that are numbered 1 to n lack one."""
    matches = [SHARD.fullmatch(file.name) for file in shards]
    if all(matches):
        numbers, total = {int(match[1]) for match in matches}, int(matches[0][2])
        missing = next(i for i in itertools.count(1) if i not in numbers)
        if missing <= total:
            raise UserError(f"{shards[0].parent}: shard {missing} of {total} is missing; fetch it")
