"""Golden piece `info_converter`: a nuScenes database without images and maps, the fields VAD's converter makes of it, and
what VAD's loader turns those into, up to the CAN bus of a window. The agents' goal class is not checked: no record holds
it and no configuration of VAD reads it."""

import numpy as np

from data_prep import ego
from data_prep.key_frames import KeyFrames
from data_prep.scenes import Root
from dima_jax.categories import CLASS_OF_CATEGORY
from dima_jax.data import targets, transforms, windows
from tests.golden.check import Check, close

EXACT, FLOAT32 = 1e-8, 2e-5  # global positions are about 1000 m


def check(folder):
    version = next(folder.glob("*/scene.json")).parent.name
    root = Root(folder, version)
    frames = {}
    for scene in root.tables.scene:
        reader = KeyFrames(root, scene)
        for i in range(len(reader)):
            frame = reader.numbers(i)
            frame["raw_can_bus"] = ego.can_fields(reader.messages, frame["timestamp"])
            frames[frame["sample_token"]] = frame
    for path in sorted(folder.glob("expected_infos_*.npz")):
        golden = np.load(path)
        split = path.stem.rsplit("_", 1)[-1]
        in_order = [frames[str(golden[f"i{k}/token"])] for k in range(int(golden["num_infos"]))]
        checks = []
        for k, frame in enumerate(in_order):
            get = lambda name, golden=golden, k=k: golden[f"i{k}/{name}"]  # noqa: E731
            checks += [c._replace(name=f"i{k}/{c.name}") for c in (*_info(frame, get), *_loaded(frame, get, split))]
        checks += _queues(golden, in_order)
        yield path.name, checks


def _info(frame, golden):
    agents, trip = frame["agents"], frame["ego"]
    boxes = agents["boxes"]
    names = [CLASS_OF_CATEGORY.get(name, name) for name in agents["categories"]]
    same = (
        ("scene_token", frame["scene"]["token"]),
        ("map_location", frame["scene"]["location"]),
        ("frame_idx", frame["frame_index"]),
        ("fut_valid_flag", frame["frame_index"] + 6 < frame["scene_length"]),
        ("gt_names", names),
        ("num_lidar_pts", agents["num_lidar_pts"]),
        ("num_radar_pts", agents["num_radar_pts"]),
        ("valid_flag", targets.visible(agents, "train")),
    )
    for name, ours in same:
        yield Check(name, 0.0 if np.array_equal(np.asarray(ours), golden(name)) else np.inf, 0.0)
    yield close("can_bus", frame["raw_can_bus"], golden("can_bus__f64"), EXACT)
    yield close("gt_boxes", boxes[:, :7], golden("gt_boxes__f64"), EXACT)
    yield close("gt_velocity", boxes[:, 7:], golden("gt_velocity__f64"), EXACT)
    yield close("gt_agent_fut_trajs", agents["future_offsets"].reshape(-1, 12), golden("gt_agent_fut_trajs"), FLOAT32)
    yield close("gt_agent_fut_masks", agents["future_mask"], golden("gt_agent_fut_masks"), 0.0)
    yield close("gt_agent_fut_yaw", agents["future_yaw"], golden("gt_agent_fut_yaw"), FLOAT32)
    yield close("gt_agent_lcf_feat", _features(agents), golden("gt_agent_lcf_feat"), FLOAT32)
    yield close("gt_ego_his_trajs", trip["history_offsets"], golden("gt_ego_his_trajs"), FLOAT32)
    yield close("gt_ego_fut_trajs", trip["future_offsets"], golden("gt_ego_fut_trajs"), FLOAT32)
    yield close("gt_ego_fut_masks", trip["future_mask"], golden("gt_ego_fut_masks"), 0.0)
    yield close("gt_ego_fut_cmd", np.eye(3)[trip["command"]], golden("gt_ego_fut_cmd"), 0.0)
    yield close("gt_ego_lcf_feat", trip["status"], golden("gt_ego_lcf_feat"), FLOAT32)
    sensor2lidar = frame["cameras"]["sensor2lidar"]
    yield close("sensor2lidar_rotation", sensor2lidar[:, :3, :3], golden("cam_sensor2lidar_rotation__f64"), EXACT)
    yield close("sensor2lidar_translation", sensor2lidar[:, :3, 3], golden("cam_sensor2lidar_translation__f64"), EXACT)


def _loaded(frame, golden, split):
    agents = frame["agents"]
    kept = targets.visible(agents, split)
    boxes = np.nan_to_num(agents["boxes"][kept])
    bottom = boxes - np.eye(9)[2] * boxes[:, 5:6] / 2  # VAD's boxes stand on their z
    cameras = frame["cameras"]
    lidar2img = transforms.lidar2img(cameras["intrinsics"], cameras["sensor2lidar"], np.ones(6))
    attributes = np.concatenate(
        [
            agents["future_offsets"].reshape(-1, 12),
            agents["future_mask"],
            np.zeros((len(kept), 1)),  # the goal class
            np.nan_to_num(_features(agents)),
            agents["future_yaw"],
        ],
        axis=1,
    )[kept]
    column = np.arange(34) != 18
    yield close("loaded/lidar2img", lidar2img, golden("loaded/lidar2img__f64"), 1e-6)
    yield close(
        "loaded/lidar2global", frame["ego2global"] @ frame["lidar2ego"], golden("loaded/lidar2global__f64"), EXACT
    )
    yield close("loaded/can_bus", frame["can_bus"], golden("loaded/can_bus__f64"), EXACT)
    yield close("loaded/gt_bboxes_3d", bottom, golden("loaded/gt_bboxes_3d"), FLOAT32)
    yield close("loaded/gt_labels_3d", targets.labels(agents["categories"])[kept], golden("loaded/gt_labels_3d"), 0.0)
    yield close("loaded/attr_labels", attributes[:, column], golden("loaded/attr_labels")[:, column], FLOAT32)


def _features(agents):
    """x, y, heading, vx, vy, width, length, height, category index: VAD's `gt_agent_lcf_feat`."""
    boxes = agents["boxes"]
    category = targets.category_indices(agents["categories"])
    heading = -(boxes[:, 6] + np.pi / 2)
    return np.column_stack([boxes[:, :2], heading, boxes[:, 7:], boxes[:, 3:6], category]).reshape(-1, 9)


def _queues(golden, frames):
    for name in (name for name in golden.files if name.startswith("queue_")):
        members = [int(part) for part in name.split("/")[0].split("_")[1:]]
        absolute = np.stack([frames[k]["can_bus"] for k in members])
        yield close(name, windows.can_bus_deltas(absolute), golden[name], EXACT)
