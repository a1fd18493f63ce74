"""Made-up input of the student, without any data: cameras that look around, and frames of a drive with them."""

import numpy as np

from dima_jax.constants import CAMERA_YAWS_DEG, CAMERAS, COMMANDS
from dima_jax.types import Frame

BLOCK = 16  # pixels of one color, so that images survive the student's pooling


def camera_rig(image_shape: tuple[int, int], cameras: int = len(CAMERAS)) -> np.ndarray:
    """lidar2img [N, 4, 4] float32 of so many level cameras 0.5 m below the LiDAR, about 75 degrees wide: nuScenes' in turn."""
    height, width = image_shape
    intrinsic = np.array([[0.65 * width, 0, width / 2], [0, 0.65 * width, height / 2], [0, 0, 1]])
    matrices = np.tile(np.eye(4), (cameras, 1, 1))
    yaws = np.radians(np.resize(CAMERA_YAWS_DEG, cameras) + 90.0)  # from +x
    for matrix, yaw in zip(matrices, yaws, strict=True):
        right, down, ahead = (np.sin(yaw), -np.cos(yaw), 0), (0, 0, -1), (np.cos(yaw), np.sin(yaw), 0)
        matrix[:3, :3] = intrinsic @ np.array([right, down, ahead])
        matrix[:3, 3] = -matrix[:3, :3] @ np.array([0, 0, -0.5])
    return matrices.astype(np.float32)


def drive(
    image_shape: tuple[int, int], count: int, batch_size: int, seed: int = 0, cameras: int = len(CAMERAS)
) -> list[Frame]:
    """`count` consecutive frames: random colored blocks for images, an ego that drives and turns a little."""
    rng = np.random.default_rng(seed)
    height, width = image_shape
    lidar2img = np.broadcast_to(camera_rig(image_shape, cameras), (batch_size, cameras, 4, 4))
    frames = []
    for i in range(count):
        shape = (batch_size, cameras, -(-height // BLOCK), -(-width // BLOCK), 3)
        blocks = rng.integers(0, 256, shape, np.uint8)
        images = blocks.repeat(BLOCK, axis=2).repeat(BLOCK, axis=3)[:, :, :height, :width]
        can_bus = np.zeros((batch_size, 18), np.float32)
        if i > 0:
            can_bus[:, :2], can_bus[:, 17] = rng.normal(1.5, 0.5, (batch_size, 2)), rng.normal(0, 3, batch_size)
        can_bus[:, 16] = np.deg2rad(40.0 + 3.0 * i)
        command = np.eye(len(COMMANDS), dtype=np.float32)[rng.integers(0, len(COMMANDS), batch_size)]
        frames.append(Frame(images, lidar2img, can_bus, command))
    return frames
