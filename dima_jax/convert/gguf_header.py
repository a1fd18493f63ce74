"""Checks the header of a GGUF file before the `gguf` package reads it, which trusts every number in it.

A header is a magic word, a version, two counts, then the fields (name, type, value) and the tensors (name, dimensions,
type, offset). Here each count is held against the size of the file, so a damaged one costs no time and no memory, and
the tensors must follow each other as llama.cpp wants them: each where the one before ends, the last at the file's end.
Source: https://github.com/ggml-org/ggml, "GGUF" in its documentation
"""

import math
import struct
from pathlib import Path
from typing import BinaryIO

from dima_jax.errors import UserError

MAGIC = b"GGUF"
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of a number by its type
UINT32, STRING, ARRAY = 4, 8, 9
MAX_DIMENSIONS = 4
ALIGNMENT = 32  # bytes, unless the field below says otherwise
ALIGNMENT_FIELD = b"general.alignment"


def check(path: Path) -> None:
    """Raises UserError when a file is absent, no GGUF, or its counts, lengths and tensors do not fit into it."""
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
        self.file, self.size, self.alignment = file, size, ALIGNMENT

    def check(self) -> None:
        if self.file.read(4) != MAGIC:
            raise ValueError("its first bytes are not GGUF")
        version = self.number("<I")
        if version not in (2, 3):
            raise ValueError(f"version {version} is unknown" if version & 0xFFFF else "it is big-endian")
        tensors, fields = self.number("<Q"), self.number("<Q")
        names = set()
        for _ in range(self.count(fields, 13)):
            name = self.name(names)
            kind = self.number("<I")
            if name == ALIGNMENT_FIELD:
                self.read_alignment(kind)
            else:
                self.value(kind)
        names = set()
        spans = [self.tensor(names) for _ in range(self.count(tensors, 24))]
        self.check_spans(spans)

    def check_spans(self, spans: list[tuple[int, int]]) -> None:
        """spans: (offset, bytes) of the tensors, in the order of the header."""
        end = self.aligned(self.file.tell())
        start = end
        for offset, length in spans:
            if start + offset != self.aligned(end):
                raise ValueError(f"a tensor begins at byte {start + offset}, not {self.aligned(end)}")
            end = start + offset + length
        if spans and not end <= self.size <= self.aligned(end):
            raise ValueError(f"its tensors end at byte {end} of {self.size}")

    def tensor(self, names: set[bytes]) -> tuple[int, int]:
        """(offset, bytes) of the next tensor."""
        from gguf.constants import GGML_QUANT_SIZES

        name = self.name(names)
        dimensions = self.number("<I")
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise ValueError(f"{name!r} has {dimensions} dimensions")
        shape = [self.number("<Q") for _ in range(dimensions)]
        kind = self.number("<I")
        if kind not in GGML_QUANT_SIZES:
            raise ValueError(f"{name!r} is of an unknown type, {kind}")
        block, length = GGML_QUANT_SIZES[kind]
        if shape[0] % block:
            raise ValueError(f"{name!r} has rows of {shape[0]} numbers, which are stored in blocks of {block}")
        return self.number("<Q"), math.prod(shape) // block * length

    def aligned(self, at: int) -> int:
        return -(-at // self.alignment) * self.alignment

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

    def name(self, others: set[bytes]) -> bytes:
        """A name that is none of the others, to which it is added."""
        name = self.file.read(self.count(self.number("<Q"), 1))
        name.decode()
        if name in others:
            raise ValueError(f"{name!r} is there twice")
        others.add(name)
        return name

    def read_alignment(self, kind: int) -> None:
        self.alignment = self.number("<I") if kind == UINT32 else 0
        if self.alignment <= 0 or self.alignment & (self.alignment - 1):
            raise ValueError("its alignment is no power of two")

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
