"""One straight drive with things that stand beside the road, small enough to score by hand."""

import numpy as np

from dima_jax.categories import AREA_LAYERS, LIDARSEG_CATEGORIES
from dima_jax.metrics import raster
from dima_jax.metrics.protocols import base
from dima_jax.scoring.frames import FrameTruth
from dima_jax.scoring.recorded import GROUPS, KINDS, Truth
from dima_jax.scoring.truth import check
from tests.scoring.fake import moved, pose, starts

F = 6
LIDAR2EGO = np.array([[0, 1, 0, 0.985793], [-1, 0, 0, 0], [0, 0, 1, 1.84], [0, 0, 0, 1.0]])
STILL = np.zeros((F, 2))
AHEAD = np.stack([np.zeros(F), np.arange(1, F + 1) * 4.0], axis=-1)  # 4 m a step
RIGHT = np.stack([np.arange(1, F + 1) * 4.0, np.zeros(F)], axis=-1)


def shifted(plan, x, y) -> np.ndarray:
    """A plan moved aside."""
    return plan + np.array([x, y])


def thing(x, y, category="vehicle.car", *, width=2.0, length=4.0, heading=np.pi / 2, points=1, radar=0, visible=4):
    """Something that stands at a place of the LiDAR frame of the first key frame; by default it looks ahead."""
    return x, y, width, length, heading, LIDARSEG_CATEGORIES.index(category), points, radar, visible


def drive(*things, frames=F + 1, step=0.0, curbs=(), areas=(), without=()) -> Truth:
    """A truth of `frames` key frames, the ego going straight ahead `step` meters a step.

    curbs: lines in the ego frame of every key frame. areas: (layer, corners in global coordinates; the ego starts at
    (0, 0) and looks along x, so global x is ahead). without: groups to leave out.
    """
    n, t = frames, len(things)
    told = np.array([one[:5] for one in things], float).reshape(t, 5)
    other = np.array([one[5:] for one in things], int).reshape(t, 4)
    poses = np.array([pose(step * k, 0.0, 0.0) for k in range(n)])
    first = poses[0] @ LIDAR2EGO
    known = np.array([np.minimum(np.arange(k + 1, k + 1 + F), n - 1) for k in range(n)])
    boxes = np.zeros((n, t, 9))
    for k in range(n):
        boxes[k, :, :2] = moved(np.linalg.inv(poses[k] @ LIDAR2EGO) @ first, told[:, :2])
    boxes[..., 3:5], boxes[..., 5], boxes[..., 6] = told[:, 2:4], 1.5, -told[:, 4] - np.pi / 2
    ahead = step * (known - np.arange(n)[:, None])
    mask = np.arange(1, F + 1) + np.arange(n)[:, None] < n
    curbs = [np.array(line, float) for line in curbs]
    rings = [np.array(ring, float) for _, ring in areas]
    arrays = {
        "tokens": np.array([f"{k:032d}" for k in range(n)]),
        "scene": np.zeros(n),
        "scene_names": np.array(["drive"]),
        "frame_index": np.arange(n),
        "scene_length": np.full(n, n),
        "location": np.zeros(n),
        "location_names": np.array(["place"]),
        "path": np.stack([0 * ahead, ahead], axis=-1),
        "path_mask": mask,
        "future_valid": mask.all(axis=1),
        "path_yaw": np.full((n, F), np.pi / 2),
        "ego_path": np.stack([ahead, 0 * ahead], axis=-1),
        "ego_path_yaw": np.zeros((n, F)),
        "lidar2ego": np.broadcast_to(LIDAR2EGO, (n, 4, 4)).copy(),
        "ego2global": poses,
        "agent_start": starts([t] * n),
        "boxes": boxes.reshape(-1, 9),
        "category": np.tile(other[:, 0], n),
        "lidar_points": np.tile(other[:, 1], n),
        "radar_points": np.tile(other[:, 2], n),
        "visibility": np.tile(other[:, 3], n),
        "future_offsets": np.zeros((n * t, F, 2)),
        "future_mask": np.ones((n * t, F), bool),
        "future_yaw": np.zeros((n * t, F)),
        "curb_start": starts([len(curbs)] * n),
        "curb_vertex_start": starts([len(line) for line in curbs] * n),
        "curb_vertices": np.concatenate([*(curbs * n), np.zeros((0, 2))]),
        "area_layer": np.array([AREA_LAYERS.index(layer) for layer, _ in areas]),
        "area_location": np.zeros(len(areas)),
        "area_token": np.array([f"area-{k}" for k in range(len(areas))], dtype="U10"),
        "area_ring_start": np.arange(len(areas) + 1),
        "ring_is_hole": np.zeros(len(areas), bool),
        "ring_vertex_start": starts([len(ring) for ring in rings]),
        "ring_vertices": np.concatenate([*rings, np.zeros((0, 2))]),
        "center_lane": np.zeros(0),
        "center_start": np.zeros(1),
        "center_vertices": np.zeros((0, 2)),
        "center_successor_start": np.zeros(1),
        "center_successors": np.zeros(0),
    }
    for group in without:
        arrays = {key: array for key, array in arrays.items() if key not in GROUPS[group]}
    arrays = {
        key: array if array.dtype.kind in "Ub" else array.astype(KINDS[key].dtypes[0]) for key, array in arrays.items()
    }
    check(arrays)
    return Truth({}, **arrays)


def score(protocol, truth, *plans, index=0, heading=np.pi / 2) -> base.Steps:
    """What a protocol says of plans of the LiDAR [F, 2] (for the ego frame: turned alone, as on a straight drive)."""
    lidar = np.array([np.concatenate([plan, np.full((F, 1), heading)], axis=-1) for plan in plans])
    ego = np.stack([lidar[..., 1], -lidar[..., 0], lidar[..., 2] - np.pi / 2], axis=-1)
    l2 = np.hypot(*np.moveaxis(lidar[..., :2] - truth.path[index], -1, 0))
    return protocol.frame(FrameTruth(truth, index), raster.Grids(), lidar, ego, l2)


def struck(protocol, truth, plan=AHEAD, quantity="collision", **kwargs) -> list[int]:
    """Numbers of the steps, from 1, at which a plan has the quantity."""
    return (np.flatnonzero(score(protocol, truth, plan, **kwargs).values[quantity][0]) + 1).tolist()


def table(protocol, *steps: base.Steps) -> dict[str, float]:
    """{column: number} of one planner's frames, averages too; NaN where nothing counts."""
    values = {q: np.concatenate([one.values[q][:1] for one in steps]) for q in steps[0].values}
    masks = {q: np.concatenate([one.masks[q][:1] for one in steps]) for q in steps[0].masks}
    value, weight = base.reduce(protocol.definition, values, masks, np.ones(len(steps), bool))
    columns = [column.name for column in protocol.definition.columns]
    with np.errstate(invalid="ignore"):
        counted = np.where(weight > 0, value * weight, 0).sum(axis=0) / weight.sum(axis=0)
        means = dict(zip(columns, counted, strict=True))
    return means | {name: np.mean([means[one] for one in of]) for name, of in protocol.definition.averages.items()}
