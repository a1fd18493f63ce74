"""From JPEG files to the images the student reads: decode, scale, pad (docs/vad.md#image-preparation).

Images are uint8 [H, W, 3] in the config's color order; the student normalizes them, and distorts them in training. numpy
and OpenCV only.
"""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from dima_jax.errors import UserError


def decode(data: bytes, where: str, size: Sequence[int] | None = None) -> np.ndarray:
    """A JPEG file to [H, W, 3] uint8 BGR. Raises UserError naming `where` if it does not decode, or to another size than
    `size` (rows, columns), where given.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f"{where}: image does not decode; build the records again (`python -m data_prep.build`)")
    rows, columns = image.shape[:2]
    if size is not None and (rows, columns) != tuple(size):
        raise UserError(
            f"{where}: image is {rows} x {columns}, the record says {size[0]} x {size[1]}; build the records again"
        )
    return image


def fitting_scales(sizes: Sequence[tuple[int, int]], scale: float, valid_shape, shape) -> list[float]:
    """The factor of each camera's image; sizes: (rows, columns) as recorded, of the cameras in order.

    The first image times `scale` must be `valid_shape` (rows, columns), what the student takes for image. So is another
    one that is `valid_shape` times `scale`; any other gets the factor with which it just fits, and is black to the right or
    below. Raises UserError for a first image that does not fit.
    """
    height, width = scaled_size(sizes[0], scale)
    if (height, width) != tuple(valid_shape) or height > shape[0] or width > shape[1]:
        raise UserError(
            f"config.data.image_scale={scale} makes {sizes[0][0]} x {sizes[0][1]} images {height} x {width}: set "
            f"config.data.valid_shape to that (it is {tuple(valid_shape)}) and image_shape (it is {tuple(shape)}) to the "
            "next multiples of 32"
        )
    fits = [scaled_size(size, scale) == tuple(valid_shape) for size in sizes]
    return [
        scale if fit else min(most / side for most, side in zip(valid_shape, size, strict=True))
        for fit, size in zip(fits, sizes, strict=True)
    ]


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(rows, columns) of an image after scaling."""
    height, width = (int(side * scale + 0.5) for side in size)
    return height, width


def resize_into(result: np.ndarray, image: np.ndarray, scale: float, color_order: str) -> None:
    """[H, W, 3] BGR, scaled bilinearly, into the upper left of `result`, in `color_order` ("rgb" or "bgr")."""
    height, width = scaled_size(image.shape[:2], scale)
    scaled = resize(image, (height, width))
    place = result[:height, :width]
    if color_order == "rgb":
        cv2.cvtColor(scaled, cv2.COLOR_BGR2RGB, dst=place)
    else:
        place[...] = scaled


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[H, W, 3] uint8 to [*size, 3], bilinear: as VAD interpolates floats, rounded once (docs/parity.md#images).

    In integers where that is exact: OpenCV's weights then have 8 bits, enough for 0.8 and 0.4 of 1600 x 900. Else in float.
    """
    if image.shape[:2] == tuple(size):
        return image
    if all(128 * old % new == 0 for old, new in zip(image.shape[:2], size, strict=True)):
        return cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR_EXACT)
    return cv2.convertScaleAbs(cv2.resize(image.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR))


def prepare(
    images: Iterable[np.ndarray], sizes: Sequence[tuple[int, int]], scale: float, valid_shape, shape, color_order: str
) -> tuple[np.ndarray, list[float]]:
    """The images of the cameras, [H, W, 3] BGR each, as [N, *shape, 3], and their `fitting_scales`, whose errors it raises.

    Takes one image after the other, so that a generator need hold but one; sizes: (rows, columns) of each.
    """
    prepared = np.zeros((len(sizes), *shape, 3), np.uint8)
    scales = fitting_scales(sizes, scale, valid_shape, shape) if len(sizes) else []
    for place, image, own in zip(prepared, images, scales, strict=True):
        resize_into(place, image, own, color_order)
    return prepared, scales


def lidar2img(intrinsics: np.ndarray, sensor2lidar: np.ndarray, scales: Sequence[float]) -> np.ndarray:
    """[N, 3, 3] and [N, 4, 4] to [N, 4, 4]: LiDAR frame to pixels of the images scaled by `scales` [N]."""
    matrix = np.tile(np.eye(4), (len(intrinsics), 1, 1))
    matrix[:, :3, :3] = intrinsics
    sizes = np.array([np.diag([scale, scale, 1.0, 1.0]) for scale in scales]).reshape(-1, 4, 4)
    return sizes @ matrix @ np.linalg.inv(sensor2lidar)
