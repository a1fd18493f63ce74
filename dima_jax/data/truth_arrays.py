"""Records as the arrays of a truth file (`dima_jax.scoring.recorded`); no image is decoded."""

import numpy as np

from dima_jax import commit, progress
from dima_jax.categories import LIDARSEG_CATEGORIES
from dima_jax.constants import COMMANDS
from dima_jax.data.features import NUM_FUTURE
from dima_jax.data.records import REBUILD, Records
from dima_jax.data.scene_tags import scene_tags
from dima_jax.errors import UserError

FIELDS = (
    *("sample_token", "scene", "frame_index", "scene_length", "timestamp"),
    *("lidar2ego", "ego2global", "can_bus", "agents", "map", "ego"),
)
INDEX_OF_CATEGORY = {name: index for index, name in enumerate(LIDARSEG_CATEGORIES)}
SPEED = 7  # of a record's ego status
X_AXIS, Y_AXIS = 0, 1  # columns of a rotation: the axis that points forward, of the ego frame and of the LiDAR frame


def arrays(records: Records) -> tuple[dict[str, np.ndarray], dict]:
    """(arrays, header) of a split for `scoring.truth.save`: every group but those that need the nuScenes root.

    UserError for records that are damaged or not whole.
    """
    numbers = progress.each(range(len(records)), len(records), "frame", name=records.split)
    frames = [records.decode(i, FIELDS) for i in numbers]
    try:
        found = of_frames(frames)
    except ValueError as error:
        raise UserError(f"{records.folder}: {error}; {REBUILD}") from None
    return found, {
        "split": records.split,
        "source": {"kind": "records", "files": records.shards},
        "commit": commit.describe(),
        "data_hash": records.data_hash,
    }


def of_frames(frames: list[dict]) -> dict[str, np.ndarray]:
    """The arrays of key frames, each with the FIELDS of `features.py`, in order of time; scenes in order of appearance.

    Where no frame has a box, nobody looked for any, and the groups of agents are absent; so are lines where there is none.
    ValueError for a scene that lacks a frame which another one's recorded path reaches.
    """
    scenes = {frame["scene"]["name"]: frame["scene"] for frame in frames}
    number = {name: index for index, name in enumerate(scenes)}
    places = list(dict.fromkeys(frame["scene"]["location"] for frame in frames))
    by_scene: dict[str, list[dict]] = {name: [] for name in scenes}
    for frame in frames:
        by_scene[frame["scene"]["name"]].append(frame)
    frames = [frame for group in by_scene.values() for frame in group]
    paths = [_paths(group) for group in by_scene.values()]
    tags = [scene_tags(scene["description"]) for scene in scenes.values()]
    tag_names = list(dict.fromkeys(name for found in tags for name in found))
    index, length = (_column(frames, name, np.int32) for name in ("frame_index", "scene_length"))
    commands = np.array([frame["ego"]["command"] for frame in frames], np.int8)
    status = _column([frame["ego"] for frame in frames], "status", np.float32)
    return {
        "tokens": texts(frame["sample_token"] for frame in frames),
        "scene": np.array([number[frame["scene"]["name"]] for frame in frames], np.int32),
        "scene_names": texts(scenes),
        "frame_index": index,
        "scene_length": length,
        "timestamp": _column(frames, "timestamp", np.int64),
        "location": np.array([places.index(frame["scene"]["location"]) for frame in frames], np.int16),
        "location_names": texts(places),
        "tag_names": texts(tag_names),
        "tags": np.array([[name in found for name in tag_names] for found in tags], bool).reshape(len(tags), -1),
        "path": np.cumsum(_column([frame["ego"] for frame in frames], "future_offsets", np.float32), axis=1),
        "path_mask": _column([frame["ego"] for frame in frames], "future_mask", bool),
        "future_valid": index + NUM_FUTURE < length,
        **{key: np.concatenate([found[key] for found in paths]) for key in paths[0]},
        "lidar2ego": _column(frames, "lidar2ego", np.float64),
        "ego2global": _column(frames, "ego2global", np.float64),
        "command": commands,
        "targeted": commands != COMMANDS.index("straight"),
        "history": _column([frame["ego"] for frame in frames], "history_offsets", np.float32),
        "speed": status[:, SPEED].copy(),
        "can_bus": _column(frames, "can_bus", np.float64),
        "status": status,
        **(_agents([frame["agents"] for frame in frames]) if any(len(f["agents"]["boxes"]) for f in frames) else {}),
        **(_lines([frame["map"] for frame in frames]) if any(len(f["map"]["lengths"]) for f in frames) else {}),
    }


