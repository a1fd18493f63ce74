"""Reads pickles of plain values, numpy arrays and torch tensors, as other planners' results come, and runs nothing in them.

A tensor in a pickle is a view of a storage; the storage is a file of its own, as torch.save wrote it before 1.6, in the
bytes that the pickle holds: three pickles (magic, protocol, system), one of the storage, its key, a length, the numbers.
"""

import math
import re
import struct
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from jaxtyping import Shaped

from dima_jax.convert import torch_pickle
from dima_jax.errors import UserError

MOST_STEPS = 20_000_000
MOST_BYTES = 2 * 2**30
DEEPEST = 50  # containers in containers
DAMAGE = (ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError, struct.error)


def read(path: str | Path) -> Any:
    """The object of a pickle file: dicts, lists, tuples, texts, numbers, arrays of numbers or texts, tensors as arrays.

    Anything else in it becomes a `torch_pickle.Foreign`, which is only a name. Raises UserError for a file that cannot
    be read, is larger than 2 GiB or is no such pickle.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path} is larger than {MOST_BYTES >> 30} GiB; give a file of plans alone")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give a pickle file") from None
    try:
        storages = {}
        known = KNOWN | {("torch.storage", "_load_from_bytes"): lambda data: storages.setdefault(data, _Storage(data))}
        found, _ = torch_pickle.load(content, 0, known, _persistent, MOST_STEPS)
        return _plain(found, {}, 0)
    except DAMAGE as error:
        why = " ".join(str(error).split())[:100] or type(error).__name__
        raise UserError(f"{path} is no pickle of plain values and arrays, or is damaged ({why})") from None


class _Dtype:
    def __init__(self, name: str, *_: Any):
        if not re.fullmatch(r"[biufSU]\d{1,6}", name):
            raise ValueError(f"an array of {name[:20]!r}")
        self.dtype = np.dtype(name)

    def set_state(self, state: tuple) -> None:
        if state[3] is not None or state[4] is not None:
            raise ValueError("an array of records")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array that is being read; `value` is None until its state is known."""

    def __init__(self, *_: Any):
        self.value = None

    def set_state(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        self.value = _array(data, dtype, shape, "F" if is_fortran else "C")


def _array(data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> Shaped[np.ndarray, "..."]:
    if math.prod(shape) * dtype.dtype.itemsize != len(data):
        raise ValueError(f"an array {shape} of {dtype.dtype} in {len(data)} bytes")
    return np.frombuffer(data, dtype.dtype).reshape(shape, order=order)


def _from_buffer(data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    result = _Array()
    result.value = _array(data, dtype, shape, order)
    return result


def _scalar(dtype: _Dtype, data: bytes) -> np.generic:
    return _array(data, dtype, (), "C")[()]


def _encoded(text: str, encoding: str) -> bytes:
    """Bytes in protocol 2."""
    if encoding != "latin1":
        raise ValueError(f"bytes as {encoding[:20]!r}")
    return text.encode("latin1")


class _Storage:
    """The numbers of tensors, in the bytes of torch.save; they are looked at when a tensor is."""

    def __init__(self, data: Any):
        if type(data) is not bytes:
            raise ValueError("a storage that is no bytes")
        self._data = data

    @cached_property
    def numbers(self) -> Shaped[np.ndarray, " size"] | torch_pickle.Foreign:
        """A `Foreign` for a kind of number that numpy does not have."""
        at = 0
        for expected in (MAGIC, PROTOCOL, None):  # of the system nothing is needed: all are little-endian
            found, at = torch_pickle.load(self._data, at, {}, _persistent, STORAGE_STEPS)
            if expected not in (None, found):
                raise ValueError("a tensor's numbers are not those of torch.save")
        kind, at = torch_pickle.load(self._data, at, STORAGES, lambda identity: identity, STORAGE_STEPS)
        _, at = torch_pickle.load(self._data, at, {}, _persistent, STORAGE_STEPS)
        if not (isinstance(kind, tuple) and len(kind) >= 5 and kind[0] == "storage" and type(kind[4]) is int):
            raise ValueError("a tensor without a storage")
        if not isinstance(kind[1], np.dtype):
            return torch_pickle.Foreign(f"a tensor of {getattr(kind[1], 'name', 'an unknown kind')}")
        (length,) = struct.unpack_from("<q", self._data, at)
        if length != kind[4] or len(self._data) != at + 8 + length * kind[1].itemsize:
            raise ValueError(f"a tensor's {kind[4]} numbers in {len(self._data) - at} bytes")
        return np.frombuffer(self._data, kind[1], offset=at + 8)


class _Tensor(NamedTuple):
    """A view of a storage, in numbers of it."""

    storage: Any
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> Shaped[np.ndarray, "..."] | torch_pickle.Foreign:
        """Read-only, without a copy."""
        flat = self.storage.numbers if isinstance(self.storage, _Storage) else torch_pickle.Foreign("a tensor")
        if isinstance(flat, torch_pickle.Foreign):
            return flat
        sizes = (self.offset, *self.shape, *self.strides)
        if not all(type(n) is int and 0 <= n < 2**31 for n in sizes) or len(self.shape) != len(self.strides):
            raise ValueError("a tensor's shape is none")
        if 0 in self.shape:
            return np.empty(self.shape, flat.dtype)
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if last >= len(flat) or math.prod(self.shape) >= 2**31:
            raise ValueError("a tensor reaches beyond its storage")
        strides = [step * flat.itemsize for step in self.strides]
        return np.ndarray(self.shape, flat.dtype, flat, self.offset * flat.itemsize, strides)


def _tensor(storage: Any, offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _persistent(identity: Any) -> NoReturn:
    raise ValueError("a reference to something outside of the file")


def _plain(value: Any, done: dict[int, Any], depth: int) -> Any:
    """The value with its arrays in place; what it holds twice is visited once."""
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, _Tensor):
        return value.array()
    if not isinstance(value, (dict, list, tuple)):
        return value
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} containers in one another")
    if id(value) not in done:
        if isinstance(value, dict):
            done[id(value)] = {key: _plain(item, done, depth + 1) for key, item in value.items()}
        else:
            done[id(value)] = type(value)(_plain(item, done, depth + 1) for item in value)
    return done[id(value)]


MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGE_STEPS = 1000  # of each pickle in a storage: some 50
STORAGES = {
    ("torch", f"{name}Storage"): np.dtype(kind)
    for name, kind in {
        **dict(Double="f8", Float="f4", Half="f2"),
        **dict(Long="i8", Int="i4", Short="i2", Char="i1", Byte="u1", Bool="?"),
    }.items()
}
KNOWN = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("collections", "OrderedDict"): torch_pickle.as_dict,
    ("_codecs", "encode"): _encoded,
    ("__builtin__", "bytes"): lambda: b"",  # no bytes, in protocol 2
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}
