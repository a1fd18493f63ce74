"""Reads `.pth` files without torch, and without running anything that is in them.

A `.pth` file is a pickle beside raw numbers: a zip since torch 1.6, one stream before (torchvision's older ResNets). The
unpickler here knows a dozen names (containers, tensors, storages) and refuses every other; arrays are read only when
they are asked for, so an optimizer's state that lies in the same file costs nothing.
"""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

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
DAMAGED = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    EOFError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
)


class Storage(NamedTuple):
    """A flat run of numbers somewhere in the file; `read()` gives it."""

    dtype: np.dtype
    read: Callable[[], np.ndarray]


class Tensor(NamedTuple):
    """A view of a storage, in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def numpy(self) -> np.ndarray:
        flat = self.storage.read()
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if min((self.offset, *self.shape, *self.strides)) < 0 or (0 not in self.shape and last >= flat.size):
            raise ValueError("a tensor reaches beyond its storage")
        strides = [step * flat.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides).copy()


def read_state_dict(file: str | Path) -> dict[str, np.ndarray]:
    """{name: array} of a `.pth` file: a state dict itself, or under "state_dict" as mmcv and Lightning write it.

    The prefix "module." (DataParallel) is dropped. Raises UserError for a file that is absent, damaged, not of torch, or
    that holds anything beyond plain containers and tensors.
    """
    file = Path(file)
    try:
        found = _read(file)
        found = found.get("state_dict", found) if isinstance(found, dict) else found
        if not isinstance(found, dict) or not found or not all(isinstance(x, Tensor) for x in found.values()):
            raise UserError(f"{file} holds no state dict (names and tensors, or such under 'state_dict')")
        return {str(name).removeprefix("module."): tensor.numpy() for name, tensor in found.items()}
    except FileNotFoundError as error:
        raise UserError(f"{file}: no such file") from error
    except DAMAGED as error:
        raise UserError(f"{file} is damaged, or was not written by torch.save ({error})") from error


def index(file: str | Path) -> dict[str, Tensor]:
    """{name: tensor} of a state dict, not read yet. Raises UserError as `read_state_dict` does."""
    file = Path(file)
    try:
        found = _read(file)
    except FileNotFoundError as error:
        raise UserError(f"{file}: no such file") from error
    except DAMAGED as error:
        raise UserError(f"{file} is damaged, or was not written by torch.save ({error})") from error
    if not isinstance(found, dict) or not found or not all(isinstance(x, Tensor) for x in found.values()):
        raise UserError(f"{file} holds no state dict (names and tensors, or such under 'state_dict')")
    return found


def read(file: str | Path, name: str, tensor: Tensor) -> np.ndarray:
    """A tensor of `index`. Raises UserError, naming it, where the file is damaged."""
    try:
        return tensor.numpy()
    except DAMAGED as error:
        raise UserError(f"{file} is damaged at {name!r} ({error}); fetch it again") from None


def _read(file: Path):
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            folder = name.removesuffix("data.pkl")
            if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
                raise UserError(f"{file} is big-endian; save it again on an ordinary machine")
            with archive.open(name) as stream:
                return _Unpickler(stream, _zip_storages(file, folder), file).load()
    with open(file, "rb") as stream:
        return _read_legacy(stream, file)


def _zip_storages(file: Path, folder: str):
    def storage(dtype: np.dtype, key: str, size: int) -> Storage:
        def read() -> np.ndarray:
            with zipfile.ZipFile(file) as archive:
                return _array(archive.read(f"{folder}data/{key}"), dtype, size)

        return Storage(dtype, read)

    return storage


def _read_legacy(stream: BinaryIO, file: Path):
    """Four pickles (magic, protocol, system, object), the storages' keys, then each storage: its length and numbers."""

    def plain():
        return _Unpickler(stream, None, file).load()

    if plain() != LEGACY_MAGIC or plain() != LEGACY_PROTOCOL:
        raise UserError(f"{file} was not written by torch.save")
    plain()
    arrays, dtypes = {}, {}

    def storage(dtype: np.dtype, key: str, size: int) -> Storage:
        dtypes[key] = dtype, size
        return Storage(dtype, lambda: arrays[key])

    found = _Unpickler(stream, storage, file).load()
    for key in plain():
        dtype, size = dtypes[key]
        (length,) = np.frombuffer(stream.read(8), "<i8")
        if length != size:
            raise ValueError(f"storage {key} has {length} numbers, not {size}")
        arrays[key] = _array(stream.read(size * dtype.itemsize), dtype, size)
    return found


def _array(content: bytes, dtype: np.dtype, size: int) -> np.ndarray:
    if len(content) != size * dtype.itemsize:
        raise ValueError(f"a storage has {len(content)} bytes, not {size * dtype.itemsize}")
    return np.frombuffer(content, dtype)


class _Unpickler(pickle.Unpickler):
    """Knows what a state dict is made of, and nothing else."""

    def __init__(self, stream: BinaryIO, storage: Callable | None, file: Path):
        super().__init__(stream, encoding="utf-8")
        self._storage, self._file = storage, file

    def find_class(self, module: str, name: str):
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        if module == "torch" and name in STORAGES:
            return name
        raise UserError(
            f"{self._file} holds {module}.{name}, which is more than tensors, so it is not opened; "
            "in torch, save its state dict alone: torch.save(checkpoint['state_dict'], file)"
        )

    def persistent_load(self, pid):
        kind, name, key, _, size, *_ = pid
        if kind != "storage" or self._storage is None or name not in STORAGES:
            raise ValueError(f"unknown persistent object {kind!r}")
        return self._storage(np.dtype(STORAGES[name]), key, size)


def _tensor(storage: Storage, offset: int, shape, strides, *_) -> Tensor:
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(tensor: Tensor, *_) -> Tensor:
    return tensor


ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}
