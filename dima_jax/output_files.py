"""Files that commands write for machines: strict JSON, and file names made of names that come from data."""

import contextlib
import json
import math
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from dima_jax.errors import UserError

LONGEST_NAME = (
    60  # characters of a file name that come from data: with suffixes less than the 255 bytes of a file system
)


def json_text(content, *, indent: int | None = None, sort_keys: bool = False) -> str:
    """Strict JSON (RFC 8259): a number that is not finite is `null`, an array a list, a numpy number a number."""
    return json.dumps(_strict(content), allow_nan=False, indent=indent, sort_keys=sort_keys)


def check_place(path: str | Path) -> None:
    """UserError where a file cannot be written; to be asked before the work that makes its content."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a file, e.g. {path / 'result'}")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"{path}: {folder} cannot be written; give a file in a folder that can be written")


def write_json(path: str | Path, content, *, indent: int | None = 1, sort_keys: bool = False) -> None:
    """Writes `json_text(content)` as a `new_file`."""
    with new_file(path) as part:
        part.write_text(json_text(content, indent=indent, sort_keys=sort_keys) + "\n")


@contextlib.contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """A file beside `path` to write, renamed to it at the end: it appears when it is whole, or stays what it was.

    Folders are made. Raises UserError where it cannot be written.
    """
    path = Path(path)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give a file in a folder that can be written") from None


def file_name(name: str) -> str:
    """A name from data as the name of a file in the folder where it is wanted, never one elsewhere.

    Letters, digits, "_", "-" and inner dots stay; anything else, and what is too long, is replaced, and a checksum added
    so that different names stay different.
    """
    plain = re.sub(r"[^\w.-]|^\.+", "_", name)[:LONGEST_NAME]
    return plain if plain == name and name else f"{plain}-{zlib.crc32(name.encode(errors='replace')):08x}"


def _strict(value):
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    if hasattr(value, "tolist"):  # numpy's and JAX's numbers and arrays
        return _strict(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
