"""Key frames ready for use: records decoded, images scaled, and kept in memory as long as there is room.

Windows overlap, so a frame is wanted up to history + 1 + future times an epoch; a small data set stays in memory whole, and
of a large one the scenes that are read together (`order.py`).
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import jax
import numpy as np

from dima_jax import config_check
from dima_jax.data import cameras, features, transforms
from dima_jax.data.records import Records
from dima_jax.errors import UserError


class KeyFrame(NamedTuple):
    """One record, its images decoded.

    record: the dict of `features.decode` with the cameras asked for alone, in that order; their JPEGs included only if
    asked for. images: [N, H, W, 3] uint8, scaled and padded. lidar2img: [N, 4, 4] float64 to their pixels. lidar2global: [4, 4] float64.
    derived: what `Frames` was asked to keep of the record.
    """

    record: dict
    images: np.ndarray
    lidar2img: np.ndarray
    lidar2global: np.ndarray
    derived: Any


class Frames:
    """The key frames of a split by record number; safe to use from several threads.

    names: the cameras. scale: of the recorded images; UserError if the records hold them at another one. valid_shape,
    shape, color_order: see `transforms.prepare`. cache_gib: memory for frames that stay decoded. keep_jpegs: leave the files
    in the record. derive: what else to keep of a record, as a tree of arrays.
    """

    def __init__(
        self,
        records: Records,
        names: Sequence[str],
        scale,
        valid_shape,
        shape,
        color_order,
        cache_gib: float,
        keep_jpegs=False,
        derive: Callable[[dict], Any] | None = None,
    ):
        config_check.check_value("data.color_order", color_order)
        features.features()  # now: tensorflow-datasets imports lazily, and not safely from several threads
        self.records = records
        if names:
            scale = _scale_to_go(records, scale)
        self._names, self._image_options = names, (scale, valid_shape, shape, color_order)
        self._keep_jpegs, self._derive = keep_jpegs, derive
        self._cache: OrderedDict[int, KeyFrame] = OrderedDict()
        self._loading: dict[int, Future[KeyFrame]] = {}
        self._lock = threading.Lock()
        self._room = int(cache_gib * 2**30)

    def __getitem__(self, i: int) -> KeyFrame:
        with self._lock:
            if i in self._cache:
                self._cache.move_to_end(i)
                return self._cache[i]
            others = self._loading.get(i)
            if others is None:
                mine = self._loading[i] = Future()
        if others is not None:  # another thread is loading it
            return others.result()
        try:
            frame = self._load(i)
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(frame)
            self._keep(i, frame)
            return frame
        finally:
            with self._lock:
                del self._loading[i]

    def _keep(self, i: int, frame: KeyFrame) -> None:
        with self._lock:
            self._cache[i] = frame
            self._room -= _size(frame)
            while self._room < 0:
                self._room += _size(self._cache.popitem(last=False)[1])

    def _load(self, i: int) -> KeyFrame:
        record = self.records.decode(i)
        where = f"{record['scene']['name']}, sample {record['sample_token']}"
        chosen = cameras.choose(record["cameras"], self._names, f"{self.records.folder}: {where}")
        record["cameras"] = chosen
        files = zip(chosen["images"], chosen["paths"], chosen["sizes"], strict=True)
        decoded = (transforms.decode(data, f"{path} ({where})", size) for data, path, size in files)
        images, scales = transforms.prepare(decoded, chosen["sizes"], *self._image_options)
        if not self._keep_jpegs:
            del chosen["images"]
        return KeyFrame(
            record,
            images,
            transforms.lidar2img(chosen["intrinsics"], chosen["sensor2lidar"], scales),
            record["ego2global"] @ record["lidar2ego"],
            self._derive(record) if self._derive else None,
        )


def _scale_to_go(records: Records, scale: float) -> float:
    """Of the stored images. UserError if they were scaled for another config."""
    if records.image_scale == 1.0:
        return scale
    if records.image_scale != scale:
        raise UserError(
            f"{records.folder}: its images were stored at scale {records.image_scale}, config.data.image_scale={scale}; set "
            f"that to {records.image_scale}, or build other records (`python -m data_prep.build --image_scale={scale}`)"
        )
    return 1.0


def _size(frame: KeyFrame) -> int:
    """Bytes of a frame, near enough: its images, its JPEGs where kept, and the arrays derived."""
    jpegs = sum(len(data) for data in frame.record["cameras"].get("images", ()))
    return frame.images.nbytes + jpegs + sum(getattr(leaf, "nbytes", 0) for leaf in jax.tree.leaves(frame.derived))
