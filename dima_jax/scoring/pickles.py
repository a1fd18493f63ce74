"""Reads pickles of plain values and numpy arrays, as other planners' results come, without running anything in them."""

import math
import re
import struct
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Shaped

from dima_jax.convert import torch_pickle
from dima_jax.errors import UserError

MOST_STEPS = 20_000_000
MOST_BYTES = 2 * 2**30
DEEPEST = 50  # containers in containers
DAMAGE = (ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError, struct.error)


def read(path: str | Path) -> Any:
    """The object of a pickle file: dicts, lists, tuples, texts, numbers and numpy arrays of numbers or texts.

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
        found, _ = torch_pickle.load(content, 0, KNOWN, _persistent, MOST_STEPS)
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


def _persistent(identity: Any) -> NoReturn:
    raise ValueError("a reference to something outside of the file")


def _plain(value: Any, done: dict[int, Any], depth: int) -> Any:
    """The value with its arrays in place; what it holds twice is visited once."""
    if isinstance(value, _Array):
        return value.value
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


KNOWN = {
    ("collections", "OrderedDict"): torch_pickle.as_dict,
    ("_codecs", "encode"): _encoded,
    ("__builtin__", "bytes"): lambda: b"",  # no bytes, in protocol 2
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}
