"""The truth in infos of mmdetection3d before 1.0 and of VAD: {"infos": [{"token", poses, "gt_boxes", "gt_names", ...}]}.

Their boxes are cx, cy, cz, w, l, h, -heading - pi/2 in the LiDAR frame, as those of records. Paths come from the poses;
futures from the boxes that later key frames have of the same instance, whose tokens come from a file of their own.
"""

from typing import Any

import numpy as np

from data_prep import ego
from data_prep.field_files import is_name, numbers, refuse
from data_prep.key_frames import matrix
from dima_jax.categories import CLASS_OF_CATEGORY, LIDARSEG_CATEGORIES
from dima_jax.data import truth_arrays
from dima_jax.data.features import NUM_FUTURE
from dima_jax.errors import UserError
from dima_jax.scoring.recorded import GROUPS

LONGEST_GAP = 900_000  # microseconds between key frames of a scene
LATEST = 2**60  # microseconds
MOST_POINTS = 2**31
ABSENT = ("places", "tags", "lines", "ego_inputs")
CATEGORY_OF_CLASS: dict[str, str] = {}
for _category, _class in CLASS_OF_CATEGORY.items():  # the first of a class: pedestrian.adult, bus.bendy
    CATEGORY_OF_CLASS.setdefault(_class, _category)


def arrays(
    file: str,
    content: dict,
    instance_file: str | None,
    instances: dict[str, list[str | None]] | None,
    order: dict[str, tuple[str, int, int]] | None,
) -> dict[str, np.ndarray]:
    """The arrays of a truth, without maps and CAN bus. instances: {sample token: instance of each box, None = unknown}.

    order: {sample token: (scene, ...)}; else the infos' "scene_token". UserError for what is missing, with its token.
    """
    scenes: dict[str, list[dict]] = {}
    seen = set()
    for place, info in enumerate(content["infos"]):
        frame = _frame(file, place, info, instance_file, instances)
        token = frame["sample_token"]
        if token in seen:
            raise refuse(file, token, "is there twice")
        seen.add(token)
        name = info.get("scene_token") if order is None else order.get(token, (None,))[0]
        if not is_name(name):
            raise refuse(file, token, "its scene is not known; give --scenes=FILE.json, {sample token: scene}")
        frame["scene"] = {"name": name, "description": "", "location": ""}
        scenes.setdefault(name, []).append(frame)
    if not scenes:
        raise UserError(f"{file}: has no infos")
    frames = [frame for name in sorted(scenes) for frame in _scene(file, scenes[name])]
    found = truth_arrays.of_frames(frames)
    absent = ABSENT if instances else (*ABSENT, "instances", "futures")
    return {key: array for key, array in found.items() if not any(key in GROUPS[group] for group in absent)}


def _frame(file: str, place: int, info: Any, instance_file: str | None, instances: dict | None) -> dict:
    token = info.get("token") if isinstance(info, dict) else None
    time = info.get("timestamp") if isinstance(info, dict) else None
    if not is_name(token) or not isinstance(time, (int, np.integer)) or not 0 <= time < LATEST:
        raise UserError(f"{file}: info {place} has no token or no timestamp in microseconds")
    names = info.get("gt_names")
    names = names.tolist() if isinstance(names, np.ndarray) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise refuse(file, token, "gt_names is no list of names")
    boxes, velocity, lidar, radar = (
        _table(file, token, info, key, len(names), width)
        for key, width in (("gt_boxes", 7), ("gt_velocity", 2), ("num_lidar_pts", 1), ("num_radar_pts", 1))
    )
    if not np.isfinite(boxes).all() or (len(boxes) and boxes[:, 3:6].min() <= 0):
        raise refuse(file, token, "gt_boxes has a box that is not finite or has no volume")
    if not ((lidar >= 0) & (lidar < MOST_POINTS)).all() or not ((radar >= 0) & (radar < MOST_POINTS)).all():
        raise refuse(file, token, "num_lidar_pts or num_radar_pts has a number that is no count")
    known = [CATEGORY_OF_CLASS.get(name, name) for name in names]
    tokens = [None] * len(names) if instances is None else instances.get(token)
    are_names = isinstance(tokens, list) and all(one is None or is_name(one) for one in tokens)
    if not are_names or len(tokens) != len(names):
        raise refuse(str(instance_file), token, f"has not the {len(names)} instances of its boxes")
    return {
        "sample_token": token,
        "timestamp": int(time),
        "lidar2ego": _pose(file, token, info, "lidar2ego"),
        "ego2global": _pose(file, token, info, "ego2global"),
        "can_bus": np.zeros(18),
        "map": {"vertices": np.zeros((0, 2)), "lengths": [], "labels": []},
        "agents": {
            "boxes": np.concatenate([boxes, velocity], axis=1),
            "categories": [name if name in LIDARSEG_CATEGORIES else "" for name in known],
            "num_lidar_pts": lidar[:, 0],
            "num_radar_pts": radar[:, 0],
            "instances": [one or f"{token}/{row}" for row, one in enumerate(tokens)],
        },
    }


