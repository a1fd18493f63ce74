"""Camera images of a record at training scale: fewer pixels, which training decodes faster and need not scale (`build`)."""

import cv2
import numpy as np

from dima_jax.data import transforms
from dima_jax.errors import UserError

QUALITY = 90  # of the new JPEG files


def scaled(cameras: dict, scale: float) -> dict:
    """The cameras of a record (`data/features.py`) with their images times `scale`, which sizes and intrinsics follow."""
    rows = zip(cameras["images"], cameras["paths"], cameras["sizes"], strict=True)
    images = [_scaled(data, path, transforms.scaled_size(size, scale)) for data, path, size in rows]
    return cameras | {
        "images": images,
        "sizes": np.array([transforms.scaled_size(size, scale) for size in cameras["sizes"]], np.int64).reshape(-1, 2),
        "intrinsics": np.diag([scale, scale, 1.0]) @ cameras["intrinsics"],
    }


def _scaled(data: bytes, where: str, size: tuple[int, int]) -> bytes:
    if not min(size):
        raise UserError(f"{where}: --image_scale makes it {size[0]} x {size[1]} pixels; give a larger one")
    image = transforms.resize(transforms.decode(data, where), size)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
