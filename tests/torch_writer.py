"""Writes `.pth` files as torch.save does, without torch: arrays stand for tensors."""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np


class _Storage:
    def __init__(self, array: np.ndarray):
        self.array = array


class FloatStorage:
    """Named as torch's, so that its pickle reads `torch.FloatStorage`."""


class LongStorage:
    pass


def _rebuild_tensor_v2(*_):
    raise NotImplementedError


KINDS = {np.dtype(np.float32): FloatStorage, np.dtype(np.int64): LongStorage}


@contextmanager
def torch_names() -> Iterator[None]:
    """While it lasts, the names above are importable where torch has them."""
    names = {"torch": (FloatStorage, LongStorage), "torch._utils": (_rebuild_tensor_v2,)}
    kept = {module: sys.modules.get(module) for module in names}
    for module, members in names.items():
        sys.modules[module] = types.ModuleType(module)
        for member in members:
            member.__module__ = module
            setattr(sys.modules[module], member.__name__, member)
    try:
        yield
    finally:
        for module, before in kept.items():
            if before is None:
                del sys.modules[module]
            else:
                sys.modules[module] = before


class _Pickler(pickle.Pickler):
    def __init__(self, stream):
        super().__init__(stream, protocol=2)
        self.storages: list[np.ndarray] = []

    def persistent_id(self, value):
        if not isinstance(value, _Storage):
            return None
        places = [i for i, known in enumerate(self.storages) if known is value.array]
        if not places:
            self.storages.append(value.array)
        key = str(places[0] if places else len(self.storages) - 1)
        return "storage", KINDS[value.array.dtype], key, "cpu", value.array.size

    def reducer_override(self, value):
        if not isinstance(value, np.ndarray):
            return NotImplemented
        owner = value if value.base is None else value.base
        whole = owner if isinstance(owner, np.ndarray) and owner.ndim == 1 else value.ravel()
        offset = (value.ctypes.data - whole.ctypes.data) // value.itemsize if whole is owner else 0
        steps = tuple(step // value.itemsize for step in value.strides)
        return _rebuild_tensor_v2, (_Storage(whole), offset, value.shape, steps, False, OrderedDict())


def write(file: Path, checkpoint) -> Path:
    """`checkpoint`: containers, strings, numbers and C-ordered arrays of float32 or int64; views share their storage."""
    stream = io.BytesIO()
    with torch_names():
        pickler = _Pickler(stream)
        pickler.dump(checkpoint)
    return write_parts(file, stream.getvalue(), [array.tobytes() for array in pickler.storages])


def write_parts(file: Path, pickled: bytes, storages: Sequence[bytes] = (), compression=zipfile.ZIP_STORED) -> Path:
    """The zip of a pickle and of storages' bytes by number."""
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        for key, content in enumerate(storages):
            archive.writestr(f"archive/data/{key}", content)
    return file
