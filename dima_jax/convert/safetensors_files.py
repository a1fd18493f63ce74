"""Tensors of a safetensors checkpoint, single or sharded: nothing is read until it is asked for, and no file is mapped,
because mapped pages count as the reader's memory until the map is gone.

The format: 8 bytes little-endian length of the header, the JSON header {key: dtype, shape, data_offsets}, the data,
which the tensors fill without gap and without overlap.
Source: https://github.com/huggingface/safetensors (README, "Format"); the package's numpy loader has no bfloat16.
"""

import json
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

from dima_jax.errors import UserError

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}
LONGEST_HEADER = 2**23  # bytes: that of a LLaMA has some 30 thousand, and JSON takes a hundred times its size to read
REMEDY = "fetch it again"


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
        return np.fromfile(self.file, DTYPES[self.dtype], math.prod(self.shape), offset=self.offset).reshape(self.shape)


def index(folder: Path, files: Sequence[Path] | None = None) -> dict[str, Stored]:
    """{key: where it is} of these files, by default of every *.safetensors in a folder.

    Raises UserError when there is none, a file is damaged, or two files hold the same key.
    """
    files = sorted(folder.glob("*.safetensors")) if files is None else files
    if not files:
        raise UserError(f"{folder}: holds no *.safetensors; give the folder of a Hugging Face model")
    found: dict[str, Stored] = {}
    for file in files:
        for key, stored in header(file).items():
            if key in found:
                raise UserError(f"{file}: {key} is also in {found[key].file.name}; remove one of the files")
            found[key] = stored
    return found


def header(file: Path) -> dict[str, Stored]:
    """{key: where it is} of one file. Raises UserError unless the tensors fill the file as the format says."""
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, 2)
            opened.seek(0)
            start = opened.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
            if 8 + length > size or length > LONGEST_HEADER:
                raise UserError(f"{file}: not a safetensors file, or cut short; {REMEDY}")
            entries = json.loads(opened.read(length), object_pairs_hook=_without_repeats)
        entries.pop("__metadata__", None)
        spans = {key: _span(entry, size - 8 - length) for key, entry in entries.items()}
        end = 0
        for key, (begin, stop) in sorted(spans.items(), key=lambda item: item[1]):
            if begin != end:
                raise ValueError(f"{key!r} begins at {begin}, the tensor before it ends at {end}")
            end = stop
        if end != size - 8 - length:
            raise ValueError(f"its tensors fill {end} of {size - 8 - length} bytes")
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; {REMEDY}") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{file}: its header is damaged, or it is no safetensors file ({error}); {REMEDY}") from None
    return {
        key: Stored(file, 8 + length + spans[key][0], entry["dtype"], tuple(entry["shape"]))
        for key, entry in entries.items()
    }


def _span(entry: dict, size: int) -> tuple[int, int]:
    """The bytes of a tensor, [begin, end). Raises ValueError where they do not fit its shape or the data."""
    begin, end = entry["data_offsets"]
    if not all(type(n) is int and n >= 0 for n in (begin, end, *entry["shape"])) or not begin <= end <= size:
        raise ValueError(f"shape {entry['shape']} at bytes {begin} to {end} of {size}: cut short, or no shape")
    dtype = DTYPES.get(entry["dtype"])
    if dtype is not None and math.prod(entry["shape"]) * np.dtype(dtype).itemsize != end - begin:
        raise ValueError(f"shape {entry['shape']} of {entry['dtype']} in {end - begin} bytes")
    return begin, end


def _without_repeats(pairs: list) -> dict:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("it names something twice")
    return dict(pairs)