def texts(values) -> np.ndarray:
    """An array of texts, of none as well."""
    return np.array([*values], dtype=np.str_)


def starts(lengths) -> np.ndarray:
    """Where the rows of each item start, and where the last one's end: [n + 1] int64."""
    return np.concatenate([[0], np.cumsum([*lengths])]).astype(np.int64)


def _column(rows: list[dict], name: str, dtype) -> np.ndarray:
    return np.stack([np.asarray(row[name], dtype) for row in rows])


def _paths(frames: list[dict]) -> dict[str, np.ndarray]:
    """Headings in the LiDAR frame, places and headings in the ego frame, of all frames of one scene."""
    known = _column([frame["ego"] for frame in frames], "future_mask", bool).sum(axis=1, keepdims=True)
    later = np.arange(len(frames))[:, None] + np.minimum(np.arange(1, NUM_FUTURE + 1), known)
    follow = [frame["frame_index"] for frame in frames] == np.arange(len(frames)) + frames[0]["frame_index"]
    if later.max() >= len(frames) or not follow.all():
        raise ValueError(f"{frames[0]['scene']['name']} lacks one of its key frames")
    ego = _column(frames, "ego2global", np.float64)
    lidar = ego @ _column(frames, "lidar2ego", np.float64)
    in_lidar = np.linalg.inv(lidar)[:, None] @ lidar[later]
    in_ego = np.linalg.inv(ego)[:, None] @ ego[later]
    return {
        "path_yaw": _headings(in_lidar, Y_AXIS),
        "ego_path": in_ego[..., :2, 3].astype(np.float32),
        "ego_path_yaw": _headings(in_ego, X_AXIS),
    }


def _headings(motions: np.ndarray, forward: int) -> np.ndarray:
    """Of motions [N, 6, 4, 4] from where the frame is; without jumps of a whole turn."""
    yaw = np.arctan2(motions[..., 1, forward], motions[..., 0, forward])
    start = np.full((len(yaw), 1), np.pi / 2 * forward)
    return np.unwrap(np.concatenate([start, yaw], axis=1), axis=1)[:, 1:].astype(np.float32)


def _agents(groups: list[dict]) -> dict[str, np.ndarray]:
    """Every annotation; instances are numbered as they come."""

    def joined(name: str, dtype, *shape: int) -> np.ndarray:
        return np.concatenate([np.asarray(group[name], dtype).reshape(-1, *shape) for group in groups])

    number: dict[str, int] = {}
    instances = [number.setdefault(one, len(number)) for group in groups for one in group["instances"]]
    categories = [INDEX_OF_CATEGORY.get(one, 0) for group in groups for one in group["categories"]]
    return {
        "agent_start": starts(len(group["boxes"]) for group in groups),
        "boxes": joined("boxes", np.float32, 9),
        "category": np.array(categories, np.int16),
        "lidar_points": joined("num_lidar_pts", np.int32),
        "radar_points": joined("num_radar_pts", np.int32),
        "instance": np.array(instances, np.int32),
        "instance_tokens": texts(number),
        "future_offsets": joined("future_offsets", np.float32, NUM_FUTURE, 2),
        "future_mask": joined("future_mask", bool, NUM_FUTURE),
        "future_yaw": joined("future_yaw", np.float32, NUM_FUTURE),
    }


def _lines(groups: list[dict]) -> dict[str, np.ndarray]:
    return {
        "line_start": starts(len(group["lengths"]) for group in groups),
        "line_label": np.concatenate([np.asarray(group["labels"], np.int8) for group in groups]),
        "line_vertex_start": starts(np.concatenate([group["lengths"] for group in groups])),
        "line_vertices": np.concatenate([np.asarray(group["vertices"], np.float32).reshape(-1, 2) for group in groups]),
    }
