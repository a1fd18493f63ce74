"""What the student should find in a key frame: a record's agents, map lines and path, filtered, padded and masked.

Padding that is too short for a frame keeps what is nearest to the ego and says how much it cut. Empty frames are kept
(VAD draws another sample instead): every loss carries its mask.
"""

import numpy as np

from dima_jax import geometry
from dima_jax.categories import CLASS_OF_CATEGORY, LIDARSEG_CATEGORIES
from dima_jax.constants import AGENT_CLASSES
from dima_jax.data.fake_batch import NUM_ORDERS
from dima_jax.types import AgentTargets, EgoTargets, MapTargets

_CATEGORY_INDEX = {name: i for i, name in enumerate(LIDARSEG_CATEGORIES)}
_LABEL = {name: AGENT_CLASSES.index(agent_class) for name, agent_class in CLASS_OF_CATEGORY.items()}


def labels(categories) -> np.ndarray:
    """Detection class [n] int32 of category names; -1 = none of the ten."""
    return np.array([_LABEL.get(name, -1) for name in categories], np.int32)


def category_indices(categories) -> np.ndarray:
    """Index [n] int32 in the lidarseg table (quirk Q2); 0 (noise) for a name it does not hold."""
    return np.array([_CATEGORY_INDEX.get(name, 0) for name in categories], np.int32)


def visible(agents: dict, split: str) -> np.ndarray:
    """[n] bool: hit by a sensor. VAD trains on LiDAR or radar hits, tests on LiDAR hits (docs/vad.md#agent-targets)."""
    hits = agents["num_lidar_pts"] + (agents["num_radar_pts"] if split == "train" else 0)
    return hits > 0


def agent_targets(agents: dict, split: str, pc_range, max_agents: int) -> tuple[AgentTargets, int]:
    """The frame's agents of the ten classes with their center strictly inside pc_range (x, y), without batch axis.

    agents: the record's group. Returns targets padded to max_agents rows and the number of agents that did not fit.
    """
    boxes = np.nan_to_num(agents["boxes"], nan=0.0)  # a velocity nuScenes does not know is zero
    label = labels(agents["categories"])
    low, high = np.array(pc_range[:2]), np.array(pc_range[3:5])
    inside = ((boxes[:, :2] > low) & (boxes[:, :2] < high)).all(axis=1)
    chosen = np.flatnonzero(inside & (label >= 0) & visible(agents, split))
    cut = max(len(chosen) - max_agents, 0)
    if cut:
        chosen = np.sort(chosen[np.argsort(np.linalg.norm(boxes[chosen, :2], axis=1), kind="stable")[:max_agents]])
    boxes = boxes[chosen].astype(np.float32)
    boxes[:, 6] -= np.floor(boxes[:, 6] / (2 * np.pi) + 0.5) * 2 * np.pi  # to [-pi, pi)

    def padded(values, dtype):
        result = np.zeros((max_agents, *values.shape[1:]), dtype)
        result[: len(values)] = values
        return result

    targets = AgentTargets(
        boxes=padded(boxes, np.float32),
        labels=padded(label[chosen], np.int32),
        category=padded(category_indices(agents["categories"])[chosen], np.int32),
        mask=np.arange(max_agents) < len(chosen),
        future_offsets=padded(agents["future_offsets"][chosen], np.float32),
        future_mask=padded(agents["future_mask"][chosen], bool),
        future_yaw=padded(agents["future_yaw"][chosen], np.float32),
    )
    return targets, cut


def map_targets(lines: dict, pc_range, num_points: int, max_map: int) -> tuple[MapTargets, int]:
    """The frame's map lines in every equivalent vertex order, clipped to pc_range, without batch axis.

    lines: the record's `map` group. Returns targets padded to max_map rows (zeros) and the number of lines that did not
    fit (the farthest).
    """
    vertices = split_lines(lines)
    order = np.arange(len(vertices))
    cut = max(len(order) - max_map, 0)
    if cut:
        distance = [np.linalg.norm(line, axis=1).min() for line in vertices]
        order = np.sort(np.argsort(distance, kind="stable")[:max_map])
    points = np.zeros((max_map, NUM_ORDERS, num_points, 2), np.float32)
    normalized_points = np.zeros_like(points)
    order_mask = np.zeros((max_map, NUM_ORDERS), bool)
    label = np.zeros(max_map, np.int32)
    for row, i in enumerate(order):
        orders = vertex_orders(vertices[i], num_points)
        points[row, : len(orders)] = np.clip(orders, pc_range[:2], pc_range[3:5])
        normalized_points[row, : len(orders)] = geometry.normalize_xy(points[row, : len(orders)], pc_range)
        order_mask[row, : len(orders)] = True
        label[row] = lines["labels"][i]
    targets = MapTargets(
        points=points,
        normalized_points=normalized_points,
        order_mask=order_mask,
        labels=label,
        mask=np.arange(max_map) < len(order),
    )
    return targets, cut


def split_lines(lines: dict) -> list[np.ndarray]:
    """The record's flat vertices as one array [n, 2] per line."""
    ends = np.cumsum(lines["lengths"])
    return [lines["vertices"][end - n : end] for n, end in zip(lines["lengths"], ends, strict=True)]


def vertex_orders(line: np.ndarray, num_points: int) -> np.ndarray:
    """All equivalent orders [o, num_points, 2] of a line [n, 2], o <= 19 (VAD's pattern v2; docs/vad.md#map-lines).

    An open line reads forwards or backwards. A closed one (first vertex == last) starts at any of its vertices, never
    reversed; VAD draws 19 of more than 19 starts by chance, we take 19 spread evenly, so that targets are reproducible.
    """
    line = line.astype(np.float64)
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    along = np.linspace(0.0, arc[-1], num_points)
    if (line[0] != line[-1]).any():
        forward = _at(line, arc, along)
        return np.stack([forward, forward[::-1]])
    starts = -np.arange(len(line) - 1) % (len(line) - 1)
    if len(starts) > NUM_ORDERS:
        starts = starts[np.linspace(0, len(starts) - 1, NUM_ORDERS).round().astype(int)]
    around = arc[starts][:, None] + along
    return _at(line, arc, np.where(around > arc[-1], around - arc[-1], around))


def _at(line: np.ndarray, arc: np.ndarray, along: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(along, arc, line[:, 0]), np.interp(along, arc, line[:, 1])], axis=-1)


def ego_targets(ego: dict, *, is_held_out: bool = False) -> EgoTargets:
    """The recorded path, without batch axis. is_held_out: it is unknown (`held_out.py`)."""
    offsets, mask = np.asarray(ego["future_offsets"], np.float32), np.asarray(ego["future_mask"], bool)
    return EgoTargets(
        future_offsets=np.zeros_like(offsets) if is_held_out else offsets,
        future_mask=np.zeros_like(mask) if is_held_out else mask,
        history_offsets=np.asarray(ego["history_offsets"], np.float32),
    )
