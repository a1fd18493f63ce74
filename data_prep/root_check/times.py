"""Times of key frames, poses and sensors, and one key row of every camera and the LiDAR for each sample."""

from collections.abc import Iterator

import numpy as np

from data_prep.nuscenes_schema import LIDAR, cameras
from data_prep.root_check.problems import ERROR, SKIP, Rows
from data_prep.root_check.schema import Table, pairs, repeated

SAME = 1_000  # microseconds; nuScenes gives such times exactly
FARTHEST = 250_000  # microseconds between a key row and its sample
FRAME_GAP = (0.2, 1.5)  # seconds between the key frames of a scene
MAX_SPEED = 50.0  # meters per second
MAX_TURN = 2.0  # radians per second
CORRECT_POSE = "correct ego_pose.json, or unpack the nuScenes metadata again"


def rig(tables: dict[str, Table]) -> tuple[str, ...]:
    """The channels that records are made of: the cameras, and LIDAR_TOP as the last."""
    return (*cameras(tables["sensor"].rows), LIDAR)


def channels(tables: dict[str, Table]) -> np.ndarray:
    """[sample_data] the index of a row's channel in `rig`, -1 for another."""
    index = {name: i for i, name in enumerate(rig(tables))}
    of_sensor = np.array([index.get(row["channel"], -1) for row in tables["sensor"].rows], np.int64)
    mounts = tables["calibrated_sensor"].links["sensor_token"]
    return of_sensor[mounts[tables["sample_data"].links["calibrated_sensor_token"]]]


def key_rows(tables: dict[str, Table]) -> tuple[np.ndarray, list[Rows]]:
    """[samples, channels of `rig`] the key row of each; and the samples that lack one or have two."""
    data, count, names = tables["sample_data"], tables["sample"].count, rig(tables)
    channel = channels(tables)
    rows = np.flatnonzero(data["is_key_frame"] & (channel >= 0))
    cell = pairs(data.links["sample_token"][rows], channel[rows], len(names))
    found = np.full(count * len(names), -1)
    found[cell] = rows
    found = found.reshape(count, len(names))
    rule = "all cameras of sensor.json and LIDAR_TOP have one key frame for each sample"

    def lacking(row: dict, i: int) -> str:
        missing = [names[k] for k in np.flatnonzero(found[i] < 0)]
        return f"sample_data.json has no key frame of {', '.join(missing)} for it"

    twice = rows[repeated(cell)]
    return found, [
        Rows(ERROR, "sample", rule, np.flatnonzero((found < 0).any(1)), lacking),
        Rows(ERROR, "sample_data", rule, twice, lambda row, i: f"is a second key frame of {names[channel[i]]}"),
    ]


def problems(tables: dict[str, Table], key: np.ndarray) -> Iterator[Rows]:
    """key: of `key_rows`, complete."""
    sample, data, pose = tables["sample"], tables["sample_data"], tables["ego_pose"]
    pose_of = data.links["ego_pose_token"]
    every = np.flatnonzero(np.abs(pose["timestamp"][pose_of] - data["timestamp"]) > SAME)
    for is_key, kind in ((True, ERROR), (False, SKIP)):  # records hold nothing of sweeps
        yield Rows(
            kind, "sample_data", f"the ego pose of a {'key row' if is_key else 'sweep'} is of another time",
            every[data["is_key_frame"][every] == is_key],
            lambda row, i: f"timestamp is {row['timestamp']}, that of its row of ego_pose.json {pose['timestamp'][pose_of[i]]}",
        )  # fmt: skip
    lidar = key[:, -1]
    gap = np.abs(data["timestamp"][lidar] - sample["timestamp"])
    other = np.flatnonzero((gap > SAME) & (gap <= FARTHEST))  # what is farther is an error below
    yield Rows(
        SKIP, "sample", f"a sample is of the time of its {LIDAR} key frame", other,
        lambda row, i: f"timestamp is {row['timestamp']}, that of its {LIDAR} key frame {data['timestamp'][lidar[i]]}",
    )  # fmt: skip
    far = np.abs(data["timestamp"][key] - sample["timestamp"][:, None]) > FARTHEST
    yield Rows(
        ERROR, "sample_data", "a key frame is far from its sample in time", np.sort(key[far]),
        lambda row, _: f"timestamp is {row['timestamp']}, more than {FARTHEST / 1e6} s from its sample's",
    )  # fmt: skip
    yield from _steps(tables, key)


def _steps(tables: dict[str, Table], key: np.ndarray) -> Iterator[Rows]:
    """Time and motion between the key frames of a scene, and between the instants of the cameras and the LiDAR."""
    sample, data = tables["sample"], tables["sample_data"]
    pose = data.links["ego_pose_token"][key]
    lidar = pose[:, -1]
    rows = np.flatnonzero(sample.links["next"] >= 0)
    following = sample.links["next"][rows]
    gap = np.zeros(sample.count)
    gap[rows] = (sample["timestamp"][following] - sample["timestamp"][rows]) * 1e-6
    odd = rows[(gap[rows] < FRAME_GAP[0]) | (gap[rows] > FRAME_GAP[1])]
    yield Rows(
        SKIP, "sample", "key frames are 0.5 s apart, and taken as if they were", odd,
        lambda row, i: f"the next key frame is {gap[i]:.3f} s later, 0.5 s are expected",
    )  # fmt: skip
    rule = f"the ego vehicle moves by less than {MAX_SPEED:.0f} m/s and turns by less than {MAX_TURN} rad/s"
    jumps = _jumps(tables["ego_pose"], lidar[rows], lidar[following], gap[rows])
    yield Rows(
        SKIP, "sample", rule, rows[jumps], lambda row, _: "the ego pose jumps to the next key frame", CORRECT_POSE
    )
    jumps = _jumps(tables["ego_pose"], pose, lidar[:, None], FARTHEST * 1e-6)
    yield Rows(
        SKIP, "sample_data", rule, np.sort(key[jumps]),
        lambda row, _: f"its ego pose is far from that of the {LIDAR} of its sample", CORRECT_POSE,
    )  # fmt: skip


def _jumps(poses: Table, first: np.ndarray, second: np.ndarray, seconds) -> np.ndarray:
    """Whether a vehicle cannot get from one pose to the other in that time; poses by their numbers."""
    step = np.linalg.norm(poses["translation"][first] - poses["translation"][second], axis=-1)
    turn = 2 * np.arccos(np.minimum(np.abs((poses["rotation"][first] * poses["rotation"][second]).sum(-1)), 1))
    return (step > MAX_SPEED * np.asarray(seconds)) | (turn > MAX_TURN * np.asarray(seconds))
