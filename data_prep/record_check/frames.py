"""What the fields of one key frame are by themselves: poses, images, boxes, map lines, CAN bus."""

from collections.abc import Iterator

import numpy as np

from data_prep import jpeg, map_lines
from data_prep.record_check import rules
from data_prep.record_check.projection import are_rigid, camera_names
from data_prep.record_check.rules import Rule
from data_prep.root_check.times import MAX_SPEED
from dima_jax.constants import COMMANDS, MAP_CLASSES

MAX_DISTANCE = 0.5 * float(np.hypot(map_lines.PATCH_WIDTH, map_lines.PATCH_LENGTH)) + 1.0  # meters from the LiDAR
MAX_STRETCH = 2.0  # of a pixel: width by height, or height by width
Found = Iterator[tuple[Rule, str]]


def problems(frame: dict) -> Found:
    """The rules that a key frame of `features.decode` breaks, and how."""
    yield from _poses(frame)
    yield from _cameras(frame["cameras"])
    yield from _agents(frame["agents"])
    yield from _map(frame["map"])
    if not np.isfinite(frame["can_bus"]).all():
        yield rules.CAN, "the CAN bus is not finite"
    if not all(np.isfinite(frame["ego"][name]).all() for name in ("future_offsets", "history_offsets")):
        yield rules.PATH, "the recorded path is not finite"
    if not np.isfinite(frame["ego"]["status"]).all():
        yield rules.CAN, "the ego's status is not finite"
    if not 0 <= frame["ego"]["command"] < len(COMMANDS):
        yield rules.PATH, f"the command is {frame['ego']['command']}, not one of {len(COMMANDS)}"


def _poses(frame: dict) -> Found:
    poses = {"lidar2ego": frame["lidar2ego"], "ego2global": frame["ego2global"]}
    names = camera_names(frame)
    poses |= {f"sensor2lidar of {c}": m for c, m in zip(names, frame["cameras"]["sensor2lidar"], strict=True)}
    every = np.stack(list(poses.values()))
    rigid = are_rigid(every)
    for name in [name for name, good in zip(poses, rigid, strict=True) if not good]:
        yield rules.POSE, f"{name} is no rigid motion"


def _cameras(cameras: dict) -> Found:
    rows = (cameras[name] for name in ("paths", "images", "intrinsics", "sizes"))
    for path, data, intrinsic, size in zip(*rows, strict=True):
        shape = jpeg.shape(data)
        problem = jpeg.defect(data, shape) if shape else "not a JPEG file"
        if problem:
            yield rules.IMAGE, f"{path}: {problem}"
        elif shape != tuple(size):
            yield rules.IMAGE, f"{path}: is {shape[0]} x {shape[1]}, the record says {size[0]} x {size[1]}"
        elif not _is_pinhole(intrinsic, shape):
            yield rules.INTRINSICS, f"{path}: its intrinsics do not fit an image of {shape[0]} x {shape[1]}"


def _is_pinhole(matrix: np.ndarray, shape: tuple[int, int]) -> bool:
    """Whether intrinsics [3, 3] belong to an image of `shape` (rows, columns)."""
    (fx, _, x), (below, fy, y), last = matrix.tolist()
    inside = 0 < x < shape[1] and 0 < y < shape[0]
    return inside and below == 0 and last == [0, 0, 1] and 0 < fx <= MAX_STRETCH * fy and fy <= MAX_STRETCH * fx


def _agents(agents: dict) -> Found:
    counts = {len(values) for values in agents.values()}
    if len(counts) > 1:
        yield rules.BOX, f"the agents' fields have different lengths {sorted(counts)}"
        return
    boxes = agents["boxes"]
    impossible = ~np.isfinite(boxes[:, :7]).all(axis=1) | (boxes[:, 3:6] <= 0).any(axis=1)
    speed = np.linalg.norm(boxes[:, 7:], axis=1)
    for i in np.flatnonzero(impossible):
        yield rules.BOX, f"instance {agents['instances'][i]} has an impossible box {boxes[i, :7].tolist()}"
    for i in np.flatnonzero((speed > MAX_SPEED) & ~impossible):
        yield rules.FAST, f"instance {agents['instances'][i]} moves at {speed[i]:.0f} m/s"
    mask = agents["future_mask"]
    if (mask[:, 1:] & ~mask[:, :-1]).any() or agents["future_offsets"][~mask].any():
        yield rules.FUTURE, "an agent's future goes on after it ended"
    if not all(np.isfinite(agents[name]).all() for name in ("future_offsets", "future_yaw")):
        yield rules.FUTURE, "an agent's future is not finite"


def _map(lines: dict) -> Found:
    if lines["lengths"].sum() != len(lines["vertices"]) or len(lines["lengths"]) != len(lines["labels"]):
        yield rules.MAP, "the map's lengths do not add up"
    elif len(lines["lengths"]) and lines["lengths"].min() < 2:
        yield rules.MAP, "a map line has fewer than two vertices"
    if not np.isfinite(lines["vertices"]).all() or (np.linalg.norm(lines["vertices"], axis=1) > MAX_DISTANCE).any():
        yield rules.MAP, "a map line leaves its patch"
    if len(lines["labels"]) and not 0 <= lines["labels"].min() <= lines["labels"].max() < len(MAP_CLASSES):
        yield rules.MAP, "a map line has an unknown class"
