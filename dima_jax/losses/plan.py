"""Planning: imitation of the recorded path and VAD's three constraints (VAD/utils/plan_loss.py; vad-spec 9).

The same functions judge the student's plan, the teacher's, and the plan of the edited scene (design D5, D10).
The constraints look at what the student *predicts* around it: no gradient is stopped, they also train perception.
Every mean runs over all steps of the batch, also those that are not real (they add nothing): `count` is a constant.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dima_jax import geometry, predictions
from dima_jax.types import StudentOutput, Term

SCORE_THRESHOLD = 0.5  # of a map line or an agent to count at all
BOUNDARY_DISTANCE = 1.0  # meters kept to the road boundary
DIVIDER_DISTANCE = 2.0  # meters within which a divider gives the direction
STATIC_TRAVEL = 1.0  # meters between first and last waypoint below which a plan has no direction
COLLISION_RADIUS = 3.0  # meters within which an agent matters at all
COLLISION_LATERAL = 1.5  # meters kept in x
COLLISION_LONGITUDINAL = 3.0  # meters kept in y
FAR = 1e6  # meters; where lines and agents that do not count are put


class Surroundings(NamedTuple):
    """What the constraints see, in meters in the LiDAR frame."""

    map_points: jax.Array  # [B, M, P, 2]
    divider_mask: jax.Array  # [B, M] True: a divider by its score
    boundary_mask: jax.Array  # [B, M] True: a road boundary by its score
    vehicle_waypoints: jax.Array  # [B, A, F, 2]
    vehicle_mask: jax.Array  # [B, A] True: a vehicle by its score


def surroundings(output: StudentOutput, pc_range) -> Surroundings:
    """The last decoder layer's map lines and its vehicles, each in its most likely motion mode."""
    seen = predictions.decode(output, pc_range)
    offsets = predictions.likeliest_offsets(seen)
    return Surroundings(
        map_points=seen.map_lines,
        divider_mask=predictions.is_line(seen, "divider", SCORE_THRESHOLD),
        boundary_mask=predictions.is_line(seen, "boundary", SCORE_THRESHOLD),
        vehicle_waypoints=seen.agent_boxes[..., None, :2] + geometry.offsets_to_waypoints(offsets),
        vehicle_mask=predictions.is_vehicle(seen, SCORE_THRESHOLD),
    )


def plan_terms(ego_offsets, command, target_offsets, target_mask, scene: Surroundings) -> dict[str, Term]:
    """The terms imitation, boundary, collision and direction of a plan.

    ego_offsets [B, R, F, 2] meters per step, command [B, R] one-hot, target_offsets [B, F, 2], target_mask [B, F].
    """
    commanded = jnp.einsum("brft,br->bft", ego_offsets, command)
    return {
        "imitation": imitation(ego_offsets, command, target_offsets, target_mask),
        "boundary": boundary(commanded, target_mask, scene.map_points, scene.boundary_mask),
        "collision": collision(commanded, target_mask, scene.vehicle_waypoints, scene.vehicle_mask),
        "direction": direction(commanded, target_mask, scene.map_points, scene.divider_mask),
    }


def imitation(ego_offsets, command, target_offsets, target_mask) -> Term:
    """L1 of the commanded per-step offsets; shapes as in `plan_terms`.

    As in VAD the mean also counts the commands that were not given, so it is a third of the commanded mean.
    """
    weight = command[:, :, None, None] * target_mask[:, None, :, None]
    error = jnp.abs(ego_offsets - target_offsets[:, None]) * weight
    return _mean(error)


def boundary(ego_offsets, ego_mask, map_points, boundary_mask) -> Term:
    """How much nearer than BOUNDARY_DISTANCE each waypoint comes to a point of a road boundary.

    ego_offsets [B, F, 2], ego_mask [B, F], map_points [B, M, P, 2] meters, boundary_mask [B, M].
    From the step on whose move crosses the nearest boundary the loss is 0: it would push the wrong way.
    """
    waypoints = geometry.offsets_to_waypoints(ego_offsets)
    starts = jnp.concatenate([jnp.zeros_like(waypoints[:, :1]), waypoints[:, :-1]], axis=1)
    line, _, distance = jax.vmap(_nearest)(waypoints, map_points, boundary_mask)
    crosses = _segments_intersect(starts[:, :, None], waypoints[:, :, None], line[:, :, :-1], line[:, :, 1:]).any(-1)
    outside = jnp.cumsum(crosses, axis=-1) > 0
    return _mean(jnp.where(outside, 0.0, jnp.maximum(BOUNDARY_DISTANCE - distance, 0.0)) * ego_mask)


