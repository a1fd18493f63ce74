"""One scene of a nuScenes root, key frame by key frame, as the dicts of `data/features.py`."""

from functools import cached_property

import numpy as np
from pyquaternion import Quaternion

from data_prep import agents, ego, jpeg, map_lines
from data_prep.nuscenes_schema import LIDAR, cameras
from data_prep.scenes import Root


def matrix(row: dict) -> np.ndarray:
    """[4, 4] float64 of a row with `translation` and `rotation` (w, x, y, z)."""
    result = Quaternion(row["rotation"]).transformation_matrix
    result[:3, 3] = row["translation"]
    return result


class KeyFrames:
    """The key frames of one scene in order of time: `len(...)`, `record(i)`, and `numbers(i)` without images and map.

    The tables were checked (`root_check`). `record` raises UserError, naming scene and sample, for a missing or broken
    image; both it and `numbers` raise one for a CAN bus that `root_check.can_bus.read` refuses.
    """

    def __init__(self, root: Root, scene: dict):
        self.root, self.scene, self.samples = root, scene, root.samples(scene)
        tables = root.tables
        lidar = [self._sensor(sample, LIDAR) for sample in self.samples]
        self.poses = [tables.get("ego_pose", row["ego_pose_token"]) for row in lidar]
        self.mounts = [tables.get("calibrated_sensor", row["calibrated_sensor_token"]) for row in lidar]
        self.lidar2global = [matrix(pose) @ matrix(mount) for pose, mount in zip(self.poses, self.mounts, strict=True)]
        self.location = tables.get("log", scene["log_token"])["location"]
        self.cameras = cameras(tables.sensor)

    @cached_property
    def messages(self) -> list[dict] | None:
        """CAN `pose` messages, read when a record needs them: boxes alone need no CAN bus. None for a scene without."""
        return self.root.can_messages(self.scene, "pose")

    @cached_property
    def lacks_can_bus(self) -> bool:
        """Whether poses stand in for the CAN bus; for the scenes that nuScenes excludes, VAD has zeros."""
        return self.messages is None and not self.root.excludes_can_bus(self.scene)

    @cached_property
    def steering(self) -> list[dict] | None:
        """CAN `steeranglefeedback` messages, as `messages`."""
        return self.root.can_messages(self.scene, "steeranglefeedback")

    def __len__(self) -> int:
        return len(self.samples)

    def record(self, i: int, qa: dict) -> dict:
        """The whole record of key frame i. qa: {sample token: {"kinds", "questions", "answers"}} (`qa.read`)."""
        frame = self.numbers(i)
        where = f"{self.scene['name']}, sample {self.samples[i]['token']}"
        frame["cameras"]["images"] = [
            jpeg.read(self.root.path / row["filename"], (row["height"], row["width"]), where) for row in self._images(i)
        ]
        frame["agents"]["boxes"] = frame["agents"]["boxes"].astype(np.float32)
        frame["map"] = self._map(i)
        frame["qa"] = qa.get(frame["sample_token"], {"kinds": (), "questions": (), "answers": ()})
        return frame

    def numbers(self, i: int) -> dict:
        """The part of the record of key frame i that comes from the tables and the CAN bus; boxes in float64."""
        sample, pose, mount = self.samples[i], self.poses[i], self.mounts[i]
        annotations = [self.root.tables.get("sample_annotation", token) for token in sample["anns"]]
        return {
            "sample_token": sample["token"],
            "scene": {name: self.scene[name] for name in ("token", "name", "description")}
            | {"location": self.location},
            "frame_index": i,
            "scene_length": len(self.samples),
            "timestamp": sample["timestamp"],
            "lidar2ego": matrix(mount),
            "ego2global": matrix(pose),
            "can_bus": self._can_bus(i),
            "cameras": self._calibration(i),
            "agents": agents.agents(self.root.tables, annotations, mount, pose),
            "ego": self._ego(i),
        }

    def _can_bus(self, i: int) -> np.ndarray:
        pose, timestamp = self.poses[i], self.samples[i]["timestamp"]
        values = ego.can_bus(self.messages, pose, timestamp)
        if self.lacks_can_bus:
            values[ego.MOTION] = self._motion(i)
        return values

    def _motion(self, i: int) -> np.ndarray:
        """`ego.motion` of key frame i; 0 in the first one."""
        if i == 0:
            return np.zeros(6)
        seconds = (self.samples[i]["timestamp"] - self.samples[i - 1]["timestamp"]) * 1e-6
        return ego.motion(matrix(self.poses[i - 1]), matrix(self.poses[i]), seconds)

    def _ego(self, i: int) -> dict:
        trip, timestamp = ego.path(self.lidar2global, i), self.samples[i]["timestamp"]
        left_hand = self.location.startswith("singapore")
        status = ego.status(self.poses, i, self.messages, self.steering, timestamp, trip, left_hand)
        if self.lacks_can_bus:
            status[ego.SPEED] = self._motion(i)[3]  # forward; what nuScenes' excluded scenes have knows the next step
        return trip | {"status": status}

    def _calibration(self, i: int) -> dict:
        """Names, sizes, file names, times, intrinsics, and camera-to-LiDAR transforms through the ego poses of both instants."""
        tables = self.root.tables
        rows = self._images(i)
        mounts = [tables.get("calibrated_sensor", row["calibrated_sensor_token"]) for row in rows]
        poses = [tables.get("ego_pose", row["ego_pose_token"]) for row in rows]
        camera2global = [matrix(pose) @ matrix(mount) for pose, mount in zip(poses, mounts, strict=True)]
        return {
            "names": list(self.cameras),
            "sizes": np.array([(row["height"], row["width"]) for row in rows], np.int64).reshape(-1, 2),
            "paths": [row["filename"] for row in rows],
            "timestamps": np.array([row["timestamp"] for row in rows], np.int64),
            "intrinsics": np.array([mount["camera_intrinsic"] for mount in mounts], np.float64).reshape(-1, 3, 3),
            "sensor2lidar": np.linalg.inv(self.lidar2global[i]) @ np.array(camera2global).reshape(-1, 4, 4),
        }

    def _map(self, i: int) -> dict:
        layers = self.root.map_layers(self.location)
        lines = map_lines.local_lines(layers, self.lidar2global[i]) if layers else []
        return {
            "vertices": np.concatenate([np.zeros((0, 2)), *(line for _, line in lines)]).astype(np.float32),
            "lengths": np.array([len(line) for _, line in lines], np.int64),
            "labels": np.array([label for label, _ in lines], np.int64),
        }

    def _images(self, i: int) -> list[dict]:
        """The sample_data rows of the cameras."""
        return [self._sensor(self.samples[i], channel) for channel in self.cameras]

    def _sensor(self, sample: dict, channel: str) -> dict:
        return self.root.tables.get("sample_data", sample["data"][channel])
