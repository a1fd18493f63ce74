"""Augmentation of training windows, all off in VAD: mirror, zoom, colors. numpy and OpenCV only.

* `flip` mirrors a whole window, as if the recorded world and the car had been mirrored left-right: x -> -x in every
  LiDAR frame, y -> -y in the ego's and the global frame. Each camera shows its mirror image and takes the place of its
  counterpart. Questions say left and right and cannot be mirrored, so there is no flip with a teacher.
* `zoom` scales and crops all images by one draw, and their matrices with them (as BEVDet does, arXiv 2112.11790).
* `recolor` changes brightness, contrast, saturation and hue of all images by one matrix, and rounds: where every core
  trains, as on a laptop, cheaper than the distortion of `student/photometric.py`, which draws anew for each camera.

Zoom and colors leave the frames after the current one as they are: these are targets of the teacher, to be seen as in
evaluation (as with `data.photometric`, which acts last). Pixel i covers [i, i + 1), as for `bev_geometry.project_pillars`.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from dima_jax import config_check, geometry
from dima_jax.constants import COMMANDS
from dima_jax.types import Batch


def _mirrored(names: Sequence[str]) -> list[int]:
    """For each name the index of its mirror image."""
    return [list(names).index(name) for name in config_check.mirrored(names)]


MIRRORED_COMMANDS = _mirrored(COMMANDS)
X_SIGN = np.float32([-1, 1])
MATRIX_SIGN = np.float32([-1, 1, 1, 1])
BOX_SIGN = np.float32([-1, 1, 1, 1, 1, 1, -1, -1, 1])  # cx; yaw_box (heading -> pi - heading); vx
# Position in a mirrored global frame; w of the orientation, which stays; acceleration, rotation rate (an axial vector)
# and velocity in the ego frame; yaw, which is then wrapped; its change.
CAN_BUS_SIGN = np.float32([1, -1, 1, 1, 1, 1, 1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, -1])
YAW = 16
CHECKED = (
    *("data.flip", "data.cameras", "data.zoom", "data.color", "teacher.enabled", "auxiliary.facts"),
    *("student.pc_range", "student.rotate_center", "student.bev_shape"),
)
BRIGHTNESS, CONTRAST, SATURATION, HUE = 32.0, 0.5, 0.5, np.pi / 10  # largest change, as in `distortion.py`
GRAY = np.full((3, 3), 1 / 3)
ABOUT_GRAY = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)


def check(config) -> None:
    """Raises UserError if the augmentation that config.data asks for cannot be."""
    config_check.check(config, CHECKED)


def augment(batch: Batch, data, pc_range, rng) -> Batch:
    """A window (without batch axis) augmented by the draws of `rng`, of which there are as many whatever is on.

    data: config.data. The images of `batch` may be overwritten.
    """
    flipped, scale, left, top, *color = rng.random(8)
    seen = batch.images[: data.history + 1]
    if data.color:
        recolor(seen, color_matrix(data.color, color), data.valid_shape)
    if tuple(data.zoom) != (1.0, 1.0):
        scale = data.zoom[0] + scale * (data.zoom[1] - data.zoom[0])
        moved = zoom(seen, batch.lidar2img[: data.history + 1], scale, (top, left), data.valid_shape)
        batch = batch.replace(lidar2img=np.concatenate([moved, batch.lidar2img[data.history + 1 :]]))
    return flip(batch, data.cameras, data.valid_shape, pc_range) if flipped < data.flip else batch


def flip(batch: Batch, cameras: Sequence[str], valid_shape, pc_range) -> Batch:
    """The mirror image of a window (any leading axes). Its questions stay as they are.

    The points of every order of a map line are reversed, so that a closed line, which the order set never reverses,
    turns as recorded ones do; an open line's two orders change places. cameras: their names in order. valid_shape: rows and columns that are not
    padding, which stays at the right.
    """
    columns = valid_shape[1]
    places = _mirrored(cameras)
    images = np.take(batch.images, places, axis=-4)
    for image in images.reshape(-1, *images.shape[-3:]):
        image[:, :columns] = cv2.flip(image[:, :columns], 1)
    lidar2img = batch.lidar2img[..., places, :, :] * MATRIX_SIGN
    lidar2img[..., 0, :] = columns * lidar2img[..., 2, :] - lidar2img[..., 0, :]
    can_bus = batch.can_bus * CAN_BUS_SIGN
    can_bus[..., YAW] %= 2 * np.pi
    agents, lines, ego = batch.agents, batch.map, batch.ego
    points = lines.points[..., ::-1, :] * X_SIGN
    normalized = geometry.normalize_xy(points, pc_range)
    return batch.replace(
        images=images,
        lidar2img=lidar2img,
        can_bus=can_bus,
        frame_to_current=batch.frame_to_current * MATRIX_SIGN * MATRIX_SIGN[:, None],
        command=batch.command[..., MIRRORED_COMMANDS],
        agents=agents.replace(
            boxes=agents.boxes * BOX_SIGN,
            future_offsets=agents.future_offsets * X_SIGN,
            future_yaw=-agents.future_yaw,
        ),
        map=lines.replace(
            points=points,
            normalized_points=np.where(lines.order_mask[..., None, None], normalized, np.float32(0)),
        ),
        ego=ego.replace(
            future_offsets=ego.future_offsets * X_SIGN,
            history_offsets=ego.history_offsets * X_SIGN,
        ),
    )


def zoom(images: np.ndarray, lidar2img: np.ndarray, scale: float, place, valid_shape) -> np.ndarray:
    """Scales images [..., H, W, 3] uint8 in place and returns lidar2img [..., 4, 4] to their new pixels.

    A part of the image fills the valid rows and columns (scale > 1), or the image a part of them and the rest is black.
    The part is of whole pixels, so rows and columns are scaled by `scale` only nearly; the matrices say by what exactly.
    place: (down, right) in [0, 1], where the part lies.
    """
    whole = tuple(slice(0, size) for size in valid_shape)
    part = tuple(_part(size, min(scale, 1 / scale), share) for size, share in zip(valid_shape, place, strict=True))
    source, target = (part, whole) if scale > 1 else (whole, part)
    (from_row, rows), (from_column, columns) = ((x.start, x.stop - x.start) for x in source)
    (to_row, new_rows), (to_column, new_columns) = ((x.start, x.stop - x.start) for x in target)
    for image in images.reshape(-1, *images.shape[-3:]):
        scaled = cv2.resize(image[source], (new_columns, new_rows), interpolation=cv2.INTER_LINEAR)
        image[whole] = 0
        image[target] = scaled
    right, down = new_columns / columns, new_rows / rows
    change = np.eye(4)
    change[0, [0, 2]] = right, to_column - right * from_column
    change[1, [1, 2]] = down, to_row - down * from_row
    return (change @ lidar2img).astype(lidar2img.dtype)


def _part(size: int, share: float, place: float) -> slice:
    length = max(round(size * share), 1)
    start = round(place * (size - length))
    return slice(start, start + length)


def color_matrix(strength: float, draws) -> np.ndarray:
    """[3, 4]: RGB or BGR (r, g, b, 1) to changed colors. draws: brightness, contrast, saturation, hue in [0, 1]."""
    brightness, contrast, saturation, hue = (
        strength * (2 * np.asarray(draws) - 1) * (BRIGHTNESS, CONTRAST, SATURATION, HUE)
    )
    saturate = (1 + saturation) * np.eye(3) - saturation * GRAY
    rotate = np.cos(hue) * np.eye(3) + (1 - np.cos(hue)) * GRAY + np.sin(hue) * ABOUT_GRAY
    return (1 + contrast) * np.column_stack([rotate @ saturate, np.full(3, brightness)])


def recolor(images: np.ndarray, matrix: np.ndarray, valid_shape) -> None:
    """Applies a color matrix [3, 4] to images [..., H, W, 3] uint8 in place, but not to their padding."""
    rows, columns = valid_shape
    for image in images.reshape(-1, *images.shape[-3:]):
        image[:rows, :columns] = cv2.transform(image[:rows, :columns], matrix)
