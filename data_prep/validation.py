"""The checks of finished records: one line of text for every problem."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_prep import jpeg, map_lines, qa
from data_prep.root_check.times import FRAME_GAP, MAX_SPEED
from dima_jax import progress
from dima_jax.constants import CAMERAS, MAP_CLASSES
from dima_jax.data import records
from dima_jax.errors import UserError

MAX_DISTANCE = 0.5 * float(np.hypot(map_lines.PATCH_WIDTH, map_lines.PATCH_LENGTH)) + 1.0  # meters from the LiDAR
RIGID, SAME_PLACE = 1e-6, 1e-3  # tolerances: of a rotation matrix; meters between recorded path and poses


def validate(folder: str) -> list[str]:
    """All problems of the records in `folder`, one line each; prints a summary line per split.

    Raises UserError for a folder without dataset_info.json.
    """
    problems = []
    for split in records.shard_lengths(Path(folder)):
        try:
            reader = records.Records(folder, split)
        except UserError as error:
            problems.append(str(error))
            continue
        found = list(_split_problems(reader))
        problems += [f"{split}: {problem}" for problem in found]
        print(f"{split}: {len(reader)} key frames of {len(set(reader.scenes))} scenes, {len(found)} problems")
    return problems


def _split_problems(reader: records.Records) -> Iterator[str]:
    previous = None
    for i in progress.each(range(len(reader)), len(reader), "frame", name=reader.split):
        where = f"{reader.scenes[i]}, sample {reader.samples[i]}"
        try:
            frame = reader.decode(i)
        except UserError as error:
            yield str(error)
            previous = None
            continue
        yield from (f"{where}: {problem}" for problem in _frame_problems(frame))
        yield from (f"{where}: {problem}" for problem in _order_problems(frame, previous, reader, i))
        previous = frame
    if previous is not None and previous["frame_index"] != previous["scene_length"] - 1:
        yield f"{previous['scene']['name']}: ends at frame {previous['frame_index']} of {previous['scene_length']}"


def _order_problems(frame: dict, previous: dict | None, reader: records.Records, i: int) -> Iterator[str]:
    """Checks the position of a frame in its scene against the sidecar and the previous frame."""
    if (frame["scene"]["name"], frame["frame_index"]) != (reader.scenes[i], reader.frames[i]):
        yield "is not the frame the sidecar says; build the records again"
    if frame["frame_index"] == 0 or previous is None:
        return
    if previous["scene"]["token"] != frame["scene"]["token"] or previous["frame_index"] + 1 != frame["frame_index"]:
        yield f"frame {frame['frame_index']} does not follow frame {frame['frame_index'] - 1} of its scene"
        return
    gap = (frame["timestamp"] - previous["timestamp"]) * 1e-6
    if not FRAME_GAP[0] <= gap <= FRAME_GAP[1]:
        yield f"{gap:.3f} s after the key frame before, 0.5 s are expected"
    step = _lidar2global(frame)[:3, 3] - _lidar2global(previous)[:3, 3]
    if np.linalg.norm(step) > MAX_SPEED * max(gap, 0.0):
        yield f"the ego pose jumps by {np.linalg.norm(step):.1f} m"
    recorded = previous["ego"]["future_offsets"][0]
    if np.abs(_lidar2global(previous)[:3, :3].T @ step - [*recorded, 0])[:2].max() > SAME_PLACE:
        yield "lies elsewhere than the recorded path of the frame before says"


def _frame_problems(frame: dict) -> Iterator[str]:
    yield from _pose_problems(frame)
    yield from _camera_problems(frame["cameras"])
    yield from _agent_problems(frame["agents"])
    yield from _map_problems(frame["map"])
    if not np.isfinite(frame["can_bus"]).all():
        yield "the CAN bus is not finite"
    for question, answer in zip(frame["qa"]["questions"], frame["qa"]["answers"], strict=True):
        yield from (f"tag {tag} {problem}" for tag, problem in qa.tag_problems(f"{question} {answer}"))
        for tag in qa.outside_image(f"{question} {answer}"):
            yield f"tag {tag} is outside of the image of {qa.IMAGE_SIZE[0]} x {qa.IMAGE_SIZE[1]}; remove the question"


def _pose_problems(frame: dict) -> Iterator[str]:
    poses = {"lidar2ego": frame["lidar2ego"], "ego2global": frame["ego2global"]}
    poses |= {f"sensor2lidar of {c}": m for c, m in zip(CAMERAS, frame["cameras"]["sensor2lidar"], strict=True)}
    for name, pose in poses.items():
        rotation = pose[:3, :3]
        if not np.isfinite(pose).all() or np.abs(rotation @ rotation.T - np.eye(3)).max() > RIGID:
            yield f"{name} is no rigid motion"


def _camera_problems(cameras: dict) -> Iterator[str]:
    for path, data, intrinsic in zip(cameras["paths"], cameras["images"], cameras["intrinsics"], strict=True):
        shape = jpeg.shape(data)
        problem = jpeg.defect(data, shape) if shape else "not a JPEG file"
        if problem:
            yield f"{path}: {problem}"
        elif not (0 < intrinsic[0, 2] < shape[1] and 0 < intrinsic[1, 2] < shape[0] and intrinsic[0, 0] > 0):
            yield f"{path}: its intrinsics do not fit an image of {shape[0]} x {shape[1]}"


def _agent_problems(agents: dict) -> Iterator[str]:
    boxes = agents["boxes"]
    for instance, box in zip(agents["instances"], boxes, strict=True):
        if not np.isfinite(box[:7]).all() or box[3:6].min() <= 0:
            yield f"instance {instance} has an impossible box {box[:7].tolist()}"
        elif np.nan_to_num(np.linalg.norm(box[7:])) > MAX_SPEED:
            yield f"instance {instance} moves at {np.linalg.norm(box[7:]):.0f} m/s"
    mask = agents["future_mask"]
    if (mask[:, 1:] & ~mask[:, :-1]).any() or agents["future_offsets"][~mask].any():
        yield "an agent's future goes on after it ended"
    counts = {len(values) for values in agents.values()}
    if len(counts) > 1:
        yield f"the agents' fields have different lengths {sorted(counts)}"


def _map_problems(lines: dict) -> Iterator[str]:
    if lines["lengths"].sum() != len(lines["vertices"]) or len(lines["lengths"]) != len(lines["labels"]):
        yield "the map's lengths do not add up"
    elif len(lines["lengths"]) and lines["lengths"].min() < 2:
        yield "a map line has fewer than two vertices"
    if not np.isfinite(lines["vertices"]).all() or (np.linalg.norm(lines["vertices"], axis=1) > MAX_DISTANCE).any():
        yield "a map line leaves its patch"
    if len(lines["labels"]) and not 0 <= lines["labels"].min() <= lines["labels"].max() < len(MAP_CLASSES):
        yield "a map line has an unknown class"


def _lidar2global(frame: dict) -> np.ndarray:
    return frame["ego2global"] @ frame["lidar2ego"]
