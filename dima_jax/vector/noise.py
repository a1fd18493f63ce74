"""Vector mode: what the student is told of a key frame. Some recorded agents and lines are missing, all are displaced.

In training and in evaluation alike, as a detector makes mistakes in both. Every number comes from a key of the sample, so
the same key tells the student the same thing, whatever else is in the batch.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dima_jax import geometry
from dima_jax.types import AgentTargets, MapTargets


class Noise(NamedTuple):
    """agent_dropout, line_dropout: probabilities that one is missing. jitter: standard deviation in x and in y of the
    displacement of an agent or a line, meters; range_noise: what is added to it per meter of distance.
    """

    agent_dropout: float
    line_dropout: float
    jitter: float
    range_noise: float


def observe(
    agents: AgentTargets,
    lines: MapTargets,
    keys: jax.Array,
    noise: Noise,
    pc_range: Sequence[float],
    *,
    velocity: bool,
    future: bool,
) -> tuple[AgentTargets, MapTargets]:
    """(agents, lines) as the student is told them: of the present alone, unless future.

    keys: one for each sample. velocity: False withholds the agents'. future: True leaves where agents will go (offsets and
    which of them are known); else nothing of it is left. Lines keep their first vertex order only. Agents whose box has no
    size or is no finite number are missing.
    """
    split = jax.vmap(jax.random.split)(keys)

    boxes = agents.boxes
    is_box = jnp.isfinite(boxes).all(-1) & (boxes[..., 3:6] > 0).all(-1)
    kept, direction = _draw(split[:, 0], agents.mask.shape[1], noise.agent_dropout)
    mask = agents.mask & is_box & kept
    boxes = jnp.where(is_box[..., None], boxes, 1.0)
    centers = _displaced(boxes[..., None, :2], direction, noise, pc_range)[..., 0, :]
    motion = boxes[..., 7:9] if velocity else jnp.zeros_like(boxes[..., 7:9])
    known = agents.future_mask & mask[..., None] if future else jnp.zeros_like(agents.future_mask)
    told_agents = agents.replace(
        boxes=jnp.concatenate([centers, boxes[..., 2:7], motion], axis=-1),
        mask=mask,
        future_offsets=jnp.where(known[..., None], agents.future_offsets, 0.0),
        future_mask=known,
        future_yaw=jnp.zeros_like(agents.future_yaw),
    )

    kept, direction = _draw(split[:, 1], lines.mask.shape[1], noise.line_dropout)
    points = _displaced(lines.points[:, :, 0], direction, noise, pc_range)[:, :, None]
    told_lines = lines.replace(
        points=points,
        normalized_points=geometry.normalize_xy(points, pc_range),
        order_mask=lines.order_mask[:, :, :1],
        mask=lines.mask & kept,
    )
    return told_agents, told_lines


def _draw(keys: jax.Array, count: int, dropout: float) -> tuple[Bool[Array, "B n"], Float[Array, "B n 2"]]:
    """Of `count` things of every sample: whether each is there, and a displacement of deviation 1."""

    def one(key: jax.Array):
        key_kept, key_moved = jax.random.split(key)
        return jax.random.bernoulli(key_kept, 1.0 - dropout, (count,)), jax.random.normal(key_moved, (count, 2))

    return jax.vmap(one)(keys)


def _displaced(
    points: Float[Array, "B n P 2"], direction: Float[Array, "B n 2"], noise: Noise, pc_range: Sequence[float]
) -> Float[Array, "B n P 2"]:
    """Points in meters, moved together by their noise and clipped to pc_range."""
    distance = jnp.sqrt((points**2).sum(-1)).min(-1)
    deviation = noise.jitter + noise.range_noise * distance
    moved = points + (deviation[..., None] * direction)[:, :, None]
    return jnp.clip(moved, jnp.array(pc_range[:2]), jnp.array(pc_range[3:5]))
