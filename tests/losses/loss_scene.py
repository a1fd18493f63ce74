"""Small student outputs and targets for the loss tests, every number set by hand or by a seed."""

import jax.numpy as jnp
import numpy as np

from dima_jax import geometry
from dima_jax.types import AgentTargets, MapTargets, StudentOutput

PC_RANGE = (-15.0, -30.0, -2.0, 15.0, 30.0, 2.0)


def agent_targets(num_real, *, padded=4, batch=1):
    """Real agents stand 3 m apart along x and drive 1 m ahead per step; the padding is zeros."""
    boxes = np.zeros((batch, padded, 9), np.float32)
    boxes[..., :] = (0, 0, 0, 2, 4, 1.5, 0, 0, 2)
    boxes[..., 0] = 3 * np.arange(padded)
    mask = np.broadcast_to(np.arange(padded) < num_real, (batch, padded))
    offsets = np.zeros((batch, padded, 6, 2), np.float32)
    offsets[..., 1] = 1
    return AgentTargets(
        boxes=np.where(mask[..., None], boxes, 0),
        labels=np.where(mask, np.arange(padded) % 10, 0),
        category=np.full((batch, padded), 17),
        mask=mask,
        future_offsets=np.where(mask[..., None, None], offsets, 0),
        future_mask=np.broadcast_to(mask[..., None], (batch, padded, 6)),
        future_yaw=np.zeros((batch, padded, 6), np.float32),
    )


def map_targets(lines, labels, *, padded=3):
    """Lines [n, P, 2] in meters, each in both directions, plus a third order that is not real."""
    n, num_points = len(lines), np.shape(lines)[1]
    points = np.zeros((1, padded, 3, num_points, 2), np.float32)
    points[0, :n, 0], points[0, :n, 1] = lines, np.asarray(lines)[:, ::-1]
    order_mask = np.zeros((1, padded, 3), bool)
    order_mask[0, :n, :2] = True
    all_labels = np.zeros((1, padded), int)
    all_labels[0, :n] = labels
    return MapTargets(
        points=points,
        normalized_points=geometry.normalize_xy(points, PC_RANGE),
        order_mask=order_mask,
        labels=all_labels,
        mask=np.arange(padded)[None] < n,
    )


def random_output(seed, *, layers=2, batch=1, num_agents=6, num_map=4, num_points=5):
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return jnp.asarray(rng.normal(size=shape).astype(np.float32))

    return StudentOutput(
        tokens=None,
        agent_logits=normal(layers, batch, num_agents, 10),
        agent_codes=normal(layers, batch, num_agents, 10),
        agent_future_offsets=normal(batch, num_agents, 6, 6, 2),
        agent_mode_logits=normal(batch, num_agents, 6),
        map_logits=normal(layers, batch, num_map, 3),
        map_points=jnp.asarray(rng.random((layers, batch, num_map, num_points, 2), np.float32)),
        ego_offsets=normal(batch, 3, 6, 2),
        ego_feature=None,
    )
