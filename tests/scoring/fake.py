"""Drives that were never driven, for tests: a truth with every group of keys, and plans for its frames.

Each scene is a road of constant curvature (straight on, left, right, in turn) on which the ego drives in the right lane
at constant speed. Agents follow the road at a constant distance from its centerline; everything of a frame follows from
the same closed form, so futures, poses and annotations of later frames agree.
"""

import numpy as np

from dima_jax.categories import AREA_LAYERS, LIDARSEG_CATEGORIES
from dima_jax.constants import COMMANDS, MAP_CLASSES, STEP_SECONDS
from dima_jax.metrics.protocols.base import Plans
from dima_jax.scoring.npz_file import content_hash
from dima_jax.scoring.recorded import GROUPS
from dima_jax.scoring.recorded import KINDS as KEYS
from dima_jax.scoring.truth import FORMAT, VERSION, Truth, check, token_hash

F = 6
CURVATURES = (0.0, 0.02, -0.02)  # 1/m, of the scenes in turn; positive is to the left
COMMAND_OF_CURVATURE = {0.0: "straight", 0.02: "left", -0.02: "right"}
SPEED = 6.0  # m/s
LANE = 3.5  # meters
ROAD_START, ROAD_END = -60.0, 120.0  # meters along the road from where the ego starts
LIDAR2EGO = np.array([[0, 1, 0, 0.985793], [-1, 0, 0, 0], [0, 0, 1, 1.84], [0, 0, 0, 1.0]])
# (category, width, length, meters ahead of the ego's start, meters left of its lane's center, m/s), in turn
KINDS = (
    ("vehicle.car", 1.9, 4.6, 18.0, 0.0, 6.0),
    ("vehicle.truck", 2.5, 8.0, 45.0, LANE, -5.0),
    ("human.pedestrian.adult", 0.7, 0.7, 15.0, -4.0, 1.2),
    ("vehicle.bicycle", 0.7, 1.8, 8.0, -2.6, 3.0),
    ("movable_object.trafficcone", 0.4, 0.4, 25.0, 6.0, 0.0),
    ("movable_object.barrier", 2.0, 0.6, 30.0, 7.0, 0.0),
    ("static_object.bicycle_rack", 1.0, 3.0, 12.0, -7.0, 0.0),
    ("vehicle.car", 1.8, 4.2, -14.0, 0.0, 5.5),
)


def along_road(scene: int, s, d):
    """(global x, y, heading) `s` meters along a scene's road and `d` meters to the left of the ego's lane."""
    curvature, (s, d) = CURVATURES[scene % len(CURVATURES)], np.broadcast_arrays(s, d)
    heading = 0.4 + 0.9 * scene + curvature * s
    x = np.sinc(curvature * s / 2 / np.pi) * s * np.cos(heading - curvature * s / 2)
    y = np.sinc(curvature * s / 2 / np.pi) * s * np.sin(heading - curvature * s / 2)
    return 300.0 + 500.0 * scene + x - d * np.sin(heading), 900.0 + y + d * np.cos(heading), heading


def pose(x, y, heading) -> np.ndarray:
    """4x4 transform to global coordinates."""
    result = np.eye(4)
    result[:2] = [[np.cos(heading), -np.sin(heading), 0, x], [np.sin(heading), np.cos(heading), 0, y]]
    return result


def moved(matrix: np.ndarray, xy) -> np.ndarray:
    """Points [n, 2] through a 4x4 transform, on the ground."""
    return np.asarray(xy) @ matrix[:2, :2].T + matrix[:2, 3]


