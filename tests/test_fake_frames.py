"""Made-up frames are possible ones."""

import numpy as np

from dima_jax import fake_frames
from dima_jax.constants import CAMERA_YAWS_DEG

SHAPE = (64, 96)


def test_cameras_see_the_ground_around():
    for matrix, yaw in zip(fake_frames.camera_rig(SHAPE), np.deg2rad(CAMERA_YAWS_DEG), strict=True):
        u, v, depth = (matrix @ np.array([-10 * np.sin(yaw), 10 * np.cos(yaw), -0.5, 1.0]))[:3]
        np.testing.assert_allclose((u / depth, v / depth, depth), (SHAPE[1] / 2, SHAPE[0] / 2, 10.0), rtol=1e-4)
        u, v, depth = (matrix @ np.array([-10 * np.sin(yaw), 10 * np.cos(yaw), -1.5, 1.0]))[:3]
        assert v / depth > SHAPE[0] / 2  # what is lower stands lower


def test_a_drive_starts_without_a_frame_before():
    frames = fake_frames.drive(SHAPE, 3, batch_size=2)
    assert [bool(frame.can_bus[:, [0, 1, 17]].any()) for frame in frames] == [False, True, True]
    assert all(frame.images.shape == (2, 6, *SHAPE, 3) and frame.images.dtype == np.uint8 for frame in frames)
    assert fake_frames.drive(SHAPE, 1, 2, cameras=4)[0].lidar2img.shape == (2, 4, 4, 4)
    np.testing.assert_array_equal(fake_frames.camera_rig(SHAPE, 4), fake_frames.camera_rig(SHAPE)[:4])
    assert all((frame.command.sum(axis=1) == 1).all() for frame in frames)