def collision(ego_offsets, ego_mask, vehicle_waypoints, vehicle_mask) -> Term:
    """How much less than the kept distances in x and in y (taken independently) to vehicles within COLLISION_RADIUS.

    ego_offsets [B, F, 2], ego_mask [B, F], vehicle_waypoints [B, A, F, 2] meters, vehicle_mask [B, A].
    """
    apart = geometry.offsets_to_waypoints(ego_offsets)[:, None] - vehicle_waypoints  # [B, A, F, 2]
    near = vehicle_mask[..., None] & (jnp.square(apart).sum(-1) <= COLLISION_RADIUS**2)
    gaps = jnp.where(near[..., None], jnp.abs(apart), FAR)
    nearest = jnp.argmin(jax.lax.stop_gradient(gaps), axis=1, keepdims=True)  # jnp.min's gradient can be 0 / 0
    gap = jnp.take_along_axis(gaps, nearest, axis=1)[:, 0]  # [B, F, 2]
    kept = jnp.asarray([COLLISION_LATERAL, COLLISION_LONGITUDINAL])
    return _mean(jnp.maximum(kept - gap, 0.0) * ego_mask[..., None])


def direction(ego_offsets, ego_mask, map_points, divider_mask) -> Term:
    """Angle (0 to pi/2) between each step and the nearest divider, if it is within DIVIDER_DISTANCE.

    ego_offsets [B, F, 2], ego_mask [B, F], map_points [B, M, P, 2] meters, divider_mask [B, M]. A step's heading is
    that of the move to the next waypoint; the last step repeats it. 0 for a plan that hardly moves.
    """
    waypoints = geometry.offsets_to_waypoints(ego_offsets)
    line, nearest, distance = jax.vmap(_nearest)(waypoints, map_points, divider_mask)
    last = line.shape[2] - 1
    following = jnp.where(nearest == last, last - 1, nearest + 1)
    here, there = (jnp.take_along_axis(line, i[..., None, None], axis=2)[:, :, 0] for i in (nearest, following))
    moves = jnp.concatenate([ego_offsets[:, 1:], ego_offsets[:, -1:]], axis=1)
    angle = _heading(moves) - _heading(there - here)
    for turn in (jnp.pi, jnp.pi / 2):
        angle = jnp.where(angle > turn, angle - jnp.pi, angle)
    for turn in (jnp.pi, jnp.pi / 2):
        angle = jnp.where(angle < -turn, angle + jnp.pi, angle)
    travel = jnp.square(waypoints[:, -1] - waypoints[:, 0]).sum(-1)
    counts = (distance <= DIVIDER_DISTANCE) & (travel >= STATIC_TRAVEL**2)[:, None]
    return _mean(jnp.where(counts, jnp.abs(angle), 0.0) * ego_mask)


def _nearest(waypoints, map_points, map_mask):
    """For waypoints [F, 2]: the line [F, P, 2] that owns the nearest point, that point's index [F], distance [F]."""
    points = jnp.where(map_mask[:, None, None], map_points, FAR)  # [M, P, 2]
    squared = jax.lax.stop_gradient(jnp.square(waypoints[:, None, None] - points).sum(-1))
    index = squared.reshape(waypoints.shape[0], -1).argmin(-1)
    line = points[index // points.shape[1]]
    nearest = index % points.shape[1]
    apart = waypoints - line[jnp.arange(waypoints.shape[0]), nearest]
    return line, nearest, _norm(apart)


def _norm(xy):
    """Euclidean length over the last axis, with gradient 0 at 0."""
    squared = jnp.square(xy).sum(-1)
    return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)


def _heading(xy):
    """atan2(y, x) over the last axis, with gradient 0 at the origin."""
    still = (xy == 0).all(-1)
    return jnp.where(still, 0.0, jnp.arctan2(jnp.where(still, 0.0, xy[..., 1]), jnp.where(still, 1.0, xy[..., 0])))


def _segments_intersect(start, end, other_start, other_end):
    """Whether closed segments meet, [..., 2] each with broadcasting leading axes; parallel ones never do."""
    (dx, dy), (other_dx, other_dy) = _parts(end - start), _parts(other_end - other_start)
    gap_x, gap_y = _parts(other_start - start)
    cross = dx * other_dy - other_dx * dy
    safe = jnp.where(cross == 0, 1.0, cross)
    t, other_t = (gap_x * other_dy - gap_y * other_dx) / safe, (gap_x * dy - gap_y * dx) / safe
    return (cross != 0) & (t >= 0) & (t <= 1) & (other_t >= 0) & (other_t <= 1)


def _parts(xy):
    return xy[..., 0], xy[..., 1]


def _mean(values) -> Term:
    return Term(values.sum(), jnp.float32(values.size))
