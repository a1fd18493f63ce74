"""Writes `.pth` files as torch.save does, without torch: arrays stand for tensors."""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
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
        self.storages.append(value.array)
        return "storage", KINDS[value.array.dtype], str(len(self.storages) - 1), "cpu", value.array.size

    def reducer_override(self, value):
        if not isinstance(value, np.ndarray):
            return NotImplemented
        steps = tuple(step // value.itemsize for step in value.strides)
        return _rebuild_tensor_v2, (_Storage(value.ravel()), 0, value.shape, steps, False, OrderedDict())


def write(file: Path, checkpoint) -> Path:
    """`checkpoint`: containers, strings, numbers and C-ordered arrays of float32 or int64."""
    stream = io.BytesIO()
    with torch_names():
        pickler = _Pickler(stream)
        pickler.dump(checkpoint)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        archive.writestr("archive/byteorder", "little")
        for key, array in enumerate(pickler.storages):
            archive.writestr(f"archive/data/{key}", array.tobytes())
    return file
