"""The CAN bus messages, as the devkit reads them."""

import numpy as np
import pytest
from nuscenes.can_bus.can_bus_api import NuScenesCanBus

from tests.data_prep.miniworld import small_world


def test_can_bus(root, tables):
    can = NuScenesCanBus(str(root))
    for scene in tables.scene:
        name = scene["name"]
        pose, steering = can.get_messages(name, "pose"), can.get_messages(name, "steeranglefeedback")
        monitor, meta = can.get_messages(name, "vehicle_monitor"), can.get_messages(name, "meta")
        assert meta["pose"]["message_freq"] == pytest.approx(50, abs=0.1)
        assert meta["steeranglefeedback"]["message_freq"] == pytest.approx(100, abs=0.1)
        assert meta["vehicle_monitor"]["message_count"] == len(monitor) == 35
        by_time = {row["utime"]: row for row in pose}
        for sample in small_world.samples(tables, scene):
            row = tables.get("sample_data", sample["data"]["LIDAR_TOP"])
            ego = tables.get("ego_pose", row["ego_pose_token"])
            assert by_time[sample["timestamp"]]["pos"] == pytest.approx(ego["translation"], abs=2e-4)
            assert by_time[sample["timestamp"]]["orientation"] == pytest.approx(ego["rotation"], abs=1e-6)
        moved = np.hypot(*np.diff([row["pos"][:2] for row in pose], axis=0).T) * 50
        assert np.median(np.abs(moved - np.abs([row["vel"][0] for row in pose])[1:])) < 0.2
        assert {row["utime"] for row in pose} <= {row["utime"] for row in steering}
        route, driven = can.get_pose_and_route(name)
        assert route.shape[1] == driven.shape[1] == 2
    turn = np.array([row["rotation_rate"][2] for row in can.get_messages("scene-0001", "pose")])
    wheel = np.array([row["value"] for row in can.get_messages("scene-0001", "steeranglefeedback")])[::2][: len(turn)]
    assert np.corrcoef(turn, wheel)[0, 1] > 0.5  # left is positive
