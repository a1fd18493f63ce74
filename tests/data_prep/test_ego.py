"""The CAN bus is read by the names of its fields."""

import numpy as np

from data_prep import ego


def test_the_order_of_fields_means_nothing():
    fields = {"pos": 1, "orientation": 4, "accel": 8, "rotation_rate": 11, "vel": 14}
    message = {
        name: [float(start + k) for k in range(4 if name == "orientation" else 3)] for name, start in fields.items()
    }
    expected = [1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0, 0]
    for names in (list(message), sorted(message), ["vel", "more", "rotation_rate", "pos", "orientation", "accel"]):
        given = [{"utime": 5} | {name: message.get(name, [7.0]) for name in names}]
        np.testing.assert_array_equal(ego.can_fields(given, 0), expected)


def test_motion_is_that_of_the_poses_in_the_ego_frame():
    """A left turn of 0.2 rad in half a second, 3 m along the new heading and 1 m to its left."""
    before, now = (np.eye(4) for _ in range(2))
    for pose, angle in ((before, 1.0), (now, 1.2)):
        pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    now[:3, 3] = before[:3, 3] + now[:3, :3] @ [3.0, 1.0, 0.0]
    np.testing.assert_allclose(ego.motion(before, now, 0.5), [0, 0, 0.4, 6, 2, 0], atol=1e-9)
