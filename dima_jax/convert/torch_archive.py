"""A file of torch.save as the object in it, its tensors unread, without torch and without running anything.

Such a file is a pickle beside raw numbers: a zip since torch 1.6, one stream before (torchvision's older ResNets). The
pickle is read by `torch_pickle.py`. The parts of a zip carry checksums, which are compared; the older format has none.
"""

import math
import mmap
import struct
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

from dima_jax.convert import torch_pickle
from dima_jax.convert.torch_pickle import Foreign
from dima_jax.errors import UserError

LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
DAMAGED = (  # what reading a damaged file raises
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
)


class Storage:
    """A flat run of numbers somewhere in the file; `read()` gives it."""

    def __init__(self, dtype: np.dtype, size: int, read: Callable[[], np.ndarray]):
        self.dtype, self.size, self.read = dtype, size, read


class Tensor(NamedTuple):
    """A view of a storage, in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of_number(cls, number: np.generic) -> "Tensor":
        """A number of numpy as a tensor without axes."""
        flat = np.array([number])
        return cls(Storage(flat.dtype, 1, lambda: flat), 0, (), ())

    def numpy(self) -> np.ndarray:
        """The array, read-only. Storages that several tensors share are read once while an array of theirs lives."""
        numbers = (self.offset, *self.shape, *self.strides)
        if not all(type(n) is int and n >= 0 for n in numbers) or len(self.shape) != len(self.strides):
            raise ValueError("a tensor's shape is none")
        size = self.storage.size
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if 0 in self.shape:
            return np.empty(self.shape, self.storage.dtype)
        if last >= size or math.prod(self.shape) > size:
            raise ValueError("a tensor reaches beyond its storage")
        flat = self.storage.read()
        strides = [step * flat.itemsize for step in self.strides]
        return np.ndarray(self.shape, flat.dtype, flat, self.offset * flat.itemsize, strides)


def detail(error: Exception) -> str:
    """What is said of an error in DAMAGED."""
    return str(error) or type(error).__name__


def load(file: Path):
    """The object of the file; a zip stays open as long as a tensor of it is known.

    Tensors are `Tensor`, numpy's numbers themselves, what is neither known nor plain `Foreign`. Raises UserError for a
    file that is absent, damaged or not of torch.
    """
    if not file.is_file():
        what = "is a folder; give the .pth file in it" if file.is_dir() else "no such file"
        raise UserError(f"{file}: {what}")
    try:
        if zipfile.is_zipfile(file):
            return _open_zip(file)
        with open(file, "rb") as stream:
            return _open_legacy(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except DAMAGED as error:
        raise UserError(
            f"{file} is damaged, or was not written by torch.save ({detail(error)}); fetch it again"
        ) from None


def _open_zip(file: Path):
    archive = zipfile.ZipFile(file)
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size for entry in entries):
        raise ValueError("its parts are compressed, which torch.save does not do")
    if sum(entry.file_size for entry in entries) > file.stat().st_size:
        raise ValueError("its parts are larger than the file")
    pickles = [entry.filename for entry in entries if entry.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError(f"{len(pickles)} files data.pkl in it")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
        raise UserError(f"{file} is big-endian; save it again on an ordinary machine")
    return _unpickle(archive.read(pickles[0]), 0, lambda key: lambda: archive.read(f"{folder}data/{key}"))[0]


def _open_legacy(data: mmap.mmap):
    """Four pickles (magic, protocol, system, object), the storages' keys, then each storage: its length and numbers."""
    places: dict[str, slice] = {}
    storages: dict[str, Storage] = {}
    magic, at = _unpickle(data, 0)
    protocol, at = _unpickle(data, at)
    if magic != LEGACY_MAGIC or protocol != LEGACY_PROTOCOL:
        raise ValueError("its first bytes are not those of torch.save")
    _, at = _unpickle(data, at)
    found, at = _unpickle(data, at, lambda key: lambda: data[places[key]], storages)
    keys, at = _unpickle(data, at)
    for key in keys:
        (length,) = struct.unpack_from("<q", data, at)
        end = at + 8 + storages[key].size * storages[key].dtype.itemsize
        if length != storages[key].size or end > len(data):
            raise ValueError(f"storage {key} has {length} numbers, not {storages[key].size}, or is cut short")
        places[key], at = slice(at + 8, end), end
    return found


def _unpickle(data, start: int, content: Callable | None = None, storages: dict | None = None) -> tuple:
    """(object, end) of the pickle at byte `start`. content: key of a storage to a function that gives its bytes.

    storages: where they are put by key.
    """
    storages = {} if storages is None else storages
    reader = _Reader()

    def persistent(identity):
        kind, dtype, key, _, size, *views = identity
        if kind != "storage" or content is None or type(key) is not str or type(size) is not int or size < 0:
            raise ValueError("an object outside the pickle that is no storage")
        if any(view is not None for view in views):
            raise ValueError("a storage that is a part of another")
        if not isinstance(dtype, np.dtype):
            return Foreign(f"a tensor of {getattr(dtype, 'name', 'an unknown kind')}")
        known = storages.setdefault(key, Storage(dtype, size, reader(content(key), key, dtype, size)))
        if (known.dtype, known.size) != (dtype, size):
            raise ValueError(f"storage {key} is described in two ways")
        return known

    return torch_pickle.load(data, start, KNOWN, persistent)


class _Reader:
    """Reads storages; one that is still in use somewhere, and the last one, are not read again."""

    def __init__(self):
        self._used: weakref.WeakValueDictionary[str, np.ndarray] = weakref.WeakValueDictionary()
        self._last: np.ndarray | None = None

    def __call__(self, content: Callable[[], bytes], key: str, dtype: np.dtype, size: int) -> Callable:
        def read() -> np.ndarray:
            flat = self._used.get(key)
            if flat is None:
                raw = content()
                if len(raw) != size * dtype.itemsize:
                    raise ValueError(f"a storage has {len(raw)} bytes, not {size * dtype.itemsize}")
                flat = self._used[key] = np.frombuffer(raw, dtype)
            self._last = flat
            return flat

        return read


class _NumpyDtype:
    """`numpy.dtype` of a number: its name, and the byte order that follows as its state."""

    def __init__(self, name: str):
        self.dtype = np.dtype(name)

    def set_state(self, state) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


def _numpy_dtype(name: str, *_) -> _NumpyDtype | Foreign:
    return _NumpyDtype(name) if name in NUMPY_NUMBERS else Foreign("a numpy object")


def _numpy_scalar(dtype: _NumpyDtype | Foreign, content: bytes) -> np.generic | Foreign:
    return dtype if isinstance(dtype, Foreign) else np.frombuffer(content, dtype.dtype, 1)[0]


def _tensor(storage, offset: int, shape: Iterable[int], strides: Iterable[int], *_) -> Tensor | Foreign:
    return storage if isinstance(storage, Foreign) else Tensor(storage, offset, tuple(shape), tuple(strides))


def _first(value, *_):
    return value


def _latin1(text: str, encoding: str, *_) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"bytes in {encoding}")
    return text.encode("latin1")


NUMPY_NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")  # before and since numpy 2
KNOWN = {
    ("collections", "OrderedDict"): torch_pickle.as_dict,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _first,
    ("torch._utils", "_rebuild_parameter_with_state"): _first,
    ("numpy", "dtype"): _numpy_dtype,
    ("_codecs", "encode"): _latin1,  # bytes in protocol 2
    **{(module, "scalar"): _numpy_scalar for module in NUMPY},
    **{("torch", name): np.dtype(dtype) for name, dtype in STORAGES.items()},
}
