"""Losses of the auxiliary heads, in training only (`dima_jax/auxiliary.py`): dense classes, depth, groups of queries.

Targets are made here, on the device, from the targets that a batch holds anyway: a box covers the cells of its
projection in a camera and of its footprint in the BEV, a map line the cells that it crosses on flat ground.
"""

from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from dima_jax import geometry
from dima_jax.constants import AGENT_CLASSES, LIDAR_HEIGHT, MAP_CLASSES
from dima_jax.losses import agents, focal
from dima_jax.losses import map as map_losses
from dima_jax.losses.l1 import absolute
from dima_jax.types import AgentTargets, AuxiliaryOutput, Batch, Facts, MapTargets, StudentOutput, Term

NEAR = 0.5  # meters; a box or a line point less deep is in no image
STEPS = 8  # points by which a segment of a map line is filled up


def auxiliary_terms(
    output: AuxiliaryOutput,
    batch: Batch,
    *,
    history: int,
    image_shape: Sequence[int],
    bev_shape: Sequence[int],
    pc_range: Sequence[float],
) -> dict[str, Term]:
    """The terms image_class, image_depth, bev_class and facts of the heads that are on.

    Classes: focal loss divided by the number of positive (cell, class) pairs. Depth: L1 of log meters over cells in which
    an agent is. Facts: cross-entropy, mean over those that are known. image_shape: (rows, columns) of the padded images,
    pixels.
    """
    terms = {}
    if output.image_logits is not None:
        lidar2img = batch.lidar2img[:, history]
        targets = [
            image_targets(batch.agents, batch.map, lidar2img, image_shape, level.shape[2:4])
            for level in output.image_logits
        ]
        terms["image_class"] = sum_terms(
            _class_term(logits, classes) for logits, (classes, _, _) in zip(output.image_logits, targets, strict=True)
        )
        terms["image_depth"] = sum_terms(
            Term((absolute(depth - log_depth) * known).sum(), known.sum().astype(jnp.float32))
            for depth, (_, log_depth, known) in zip(output.image_depths, targets, strict=True)
        )
    if output.bev_logits is not None:
        terms["bev_class"] = _class_term(output.bev_logits, bev_targets(batch.agents, batch.map, bev_shape, pc_range))
    if output.fact_logits is not None:
        terms["facts"] = fact_term(output.fact_logits, batch.facts)
    return terms


def fact_term(logits: Float[Array, "B f"], facts: Facts) -> Term:
    """Binary cross-entropy summed over the known facts; count = their number."""
    losses = optax.losses.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), facts.holds.astype(jnp.float32))
    return Term(jnp.where(facts.known, losses, 0.0).sum(), facts.known.sum().astype(jnp.float32))


