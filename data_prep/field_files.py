"""Opens the files that other projects publish: JSON, JSON with gzip, and pickles of plain values."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from dima_jax.errors import UserError
from dima_jax.scoring import pickles

LONGEST_NAME = 100  # characters
MOST_BYTES = 2 * 2**30  # of a file without its compression


def read(file: str) -> Any:
    """The content of a .json, .json.gz or .pkl file. UserError for one that is none of them, or is damaged."""
    path = Path(file)
    if path.suffix in (".pkl", ".pickle"):
        return pickles.read(path)
    if not path.name.endswith((".json", ".json.gz")):
        raise UserError(f"{file}: must be a .json, .json.gz or .pkl file; unpack it first if it is a .pkl.gz")
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as opened:
            content = opened.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"larger than {MOST_BYTES >> 30} GiB")
        return json.loads(content, object_pairs_hook=_once)
    except (EOFError, ValueError, RecursionError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{file}: is no JSON file, or is damaged ({' '.join(str(error).split())[:100]})") from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}; give a file that can be read") from None


def is_name(value: Any) -> bool:
    """Whether it can be a token or the name of a scene: a text of one line."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable()


def refuse(file: str, token: str, problem: str) -> UserError:
    """The error of one frame."""
    return UserError(f"{file}: sample {token:.40}: {problem}")


def numbers(file: str, token: str, name: str, value: Any) -> np.ndarray:
    """A list, number or array of a file as float64. UserError for anything else."""
    try:
        if not isinstance(value, (list, tuple, int, float, np.ndarray, np.number)):
            raise TypeError
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" and array.size:
            raise TypeError
        return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        kind = getattr(value, "name", type(value).__name__)
        raise refuse(file, token, f"{name} is not an array of numbers ({kind})") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)[:40]!r} is there twice")
    return found