def _table(file: str, token: str, info: dict, key: str, rows: int, width: int) -> np.ndarray:
    """[rows, width] float64 of an info; radar points are 0 in files without them."""
    array = numbers(file, token, key, info.get(key, [0] * rows if key == "num_radar_pts" else None))
    if array.size != rows * width:
        raise refuse(file, token, f"{key} has the shape {array.shape}, not [{rows}, {width}]")
    return array.reshape(rows, width)


def _pose(file: str, token: str, info: dict, name: str) -> np.ndarray:
    place, turn = (
        numbers(file, token, f"{name}_{part}", info.get(f"{name}_{part}")).reshape(-1)
        for part in ("translation", "rotation")
    )
    if (len(place), len(turn)) != (3, 4) or not np.isfinite([*place, *turn]).all() or not turn.any():
        raise refuse(file, token, f"{name} is no pose")
    return matrix({"translation": place, "rotation": turn})


def _scene(file: str, frames: list[dict]) -> list[dict]:
    """The frames of a scene in order of time, with what depends on the others."""
    frames = sorted(frames, key=lambda frame: frame["timestamp"])
    poses = [frame["ego2global"] @ frame["lidar2ego"] for frame in frames]
    rows = [{one: row for row, one in enumerate(frame["agents"]["instances"])} for frame in frames]
    for i, frame in enumerate(frames):
        if i and not 0 < frame["timestamp"] - frames[i - 1]["timestamp"] <= LONGEST_GAP:
            gap = (frame["timestamp"] - frames[i - 1]["timestamp"]) / 1e6
            raise refuse(file, frame["sample_token"], f"{gap:.1f} s after the key frame before: give whole scenes")
        if len(rows[i]) < len(frame["agents"]["instances"]):
            raise refuse(file, frame["sample_token"], "two of its boxes have one instance")
        frame |= {"frame_index": i, "scene_length": len(frames)}
        frame["ego"] = ego.path(poses, i) | {"status": np.zeros(9)}
    for i, frame in enumerate(frames):
        frame["agents"] |= _futures(frames[i : i + NUM_FUTURE + 1], rows[i : i + NUM_FUTURE + 1], poses[i:])
    return frames


def _futures(frames: list[dict], rows: list[dict[str, int]], poses: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Offsets, mask and heading differences of the first frame's agents, in its LiDAR frame, until one is not seen."""
    instances = frames[0]["agents"]["instances"]
    offsets = np.zeros((len(instances), NUM_FUTURE, 2))
    mask, turns = np.zeros((len(instances), NUM_FUTURE), bool), np.zeros((len(instances), NUM_FUTURE))
    to_lidar = np.linalg.inv(poses[0])
    alive = np.arange(len(instances))
    center, heading = _seen(frames[0], alive, np.eye(4))
    for step in range(1, len(frames)):
        at = np.array([rows[step].get(instances[one], -1) for one in alive], int)
        alive, at, center, heading = (one[at >= 0] for one in (alive, at, center, heading))
        then, turned = _seen(frames[step], at, to_lidar @ poses[step])
        offsets[alive, step - 1] = then - center
        turns[alive, step - 1] = np.arctan2(np.sin(turned - heading), np.cos(turned - heading))
        mask[alive, step - 1] = True
        center, heading = then, turned
    return {"future_offsets": offsets, "future_mask": mask, "future_yaw": turns}


def _seen(frame: dict, rows: np.ndarray, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centers [n, 2] and headings [n] of some boxes of a frame, moved by a 4x4 motion."""
    boxes = frame["agents"]["boxes"][rows]
    heading = -boxes[:, 6] - np.pi / 2
    ahead = np.stack([np.cos(heading), np.sin(heading), np.zeros(len(boxes))], axis=-1) @ motion[:3, :3].T
    return (boxes[:, :3] @ motion[:3, :3].T + motion[:3, 3])[:, :2], np.arctan2(ahead[:, 1], ahead[:, 0])