def group_terms(
    output: StudentOutput, batch: Batch, weights: dict[str, float], pc_range: Sequence[float]
) -> dict[str, Term]:
    """The class, box and line terms of the further groups of queries, each group matched on its own.

    {"group_<term>": mean over the groups}; without groups of a decoder its terms are absent.
    """
    groups, terms = output.groups, {}
    if groups is not None and groups.agent_logits is not None:
        as_main = output.replace(agent_logits=groups.agent_logits, agent_codes=groups.agent_codes)
        matched = agents.assign(
            as_main, batch.agents, class_weight=weights["agent_class"], box_weight=weights["agent_box"]
        )
        found = agents.box_terms(as_main, batch.agents, matched)
        terms |= _mean_of_groups(found, len(groups.agent_logits) // len(output.agent_logits))
    if groups is not None and groups.map_logits is not None:
        as_main = output.replace(map_logits=groups.map_logits, map_points=groups.map_points)
        matched, order = map_losses.assign(
            as_main, batch.map, class_weight=weights["map_class"], points_weight=weights["map_points"]
        )
        found = map_losses.map_terms(as_main, batch.map, pc_range, matched, order)
        terms |= _mean_of_groups(found, len(groups.map_logits) // len(output.map_logits))
    return terms


def _mean_of_groups(terms: dict[str, Term], count: int) -> dict[str, Term]:
    return {f"group_{name}": Term(term.sum / count, term.count) for name, term in terms.items()}


def sum_terms(terms: Iterable[Term]) -> Term:
    """Sums and counts of several terms added up."""
    return Term(*(sum(parts) for parts in zip(*terms, strict=True)))


def _class_term(logits: Float[Array, "*n 13"], targets: Bool[Array, "*n 13"]) -> Term:
    return Term(focal.focal_sum_of_targets(logits, targets), targets.sum().astype(jnp.float32))


def image_targets(
    agents: AgentTargets,
    lines: MapTargets,
    lidar2img: Float[Array, "B N 4 4"],
    image_shape: Sequence[int],
    level_shape: Sequence[int],
) -> tuple[Bool[Array, "B N h w 13"], Float[Array, "B N h w"], Bool[Array, "B N h w"]]:
    """(classes, log depth, where the depth is known) of the cells of a feature level [h, w] of images [H, W].

    An agent is in every cell whose center lies in the rectangle around its projected box, which is at least a cell
    wide; where several are, the nearest counts. Depth: of the box's center.
    """
    rows, columns = level_shape
    size = np.array([image_shape[1] / columns, image_shape[0] / rows], np.float32)  # of a cell, pixels (x, y)
    center = np.stack(np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5), -1).astype(np.float32) * size

    corners = geometry.box_corners(agents.boxes)  # B G 8 3
    pixels, depth = geometry.project(corners.reshape(len(corners), 1, -1, 3), lidar2img)
    pixels = pixels.reshape(*pixels.shape[:2], -1, 8, 2)
    depth = depth.reshape(*depth.shape[:2], -1, 8)
    in_front = agents.mask[:, None] & (depth > NEAR).all(-1)  # B N G
    low, high = pixels.min(-2), pixels.max(-2)
    middle, half = (low + high) / 2, jnp.maximum((high - low) / 2, size / 2)
    offset = jnp.abs(center[:, :, None] - middle[:, :, None, None])  # B N h w G 2
    covers = (offset <= half[:, :, None, None]).all(-1) & in_front[:, :, None, None]
    distance = jnp.where(covers, depth.mean(-1)[:, :, None, None], jnp.inf)
    nearest = distance.argmin(-1)
    occupied = covers.any(-1)
    labels = jax.vmap(lambda label, index: label[index])(agents.labels, nearest)
    is_class = jax.nn.one_hot(jnp.where(occupied, labels, -1), len(AGENT_CLASSES), dtype=bool)
    log_depth = jnp.log(jnp.where(occupied, distance.min(-1), 1.0))

    points, labels, real = line_points(lines)
    ground = jnp.concatenate([points, jnp.full_like(points[..., :1], -LIDAR_HEIGHT)], -1)
    pixels, depth = geometry.project(ground[:, None], lidar2img)  # B N K 2
    cell = jnp.floor(pixels / size)
    inside = real[:, None] & (depth > NEAR) & ((cell >= 0) & (cell < np.array([columns, rows]))).all(-1)
    is_line = raster(cell, jnp.broadcast_to(labels[:, None], inside.shape), inside, (rows, columns))
    return jnp.concatenate([is_class, is_line], -1), log_depth, occupied


def bev_targets(
    agents: AgentTargets, lines: MapTargets, bev_shape: Sequence[int], pc_range: Sequence[float]
) -> Bool[Array, "B YX 13"]:
    """Classes of every BEV cell: agents whose footprint, half a cell wider on all sides, holds the cell's center."""
    rows, columns = bev_shape
    extent = np.array([pc_range[3] - pc_range[0], pc_range[4] - pc_range[1]], np.float32)
    low, size = np.array(pc_range[:2], np.float32), extent / np.array([columns, rows], np.float32)
    centers = geometry.cell_centers(tuple(bev_shape)) * extent + low
    heading = -(agents.boxes[..., 6] + np.pi / 2)
    cos, sin = jnp.cos(heading)[:, None], jnp.sin(heading)[:, None]
    gap = centers[:, None] - agents.boxes[:, None, :, :2]  # B YX G 2
    along = jnp.abs(gap[..., 0] * cos + gap[..., 1] * sin)
    across = jnp.abs(gap[..., 1] * cos - gap[..., 0] * sin)
    width, length = agents.boxes[:, None, :, 3], agents.boxes[:, None, :, 4]
    margin = size.min() / 2
    covers = (along <= length / 2 + margin) & (across <= width / 2 + margin) & agents.mask[:, None]
    is_class = (covers[..., None] & jax.nn.one_hot(agents.labels, len(AGENT_CLASSES), dtype=bool)[:, None]).any(2)

    points, labels, real = line_points(lines)
    cell = jnp.floor((points - low) / size)
    inside = real & ((cell >= 0) & (cell < np.array([columns, rows]))).all(-1)
    is_line = raster(cell, labels, inside, (rows, columns)).reshape(len(points), rows * columns, -1)
    return jnp.concatenate([is_class, is_line], -1)


def line_points(
    lines: MapTargets,
) -> tuple[Float[Array, "B K 2"], Int[Array, "B K"], Bool[Array, "B K"]]:
    """The lines filled up to STEPS points a segment: points in meters, their classes, and which are real."""
    points = lines.points[:, :, 0]  # B L P 2
    share = np.arange(STEPS, dtype=np.float32)[:, None] / STEPS
    filled = points[:, :, :-1, None] + share * jnp.diff(points, axis=2)[:, :, :, None]
    count = filled.shape[2] * STEPS
    flat = filled.reshape(len(points), -1, 2)
    return flat, jnp.repeat(lines.labels, count, axis=1), jnp.repeat(lines.mask, count, axis=1)


def raster(
    cell: Float[Array, "*n K 2"], labels: Int[Array, "*n K"], inside: Bool[Array, "*n K"], shape: tuple[int, int]
) -> Bool[Array, "*n rows columns 3"]:
    """True in the cells (x, y) of each class that hold a point."""
    rows, columns = shape
    classes = len(MAP_CLASSES)
    x, y = jnp.moveaxis(cell.astype(jnp.int32), -1, 0)
    index = jnp.where(inside, (y * columns + x) * classes + labels, rows * columns * classes)

    def one(index: Int[Array, " K"]) -> Bool[Array, " cells"]:
        return jnp.zeros(rows * columns * classes, bool).at[index].set(True, mode="drop")

    for _ in index.shape[:-1]:
        one = jax.vmap(one)
    return one(index).reshape(*index.shape[:-1], rows, columns, classes)