def starts(lengths) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def fake_truth(scenes: int = 3, frames: int = 12, agents: int = 8, seed: int = 0) -> Truth:
    """A truth of `scenes` drives of `frames` key frames with `agents` annotations each. All groups are there."""
    rng = np.random.default_rng(seed)
    rows = [_frame(scene, k, frames, agents) for scene in range(scenes) for k in range(frames)]
    n, total = len(rows), len(rows) * agents
    stacked = {key: np.stack([row[key] for row in rows]) for key in rows[0] if not key.startswith(("agent_", "lines"))}
    flat = {key[6:]: np.concatenate([row[key] for row in rows]) for key in rows[0] if key.startswith("agent_")}
    boxes = flat["boxes"]
    boxes[rng.random(total) < 0.05, 7:] = np.nan
    lidar_points = rng.integers(0, 40, total)
    scene = np.repeat(np.arange(scenes), frames)
    command = [COMMANDS.index(COMMAND_OF_CURVATURE[CURVATURES[one % len(CURVATURES)]]) for one in scene]
    curbs = {"curb_start": starts([2] * n), "curb_vertex_start": starts([40] * 2 * n)}
    borders = [line for row in rows for line in row["lines_ego"]]
    drawn = [line for row in rows for line in row["lines"]]
    arrays = {
        **stacked,
        **flat,
        "scene": scene,
        "scene_names": np.array([f"scene-{one:04d}" for one in range(scenes)]),
        "scene_length": np.full(n, frames),
        "timestamp": 1_500_000_000_000_000 + 500_000 * (1000 * scene + stacked["frame_index"].astype(np.int64)),
        "location": scene % 2,
        "location_names": np.array(["boston-seaport", "singapore-onenorth"]),
        "tag_names": np.array(["straight", "left", "right"]),
        "tags": np.arange(scenes)[:, None] % 3 == np.arange(3),
        "command": np.array(command),
        "targeted": np.array(command) != COMMANDS.index("straight"),
        "agent_start": starts([agents] * n),
        "boxes": boxes,
        "lidar_points": lidar_points,
        "radar_points": rng.integers(0, 3, total),
        "instance_tokens": np.array([f"instance-{one:05d}" for one in range(scenes * agents)]),
        "visibility": rng.integers(1, 5, total),
        "attribute": rng.integers(-1, 8, total),
        "line_start": starts([3] * n),
        "line_label": np.tile([MAP_CLASSES.index(name) for name in ("boundary", "divider", "boundary")], n),
        "line_vertex_start": starts([len(line) for line in drawn]),
        "line_vertices": np.concatenate(drawn),
        **curbs,
        "curb_vertices": np.concatenate(borders),
        **_areas(scenes),
    }
    stop_line = AREA_LAYERS.index("stop_line")
    arrays |= {
        "light_start": starts([1] * n),
        "light_stop_line": np.flatnonzero(arrays["area_layer"] == stop_line)[scene],
        "light_state": (stacked["frame_index"] // 4) % 3,
    }
    arrays = {key: _as_stored(key, array) for key, array in arrays.items()}
    check(arrays)
    source = {"kind": "records", "files": ["fake"]}
    header = {"format": FORMAT, "version": VERSION, "split": "val", "source": source, "commit": "unknown"}
    hashes = {"token_hash": token_hash(arrays["tokens"]), "content_hash": content_hash(arrays), "data_hash": "0" * 16}
    return Truth(header | hashes | {"has": list(GROUPS)}, **arrays)


def fake_plans(truth: Truth, noise: float = 0.5, planners: int = 2, seed: int = 0) -> Plans:
    """Plans that leave the recorded path by about `noise` meters a second; measured in the LiDAR and the ego frame in turn."""
    rng = np.random.default_rng(seed)
    n = len(truth.tokens)
    error = rng.normal(0.0, noise, (planners, n, 1, 2)) * STEP_SECONDS * np.arange(1, F + 1)[:, None]
    yaw = np.broadcast_to(truth.ego_path_yaw, (planners, n, F)).astype(np.float64)
    xy = truth.ego_path + error
    lever = truth.lidar2ego[:, :2, 3]  # of the LiDAR, in the ego frame of the moment
    ahead = np.stack(
        [
            np.cos(yaw) * lever[:, None, 0] - np.sin(yaw) * lever[:, None, 1],
            np.sin(yaw) * lever[:, None, 0] + np.cos(yaw) * lever[:, None, 1],
        ],
        axis=-1,
    )
    turn = truth.lidar2ego[:, :2, :2]
    lidar = np.einsum("nji,pnfj->pnfi", turn, xy + ahead - lever[:, None])
    return Plans(
        names=[f"fake_{one}" for one in range(planners)],
        lidar=np.concatenate([lidar, yaw[..., None] + np.pi / 2], axis=-1),
        ego=np.concatenate([xy, yaw[..., None]], axis=-1),
        native=[("lidar", "ego")[one % 2] for one in range(planners)],
        covered=np.ones((planners, n), bool),
    )


def _as_stored(key: str, array) -> np.ndarray:
    """With the dtype that the truth has for the key; texts and masks have it already."""
    array, dtype = np.asarray(array), KEYS[key].dtypes[0]
    return array if array.dtype.kind in "Ub" else array.astype(dtype)


def _frame(scene: int, k: int, frames: int, agents: int) -> dict:
    """What is in one frame, without axis of frames; keys of agents begin with "agent_"."""
    times = STEP_SECONDS * np.arange(k - 2, k + F + 1)  # two steps back to six ahead
    egos = [pose(*along_road(scene, SPEED * t, 0.0)) for t in times]
    lidars, now = [one @ LIDAR2EGO for one in egos], 2
    to_lidar, to_ego = np.linalg.inv(lidars[now]), np.linalg.inv(egos[now])
    known = np.minimum(np.arange(1, F + 1), frames - 1 - k)  # masked steps repeat the last known one
    in_lidar = moved(to_lidar, [one[:2, 3] for one in lidars])
    in_ego = moved(to_ego, [one[:2, 3] for one in egos])
    curvature = CURVATURES[scene % len(CURVATURES)]
    yaw = curvature * SPEED * STEP_SECONDS * known
    heading = along_road(scene, SPEED * times[now], 0.0)[2]
    can_bus = np.zeros(18)
    can_bus[:2], can_bus[13], can_bus[16:] = egos[now][:2, 3], SPEED, (heading, np.degrees(heading))
    status = np.zeros(9)
    status[7] = SPEED
    mask = np.arange(1, F + 1) + k < frames
    lateral = (-LANE / 2 - 1, LANE / 2, LANE * 1.5 + 1)
    ahead = SPEED * times[now] + np.linspace(-25.0, 25.0, 40)
    lines = [np.stack(along_road(scene, ahead, d)[:2], -1) for d in lateral]
    return {
        "tokens": f"{scene:04d}{k:04d}".rjust(32, "f"),
        "frame_index": k,
        "path": np.where(mask[:, None], in_lidar[now + 1 :], in_lidar[now + known]),
        "path_mask": mask,
        "future_valid": k + F < frames,
        "path_yaw": np.pi / 2 + yaw,
        "ego_path": in_ego[now + known],
        "ego_path_yaw": yaw,
        "lidar2ego": LIDAR2EGO,
        "ego2global": egos[now],
        "history": np.diff(in_lidar[: now + 1], axis=0),
        "speed": SPEED,
        "can_bus": can_bus,
        "status": status,
        "lines": [moved(to_lidar, line) for line in lines],
        "lines_ego": [moved(to_ego, lines[0]), moved(to_ego, lines[2])],
        **_agents(scene, k, frames, agents, to_lidar),
    }


def _agents(scene: int, k: int, frames: int, agents: int, to_lidar: np.ndarray) -> dict:
    kinds = [KINDS[i % len(KINDS)] for i in range(agents)]
    _, width, length, start, left, speed = (np.array(column) for column in zip(*kinds, strict=True))
    start = start + 12.0 * (np.arange(agents) // len(KINDS))
    times = STEP_SECONDS * np.arange(k, k + F + 1)
    x, y, heading = along_road(scene, start[:, None] + speed[:, None] * times, left[:, None])  # [agents, 7]
    turn = np.arctan2(to_lidar[1, 0], to_lidar[0, 0])
    at = moved(to_lidar, np.stack([x, y], -1))
    heading = heading + turn + np.where(speed < 0, np.pi, 0.0)[:, None]
    boxes = np.zeros((agents, 9))
    boxes[:, :2], boxes[:, 2] = at[:, 0], -1.0
    boxes[:, 3], boxes[:, 4], boxes[:, 5] = width, length, 1.6
    boxes[:, 6] = -heading[:, 0] - np.pi / 2
    boxes[:, 7:] = np.abs(speed)[:, None] * np.stack([np.cos(heading[:, 0]), np.sin(heading[:, 0])], -1)
    mask = np.broadcast_to(np.arange(1, F + 1) + k < frames, (agents, F)).copy()
    mask[np.arange(agents) % 8 == 6] = False  # as in nuScenes: annotated, but not followed
    return {
        "agent_boxes": boxes,
        "agent_category": np.array([LIDARSEG_CATEGORIES.index(kind[0]) for kind in kinds]),
        "agent_instance": scene * agents + np.arange(agents),
        "agent_future_offsets": np.diff(at, axis=1) * mask[..., None],
        "agent_future_mask": mask,
        "agent_future_yaw": np.diff(heading, axis=1) * mask,
    }


def _areas(scenes: int) -> dict:
    """Per scene the road, two lanes that lead to connectors in an intersection, and a stop line before it."""
    areas, centers, successors = [], [], []  # (layer, scene, outline), (row, line), rows of centers
    for scene in range(scenes):
        low, high, middle = -LANE / 2, LANE * 1.5, ROAD_END - 40.0
        parts = [
            ("drivable_area", ROAD_START, ROAD_END, low - 1, high + 1),
            ("road_segment", ROAD_START, middle, low, high),
            ("intersection", middle, ROAD_END, low, high),
            ("lane", ROAD_START, middle, low, LANE / 2),
            ("lane", ROAD_START, middle, LANE / 2, high),
            ("lane_connector", middle, ROAD_END, low, LANE / 2),
            ("lane_connector", middle, ROAD_END, LANE / 2, high),
            ("carpark_area", 0.0, 15.0, low - 12, low - 4),
            ("road_block", ROAD_START, middle, low, LANE / 2),
            ("stop_line", middle - 3, middle, low, LANE / 2),
        ]
        first = len(centers)
        for layer, begin, end, right, left in parts:
            if layer in ("lane", "lane_connector"):
                s = np.arange(begin, end + 0.5)
                line = np.stack(along_road(scene, s, (right + left) / 2)[:2], -1)
                centers.append((len(areas), line if left == LANE / 2 else line[::-1]))
            s = np.linspace(begin, end, 60)
            outline = [np.stack(along_road(scene, s, d)[:2], -1) for d in (right, left)]
            areas.append((layer, scene, np.concatenate([outline[0], outline[1][::-1]])))
        successors += [[first + 2], [], [], [first + 1]]
    return {
        "area_layer": np.array([AREA_LAYERS.index(layer) for layer, _, _ in areas]),
        "area_location": [scene % 2 for _, scene, _ in areas],
        "area_token": [f"area-{row:05d}" for row in range(len(areas))],
        "area_ring_start": np.arange(len(areas) + 1),
        "ring_is_hole": np.zeros(len(areas), bool),
        "ring_vertex_start": starts([len(outline) for _, _, outline in areas]),
        "ring_vertices": np.concatenate([outline for _, _, outline in areas]),
        "center_lane": [row for row, _ in centers],
        "center_start": starts([len(line) for _, line in centers]),
        "center_vertices": np.concatenate([line for _, line in centers]),
        "center_successor_start": starts([len(one) for one in successors]),
        "center_successors": [row for one in successors for row in one],
    }
