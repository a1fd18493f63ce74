"""Real nuScenes and DriveLM pieces as records of this project, for tests.

The pieces are not part of the project (their license forbids it): they are looked for in $DIMA_REALDATA, else beside the
repository in ../shared/realdata, and tests that need them skip without them. Each adapter returns one key frame as the
dict of `dima_jax/data/features.py`; `write_split` puts key frames through the same writer as `data_prep.build` does.

* `mmdet3d_key_frame`: the first key frame of scene-0061, with boxes and calibration but neither map nor future.
* `drivelm_key_frame`: a key frame of DriveLM's challenge sample, with questions; its calibration is that of its log.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from data_prep import builder, qa, shards
from data_prep.key_frames import matrix
from dima_jax.categories import CLASS_OF_CATEGORY
from dima_jax.constants import CAMERAS, COMMANDS
from dima_jax.data import records
from dima_jax.data.features import NUM_FUTURE

IMAGE_SHAPE = (900, 1600)
CATEGORY_OF_CLASS = {agent_class: category for category, agent_class in CLASS_OF_CATEGORY.items()}


def folder() -> Path:
    """The folder of the real pieces; skips the test when there is none."""
    path = Path(os.environ.get("DIMA_REALDATA", Path(__file__).parents[2] / "shared" / "realdata"))
    if not path.is_dir():
        pytest.skip("no real nuScenes pieces here: set DIMA_REALDATA to the folder that holds mmdet3d_demo/")
    return path


def write_split(out: Path, split: str, frames: list[dict]) -> Path:
    """Records of single key frames, as a data set of one split that everything of the project can read."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / records.shard_name(split, 0, 1)
    shards.write_frames(path, frames, "real")
    tokens = tuple(frame["scene"]["token"] for frame in frames)
    builder.write_metadata(out, {split: [shards.Shard(str(path), tokens, len(frames))]})
    return out


def mmdet3d_info() -> dict:
    """The info of the only key frame of mmdet3d_demo (JSON copy of its pickle)."""
    info = json.loads((folder() / "derived" / "mmdet3d_demo_info.json").read_text())
    return info["data_list"][0] | {"classes": {label: name for name, label in info["metainfo"]["categories"].items()}}


def mmdet3d_key_frame() -> dict:
    """Six real images, calibration and 69 boxes (mmdet3d 1.x: center, l, w, h, heading)."""
    info = mmdet3d_info()
    images = [info["images"][camera] for camera in CAMERAS]
    instances = info["instances"]
    boxes = np.array([i["bbox_3d"] + i["velocity"] for i in instances])
    boxes = boxes[:, [0, 1, 2, 4, 3, 5, 6, 7, 8]]
    boxes[:, 6] = -boxes[:, 6] - np.pi / 2
    classes = [info["classes"].get(i["bbox_label_3d"], "") for i in instances]
    return _key_frame(
        token=info["token"],
        scene="scene-0061",
        timestamp=round(info["timestamp"] * 1e6),
        lidar2ego=_rigid(info["lidar_points"]["lidar2ego"]),
        ego2global=_rigid(info["ego2global"]),
        cameras={
            "images": [(folder() / "mmdet3d_demo" / image["img_path"]).read_bytes() for image in images],
            "paths": [image["img_path"] for image in images],
            "timestamps": np.array([round(image["timestamp"] * 1e6) for image in images]),
            "intrinsics": np.array([image["cam2img"] for image in images]),
            "sensor2lidar": np.array([np.linalg.inv(_rigid(image["lidar2cam"])) for image in images]),
        },
        agents=_agents(
            boxes,
            [CATEGORY_OF_CLASS.get(name, "movable_object.debris") for name in classes],
            [i["num_lidar_pts"] for i in instances],
            [i["num_radar_pts"] for i in instances],
        ),
        questions={"kinds": (), "questions": (), "answers": ()},
    )


def drivelm_key_frame(number: int = 0) -> dict:
    """Key frame `number` of DriveLM's sample: six real images, the calibration of its log, its questions, no boxes."""
    base = folder() / "drivelm_challenge"
    path = base / "data" / "train_sample.json"
    scenes = json.loads(path.read_text())
    found = [(scene, token, frame) for scene in scenes for token, frame in scenes[scene]["key_frames"].items()]
    scene, token, frame = found[number]
    paths = [frame["image_paths"][camera].removeprefix("../") for camera in CAMERAS]
    rigs = json.loads((folder() / "derived" / "rigs_by_log.json").read_text())
    log = Path(paths[0]).name.split("__")[0]
    rig = rigs["rigs"][rigs["log_to_rig"][log]]
    lidar2ego = matrix(rig["LIDAR_TOP"])
    return _key_frame(
        token=token,
        scene=scene,
        timestamp=_microseconds(paths[0]),
        lidar2ego=lidar2ego,
        ego2global=np.eye(4),
        cameras={
            "images": [(base / path).read_bytes() for path in paths],
            "paths": paths,
            "timestamps": np.array([_microseconds(path) for path in paths]),
            "intrinsics": np.array([rig[camera]["camera_intrinsic"] for camera in CAMERAS]),
            "sensor2lidar": np.linalg.inv(lidar2ego) @ np.array([matrix(rig[camera]) for camera in CAMERAS]),
        },
        agents=_agents(np.zeros((0, 9)), [], [], []),
        questions=qa.read(str(path))[token],
    )


def _key_frame(token, scene, timestamp, lidar2ego, ego2global, cameras, agents, questions) -> dict:
    """A scene of one key frame, without map, future, or CAN bus."""
    return {
        "sample_token": token,
        "scene": {"token": scene, "name": scene, "description": "", "location": ""},
        "frame_index": 0,
        "scene_length": 1,
        "timestamp": timestamp,
        "lidar2ego": lidar2ego,
        "ego2global": ego2global,
        "can_bus": np.zeros(18),
        "cameras": cameras | {"names": list(CAMERAS), "sizes": np.tile(IMAGE_SHAPE, (len(CAMERAS), 1))},
        "agents": agents,
        "map": {"vertices": np.zeros((0, 2), np.float32), "lengths": np.zeros(0, int), "labels": np.zeros(0, int)},
        "qa": questions,
        "ego": {
            "future_offsets": np.zeros((NUM_FUTURE, 2), np.float32),
            "future_mask": np.zeros(NUM_FUTURE, bool),
            "history_offsets": np.zeros((2, 2), np.float32),
            "command": COMMANDS.index("straight"),
            "status": np.zeros(9, np.float32),
        },
    }


def _agents(boxes: np.ndarray, categories: list[str], lidar: list[int], radar: list[int]) -> dict:
    n = len(boxes)
    return {
        "boxes": boxes.astype(np.float32),
        "instances": [str(i) for i in range(n)],
        "categories": categories,
        "num_lidar_pts": np.array(lidar, np.int64),
        "num_radar_pts": np.array(radar, np.int64),
        "future_offsets": np.zeros((n, NUM_FUTURE, 2), np.float32),
        "future_mask": np.zeros((n, NUM_FUTURE), bool),
        "future_yaw": np.zeros((n, NUM_FUTURE), np.float32),
    }


def _rigid(rows) -> np.ndarray:
    """A pose that was stored in float32, with its rotation made exact again."""
    pose = np.array(rows, np.float64)
    u, _, v = np.linalg.svd(pose[:3, :3])
    pose[:3, :3] = u @ v
    return pose


def _microseconds(path: str) -> int:
    return int(Path(path).stem.rsplit("__", 1)[1])
