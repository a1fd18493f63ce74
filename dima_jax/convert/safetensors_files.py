"""Tensors of a safetensors checkpoint, single or sharded: nothing is read until it is asked for, and no file is mapped,
because mapped pages count as the reader's memory until the map is gone.

The format: 8 bytes little-endian length of the header, the JSON header {key: dtype, shape, data_offsets}, the data.
Source: https://github.com/huggingface/safetensors (README, "Format"); the package's numpy loader has no bfloat16.
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

from dima_jax.errors import UserError

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}


class Stored(NamedTuple):
    """Where a tensor lies: file, byte offset, dtype name, shape."""

    file: Path
    offset: int
    dtype: str
    shape: tuple[int, ...]

    def read(self) -> np.ndarray:
        """The tensor, in memory of its own. Raises UserError for a dtype that no LLaMA has."""
        if self.dtype not in DTYPES:
            raise UserError(f"{self.file}: dtype {self.dtype} is not supported; export the model in F32, F16 or BF16")
        count = int(np.prod(self.shape))
        return np.fromfile(self.file, DTYPES[self.dtype], count, offset=self.offset).reshape(self.shape)


def index(folder: Path, files: Sequence[Path] | None = None) -> dict[str, Stored]:
    """{key: where it is} of these files, by default of every *.safetensors in a folder.

    Raises UserError when there is none, a file is cut short, or two files hold the same key.
    """
    files = sorted(folder.glob("*.safetensors")) if files is None else files
    if not files:
        raise UserError(f"{folder}: holds no *.safetensors; give the folder of a Hugging Face model")
    found: dict[str, Stored] = {}
    for file in files:
        for key, stored in _header(file).items():
            if key in found:
                raise UserError(f"{file}: {key} is also in {found[key].file.name}; remove one of the files")
            found[key] = stored
    return found


def _header(file: Path) -> dict[str, Stored]:
    size = file.stat().st_size
    with file.open("rb") as opened:
        start = opened.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if 8 + length > size:
            raise UserError(f"{file}: not a safetensors file, or cut short; fetch it again")
        header = json.loads(opened.read(length))
    stored = {}
    for key, entry in header.items():
        if key == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        if 8 + length + end > size:
            raise UserError(f"{file}: cut short at {key}; fetch it again")
        stored[key] = Stored(file, 8 + length + begin, entry["dtype"], tuple(entry["shape"]))
    return stored
