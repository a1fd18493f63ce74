"""Random drives to hold a protocol against its twin: with what decides between hit and miss drawn on purpose.

A drive is one of four kinds. "free": any motion on a ground that is not quite flat. "exact": poses, boxes and plans lie on
a lattice, so that corners fall on halves of cells and boxes touch. "far": plans and agents near and beyond the border of
the grids. "empty": no agents.
"""

import numpy as np

from dima_jax.categories import AREA_LAYERS, LIDARSEG_CATEGORIES
from dima_jax.constants import EGO_LENGTH, EGO_WIDTH
from dima_jax.metrics.protocols.base import Plans
from dima_jax.scoring.recorded import KINDS, Truth
from dima_jax.scoring.truth import check
from tests.scoring.fake import starts

F = 6
LENGTH = 20  # frames of a drive
PLANNERS = 2
LIDAR2EGO = np.array([[0, 1, 0, 0.985793], [-1, 0, 0, 0], [0, 0, 1, 1.84], [0, 0, 0, 1.0]])
DRAWN = ("free", "exact", "free", "far", "exact", "empty")


def scenes(frames: int, seed: int) -> tuple[Truth, Plans]:
    """A truth of about so many frames, and plans for them."""
    drives = [_drive(np.random.default_rng([seed, k]), k, DRAWN[k % len(DRAWN)]) for k in range(-(-frames // LENGTH))]
    frames = [frame for drive, _ in drives for frame in drive]
    truth = _truth(frames, [areas for _, areas in drives])
    lidar, ego = (np.stack([frame[key] for frame in frames], axis=1) for key in ("plan_lidar", "plan_ego"))
    names = [f"plan_{k}" for k in range(PLANNERS)]
    return truth, Plans(names, lidar, ego, ["lidar"] * PLANNERS, np.ones(lidar.shape[:2], bool))


def _pose(x, y, yaw, roll=0.0, pitch=0.0, z=0.0):
    (a, b), (c, d), (e, f) = ((np.cos(angle), np.sin(angle)) for angle in (yaw, pitch, roll))
    turn = (
        np.array([[a, -b, 0], [b, a, 0], [0, 0, 1]])
        @ [[c, 0, d], [0, 1, 0], [-d, 0, c]]
        @ [[1, 0, 0], [0, e, -f], [0, f, e]]
    )
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = turn, (x, y, z)
    return result


def _drive(rng, number, kind):
    """(frames, areas of the map) of one drive."""
    speed, curvature = rng.uniform(0, 6) * (rng.random() < 0.8), rng.normal(0, 0.03)
    yaw, (x, y) = rng.uniform(-4, 4), rng.uniform(0, 1000, 2)
    poses = []
    for k in range(LENGTH):
        if kind == "exact":
            poses.append(_pose(16.0 * number + 0.5 * round(speed) * k, 8.0, 0.0))  # exact in binary
        else:
            tilt = rng.normal(0, 0.01, 3)
            poses.append(_pose(x, y, yaw, tilt[0], tilt[1], 0.1 * k + tilt[2]))
            yaw += curvature * speed
            x, y = x + speed * np.cos(yaw), y + speed * np.sin(yaw)
    to_lidar = LIDAR2EGO.copy()
    if kind == "exact":
        to_lidar[0, 3] = 1.0
    frames = [_frame(rng, number, k, kind, np.array(poses), to_lidar) for k in range(LENGTH)]
    return frames, _areas(rng, poses, kind)


def _frame(rng, number, k, kind, poses, lidar2ego):
    count = min(F, LENGTH - 1 - k)
    known = np.minimum(np.arange(F), max(count - 1, 0)) + (k + 1 if count else k)
    yaw = np.arctan2(*(np.linalg.inv(poses[k]) @ poses[known])[:, [1, 0], 0].T)
    in_ego = (np.linalg.inv(poses[k]) @ poses[known])[:, :2, 3]
    in_lidar = (np.linalg.inv(poses[k] @ lidar2ego) @ poses[known] @ lidar2ego)[:, :2, 3]
    path, ego_path = in_lidar.astype(np.float32), in_ego.astype(np.float32)
    plan_lidar, plan_ego = _plans(rng, kind, path, ego_path, yaw)
    return {
        "tokens": f"{number:05d}{k:04d}",
        "scene": number,
        "frame_index": k,
        "location": number,
        "path": path,
        "path_mask": np.arange(F) < count,
        "future_valid": count == F,
        "path_yaw": yaw + np.pi / 2,
        "ego_path": ego_path,
        "ego_path_yaw": yaw,
        "lidar2ego": lidar2ego,
        "ego2global": poses[k],
        "plan_lidar": plan_lidar,
        "plan_ego": plan_ego,
        "agents": _agents(rng, kind, np.concatenate([path[:2], plan_lidar[..., :2].reshape(-1, 2)])),
        "curbs": [
            np.cumsum(np.concatenate([rng.uniform(-8, 8, (1, 2)), rng.normal(0, 6, (rng.integers(1, 6), 2))]), axis=0)
            for _ in range(rng.integers(0, 4))
        ],
    }


def _plans(rng, kind, path, ego_path, yaw):
    """x, y, heading of each planner in the LiDAR and in the ego frame; what lies on a lattice does so in both."""
    error = rng.normal(0, rng.choice([0.1, 0.5, 2.0]), (PLANNERS, 1, 2)) * np.linspace(0.2, 1, F)[:, None]
    turn = rng.normal(0, 0.3, (PLANNERS, F))
    if kind == "exact":
        cell = rng.choice([0.1, 0.25])
        ego = np.round((ego_path + error) / cell) * cell
        ego[1] = ego_path if rng.random() < 0.3 else ego[1]
        turn = np.round(turn) * np.pi / 2
    elif kind == "far":
        ego = ego_path + error + rng.normal(0, 40, (PLANNERS, 1, 2)) * np.linspace(0, 1, F)[:, None]
    else:
        ego = ego_path + error
    lidar = path + np.stack([-(ego - ego_path)[..., 1], (ego - ego_path)[..., 0]], axis=-1)
    heading = (0.0 if kind == "exact" else yaw) + turn
    return (
        np.concatenate([lidar, heading[..., None] + np.pi / 2], axis=-1),
        np.concatenate([ego, heading[..., None]], axis=-1),
    )


def _agents(rng, kind, near):
    """Boxes with all else that a truth has of them. near: points of the LiDAR frame that some are to be close to."""
    n = 0 if kind == "empty" else rng.integers(0, 9)
    at = near[rng.integers(0, len(near), n)]
    size = rng.uniform([0.3, 0.3], [3.0, 10.0], (n, 2))
    heading = rng.uniform(-np.pi, np.pi, n)
    center = at + rng.normal(0, 3.0, (n, 2))
    if kind == "exact":
        size, heading = rng.integers(1, 17, (n, 2)) * 0.25, rng.integers(-2, 3, n) * np.pi / 2
        center = np.round(center / 0.25) * 0.25
        touching = rng.random(n) < 0.5  # the ego's box, if that looks ahead, with one side
        along = np.where(np.abs(np.sin(heading)) > 0.5, size[:, 1], size[:, 0])
        across = np.where(np.abs(np.sin(heading)) > 0.5, size[:, 0], size[:, 1])
        side = rng.choice([-1, 1], n)
        beside = at + np.stack([side * (EGO_WIDTH + across) / 2, rng.uniform(-1, 1, n)], axis=-1)
        before = at + np.stack([rng.uniform(-1, 1, n), 0.5 + side * (EGO_LENGTH + along) / 2], axis=-1)
        center = np.where(touching[:, None], np.where(rng.random((n, 1)) < 0.5, beside, before), center)
    elif kind == "far":
        displaced = at + np.array([-25.125, 25.125])  # where VAD's point collision looks
        center = np.where(rng.random((n, 1)) < 0.3, displaced + rng.normal(0, 1, (n, 2)), center)
        border = rng.choice([-50.0, 50.0], (n, 2)) + rng.normal(0, 3, (n, 2))
        center = np.where(rng.random((n, 1)) < 0.4, border, center)
    boxes = np.zeros((n, 9))
    boxes[:, :2], boxes[:, 2], boxes[:, 3:5], boxes[:, 5] = center, rng.normal(-1, 0.5, n), size, 1.5
    boxes[:, 6] = -heading - np.pi / 2
    scale, turned = (0.25, 0.0) if kind == "exact" else (1.0, 0.1)
    offsets = rng.normal(0, 1, (n, F, 2))
    users = rng.choice([2, 3, 4, 5, 9, 12, 14, 15, 17, 17, 17, 18, 19, 21, 22, 23], n)
    return {
        "boxes": boxes,
        "category": np.where(rng.random(n) < 0.9, users, rng.integers(0, len(LIDARSEG_CATEGORIES), n)),
        "lidar_points": rng.integers(0, 4, n),
        "radar_points": rng.integers(0, 2, n),
        "visibility": rng.integers(0, 5, n),
        "future_offsets": np.round(offsets) * scale if kind == "exact" else offsets * scale,
        "future_mask": rng.random((n, F)) < 0.9,
        "future_yaw": rng.normal(0, turned, (n, F)) if turned else np.zeros((n, F)),
    }


def _areas(rng, poses, kind):
    """(layer, rings) of a few polygons, some with a hole, about where the drive goes."""
    result = []
    for _ in range(rng.integers(0, 5)):
        pose = poses[rng.integers(len(poses))]
        half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (
            rng.integers(2, 12, 2) if kind == "exact" else rng.uniform(2, 15, 2)
        )
        rings = [pose[:2, 3] + half @ pose[:2, :2].T]
        rings += [pose[:2, 3] + half @ pose[:2, :2].T / 4] if rng.random() < 0.3 else []
        result.append(
            (
                rng.choice(["drivable_area", "drivable_area", "lane", "lane_connector", "intersection", "stop_line"]),
                rings,
            )
        )
    return result


def _truth(frames, areas) -> Truth:
    agents = {key: np.concatenate([frame["agents"][key] for frame in frames]) for key in frames[0]["agents"]}
    curbs = [line for frame in frames for line in frame["curbs"]]
    drives = len(areas)
    polygons = [(layer, place, rings) for place, found in enumerate(areas) for layer, rings in found]
    rings = [(ring, hole > 0) for _, _, found in polygons for hole, ring in enumerate(found)]
    stacked = {key: np.stack([frame[key] for frame in frames]) for key in frames[0] if key in KINDS}
    arrays = {
        **stacked,
        **agents,
        "scene_names": np.array([f"drive-{k:05d}" for k in range(drives)]),
        "scene_length": np.full(len(frames), LENGTH),
        "location_names": np.array([f"place-{k:05d}" for k in range(drives)]),
        "agent_start": starts([len(frame["agents"]["boxes"]) for frame in frames]),
        "curb_start": starts([len(frame["curbs"]) for frame in frames]),
        "curb_vertex_start": starts([len(line) for line in curbs]),
        "curb_vertices": np.concatenate([*curbs, np.zeros((0, 2))]),
        "area_layer": np.array([AREA_LAYERS.index(layer) for layer, _, _ in polygons]),
        "area_location": np.array([place for _, place, _ in polygons]),
        "area_token": np.array([f"area-{k:05d}" for k in range(len(polygons))], dtype="U10"),
        "area_ring_start": starts([len(found) for _, _, found in polygons]),
        "ring_is_hole": np.array([hole for _, hole in rings], bool),
        "ring_vertex_start": starts([len(ring) for ring, _ in rings]),
        "ring_vertices": np.concatenate([*(ring for ring, _ in rings), np.zeros((0, 2))]),
        "center_lane": np.zeros(0),
        "center_start": np.zeros(1),
        "center_vertices": np.zeros((0, 2)),
        "center_successor_start": np.zeros(1),
        "center_successors": np.zeros(0),
    }
    arrays = {
        key: array if array.dtype.kind in "Ub" else array.astype(KINDS[key].dtypes[0]) for key, array in arrays.items()
    }
    check(arrays)
    return Truth({}, **arrays)
