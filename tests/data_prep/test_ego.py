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
