"""Checks the header of a GGUF file before the `gguf` package reads it, which trusts every number in it.

A header is a magic word, a version, two counts, then the fields (name, type, value) and the tensors (name, dimensions,
type, offset). Here each count is held against the size of the file, so a damaged one costs no time and no memory.
Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from pathlib import Path
from typing import BinaryIO

from dima_jax.errors import UserError

MAGIC = b"GGUF"
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of a number by its type
STRING, ARRAY = 8, 9
MAX_DIMENSIONS = 4


def check(path: Path) -> None:
    """Raises UserError when a file is absent, no GGUF, or its counts and lengths do not fit into it."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            _Header(file, size).check()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give a .gguf file that can be read") from error
    except (ValueError, struct.error) as error:
        raise UserError(f"{path}: cannot be read as GGUF ({error}); fetch it again") from error


class _Header:
    def __init__(self, file: BinaryIO, size: int):
        self.file, self.size = file, size

    def check(self) -> None:
        if self.file.read(4) != MAGIC:
            raise ValueError("its first bytes are not GGUF")
        version = self.number("<I")
        if version not in (2, 3):
            raise ValueError(f"version {version} is unknown" if version & 0xFFFF else "it is big-endian")
        tensors, fields = self.number("<Q"), self.number("<Q")
        for _ in range(self.count(fields, 13)):
            self.text()
            self.value(self.number("<I"))
        for _ in range(self.count(tensors, 24)):
            self.text()
            dimensions = self.number("<I")
            if dimensions > MAX_DIMENSIONS:
                raise ValueError(f"a tensor of {dimensions} dimensions")
            self.skip(8 * dimensions + 4)
            if self.number("<Q") > self.size:
                raise ValueError("a tensor lies beyond the end of the file")

    def number(self, form: str) -> int:
        return struct.unpack(form, self.file.read(struct.calcsize(form)))[0]

    def count(self, count: int, least: int) -> int:
        """A number of things of at least `least` bytes each, which must fit into the rest of the file."""
        if count * least > self.size - self.file.tell():
            raise ValueError(f"cut short, or a count is damaged: {count}")
        return count

    def skip(self, length: int) -> None:
        self.file.seek(self.count(length, 1), 1)

    def text(self) -> None:
        self.skip(self.number("<Q"))

    def value(self, kind: int, nested: bool = False) -> None:
        if kind in SIZES:
            self.skip(SIZES[kind])
        elif kind == STRING:
            self.text()
        elif kind == ARRAY and not nested:
            kind, length = self.number("<I"), self.number("<Q")
            if kind in SIZES:
                self.skip(length * SIZES[kind])
            else:
                for _ in range(self.count(length, 8)):
                    self.value(kind, nested=True)
        else:
            raise ValueError(f"a value of an unknown type, {kind}")
