"""Files of arrays that scoring reads and writes: npz without pickles, with a header of strict JSON and a content hash.

The header is the 0-d array `header`; `format` and `version` in it say what the other arrays are. Equal arrays and equal
headers give equal bytes: keys are sorted, and numpy writes no dates.
"""

import hashlib
import io
import json
import lzma
import struct
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from dima_jax.errors import UserError
from dima_jax.output_files import json_text, new_file

Arrays = dict[str, Shaped[np.ndarray, "..."]]
HEADER = "header"
# What zipfile and numpy raise for files that are not what they seem.
DAMAGE = (
    ValueError,
    LookupError,
    TypeError,
    SyntaxError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)


class DamagedFile(UserError):
    """A file that is not what was written: it can only be made again."""


def content_hash(arrays: Arrays) -> str:
    """16 hexadecimal digits of the SHA-256 of every array: its key, dtype, shape and bytes, keys sorted."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        digest.update(f"{key} {arrays[key].dtype.str} {arrays[key].shape}\n".encode())
        digest.update(arrays[key].tobytes())
    return digest.hexdigest()[:16]


def write(path: str | Path, arrays: Arrays, header: dict) -> None:
    """Writes the arrays with the header, which has `format` and `version`, and `content_hash` from here.

    Folders are made; the file appears when it is whole, or stays what it was. UserError where it cannot be written.
    """
    header = header | {"content_hash": content_hash(arrays)}
    whole = {HEADER: np.array(json_text(header, sort_keys=True))}
    whole |= {key: np.asarray(arrays[key], order="C") for key in sorted(arrays)}
    with new_file(path) as part, part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **whole)


def read(path: str | Path, file_format: str, version: int) -> tuple[Arrays, dict]:
    """(arrays by key, header) of a file of this format, of this version or an earlier one.

    Raises UserError for a file that cannot be read, is of another format or of a later version, and DamagedFile for a
    checksum of the zip file or, where the header has one, the content hash that does not fit.
    """
    arrays = members(Path(path), file_format)
    try:
        header = json.loads(arrays.pop(HEADER).item())
        found, number = header["format"], header["version"]
    except DAMAGE:
        raise DamagedFile(f"{path} has no header that can be read; give a file of the format {file_format}") from None
    if found != file_format or type(number) is not int:
        raise UserError(f"{path} is of the format {found!r:.60}; give a file of the format {file_format}")
    if number > version:
        raise UserError(
            f"{path} is of version {number} of the format {file_format}, this code reads up to {version}; "
            "update dima_jax or make the file again"
        )
    if "content_hash" in header and header["content_hash"] != content_hash(arrays):
        raise DamagedFile(f"{path} is damaged: its arrays are not those that were written; make it again")
    return arrays, header


def members(path: Path, file_format: str) -> Arrays:
    """Every array of an npz file. Bytes are read whole, and so checked, before numpy looks at them.

    UserError for a file that is none, is damaged, or holds a name twice. file_format: what it should have been.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            content = {name.removesuffix(".npy"): archive.read(name) for name in names}
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; give a file of the format {file_format}") from None
    except DAMAGE as error:
        raise DamagedFile(f"{path} is no npz file or is damaged ({_line(error)}); make it again") from None
    if len(content) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise DamagedFile(f"{path} holds {twice.removesuffix('.npy')[:60]!r} twice; make it again")
    arrays = {}
    for key, data in content.items():
        try:
            arrays[key] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
        except DAMAGE as error:
            raise DamagedFile(
                f"{path}: {key[:60]!r} is no array of numbers or texts ({_line(error)}); make it again"
            ) from None
    return arrays


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
