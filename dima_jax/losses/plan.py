"""Planning: imitation of the recorded path and VAD's three constraints (VAD/utils/plan_loss.py;
docs/vad.md#losses).

The same functions judge the student's plan, the teacher's, and the plan of the edited scene (docs/decisions.md#d5, #d10).
The constraints look at what the student *predicts* around it: no gradient is stopped, they also train perception.
Every mean runs over all steps of the batch, also those that are not real (they add nothing): `count` is a constant.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from dima_jax import geometry, predictions
from dima_jax.losses.l1 import absolute
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
    """The predicted scene as the constraints see it, in meters in the LiDAR frame; masks: True = counts, by its score."""

    map_points: Float[Array, "B M P 2"]
    divider_mask: Bool[Array, "B M"]
    boundary_mask: Bool[Array, "B M"]
    vehicle_waypoints: Float[Array, "B A F 2"]
    vehicle_mask: Bool[Array, "B A"]


def surroundings(output: StudentOutput, pc_range: Sequence[float]) -> Surroundings:
    """The last decoder layer's map lines and its vehicles, each in its most likely motion mode."""
    predicted = predictions.decode(output, pc_range)
    offsets = predictions.likeliest_offsets(predicted)
    return Surroundings(
        map_points=predicted.map_lines,
        divider_mask=predictions.is_line(predicted, "divider", SCORE_THRESHOLD),
        boundary_mask=predictions.is_line(predicted, "boundary", SCORE_THRESHOLD),
        vehicle_waypoints=predicted.agent_boxes[..., None, :2] + geometry.offsets_to_waypoints(offsets),
        vehicle_mask=predictions.is_vehicle(predicted, SCORE_THRESHOLD),
    )


def plan_terms(
    ego_offsets: Float[Array, "B R F 2"],
    command: Float[Array, "B R"],
    target_offsets: Float[Array, "B F 2"],
    target_mask: Bool[Array, "B F"],
    scene: Surroundings,
) -> dict[str, Term]:
    """The terms imitation, boundary, collision and direction of a plan.

    ego_offsets: the plan of every command, meters per step. command: one-hot. target_offsets, target_mask: the recorded
    path and which of its steps exist.
    """
    violations = constraint_violations(ego_offsets, command, target_mask, scene)
    return {
        "imitation": imitation(ego_offsets, command, target_offsets, target_mask),
        **{name: _mean(values) for name, values in violations.items()},
    }


def constraint_violations(
    ego_offsets: Float[Array, "B R F 2"],
    command: Float[Array, "B R"],
    target_mask: Bool[Array, "B F"],
    scene: Surroundings,
) -> dict[str, Float[Array, "B ..."]]:
    """By how much the commanded plan violates boundary, collision and direction at each step; 0 where it does not."""
    offsets = commanded(ego_offsets, command)
    return {
        "boundary": boundary(offsets, target_mask, scene.map_points, scene.boundary_mask),
        "collision": collision(offsets, target_mask, scene.vehicle_waypoints, scene.vehicle_mask),
        "direction": direction(offsets, target_mask, scene.map_points, scene.divider_mask),
    }


def commanded(ego_offsets: Float[Array, "B R F 2"], command: Float[Array, "B R"]) -> Float[Array, "B F 2"]:
    """The plan of the command that was given."""
    return jnp.einsum("brft,br->bft", ego_offsets, command)


def displacement(
    ego_offsets: Float[Array, "B R F 2"], command: Float[Array, "B R"], target_offsets: Float[Array, "B F 2"]
) -> Float[Array, "B F"]:
    """Meters between the waypoints of the commanded plan and of the recorded path, at each step; without gradient."""
    difference = commanded(jax.lax.stop_gradient(ego_offsets), command) - target_offsets
    return jnp.linalg.norm(geometry.offsets_to_waypoints(difference), axis=-1)


def acting_shares(
    ego_offsets: Float[Array, "B R F 2"],
    command: Float[Array, "B R"],
    target_mask: Bool[Array, "B F"],
    scene: Surroundings,
) -> dict[str, Float[Array, ""]]:
    """The share of samples in which each constraint acts, that is, is violated at any step.

    A constraint sees what the student predicts with a score of SCORE_THRESHOLD; a student that is sure of nothing has none.
    """
    violations = constraint_violations(ego_offsets, command, target_mask, scene)
    return {name: (values.reshape(len(values), -1) > 0).any(-1).mean() for name, values in violations.items()}


def imitation(
    ego_offsets: Float[Array, "B R F 2"],
    command: Float[Array, "B R"],
    target_offsets: Float[Array, "B F 2"],
    target_mask: Bool[Array, "B F"],
) -> Term:
    """L1 of the commanded per-step offsets; arguments as in `plan_terms`.

    As in VAD the mean also counts the commands that were not given, so it is a third of the commanded mean.
    """
    weight = command[:, :, None, None] * target_mask[:, None, :, None]
    error = absolute(ego_offsets - target_offsets[:, None]) * weight
    return _mean(error)


def boundary(
    ego_offsets: Float[Array, "B F 2"],
    ego_mask: Bool[Array, "B F"],
    map_points: Float[Array, "B M P 2"],
    boundary_mask: Bool[Array, "B M"],
) -> Float[Array, "B F"]:
    """By how much each waypoint comes nearer than BOUNDARY_DISTANCE to a point of a road boundary, meters.

    From the first step that crosses its nearest boundary on, the loss is 0: it would push the wrong way.
    """
    waypoints = geometry.offsets_to_waypoints(ego_offsets)
    starts = jnp.concatenate([jnp.zeros_like(waypoints[:, :1]), waypoints[:, :-1]], axis=1)
    line, _, distance = jax.vmap(_nearest)(waypoints, map_points, boundary_mask)
    crosses = _segments_intersect(starts[:, :, None], waypoints[:, :, None], line[:, :, :-1], line[:, :, 1:]).any(-1)
    outside = jnp.cumsum(crosses, axis=-1) > 0
    return jnp.where(outside, 0.0, jnp.maximum(BOUNDARY_DISTANCE - distance, 0.0)) * ego_mask


def collision(
    ego_offsets: Float[Array, "B F 2"],
    ego_mask: Bool[Array, "B F"],
    vehicle_waypoints: Float[Array, "B A F 2"],
    vehicle_mask: Bool[Array, "B A"],
) -> Float[Array, "B F 2"]:
    """By how much each waypoint falls short of the distances to keep, in x and in y, to vehicles in COLLISION_RADIUS.

    Meters. The nearest vehicle in x and the nearest in y are chosen independently.
    """
    difference = geometry.offsets_to_waypoints(ego_offsets)[:, None] - vehicle_waypoints  # [B, A, F, 2]
    near = vehicle_mask[..., None] & (jnp.square(difference).sum(-1) <= COLLISION_RADIUS**2)
    gaps = jnp.where(near[..., None], absolute(difference), FAR)
    nearest = jnp.argmin(jax.lax.stop_gradient(gaps), axis=1, keepdims=True)  # jnp.min's gradient can be 0 / 0
    gap = jnp.take_along_axis(gaps, nearest, axis=1)[:, 0]  # [B, F, 2]
    kept = jnp.asarray([COLLISION_LATERAL, COLLISION_LONGITUDINAL])
    return jnp.maximum(kept - gap, 0.0) * ego_mask[..., None]


def direction(
    ego_offsets: Float[Array, "B F 2"],
    ego_mask: Bool[Array, "B F"],
    map_points: Float[Array, "B M P 2"],
    divider_mask: Bool[Array, "B M"],
) -> Float[Array, "B F"]:
    """Angle (0 to pi/2) between each step and the nearest divider, if it is within DIVIDER_DISTANCE.

    A step's heading is that of the move to the next waypoint; the last step repeats it. A plan that travels less than
    STATIC_TRAVEL costs nothing.
    """
    waypoints = geometry.offsets_to_waypoints(ego_offsets)
    line, nearest, distance = jax.vmap(_nearest)(waypoints, map_points, divider_mask)
    last = line.shape[2] - 1
    following = jnp.where(nearest == last, last - 1, nearest + 1)
    here, there = (jnp.take_along_axis(line, i[..., None, None], axis=2)[:, :, 0] for i in (nearest, following))
    moves = jnp.concatenate([ego_offsets[:, 1:], ego_offsets[:, -1:]], axis=1)
    angle = _heading(moves) - _heading(there - here)
    for limit in (jnp.pi, jnp.pi / 2):
        angle = jnp.where(angle > limit, angle - jnp.pi, angle)
    for limit in (jnp.pi, jnp.pi / 2):
        angle = jnp.where(angle < -limit, angle + jnp.pi, angle)
    travel = jnp.square(waypoints[:, -1] - waypoints[:, 0]).sum(-1)
    counts = (distance <= DIVIDER_DISTANCE) & (travel >= STATIC_TRAVEL**2)[:, None]
    return jnp.where(counts, absolute(angle), 0.0) * ego_mask


def _nearest(
    waypoints: Float[Array, "F 2"], map_points: Float[Array, "M P 2"], map_mask: Bool[Array, " M"]
) -> tuple[Float[Array, "F P 2"], Int[Array, " F"], Float[Array, " F"]]:
    """For each waypoint the line that holds the nearest point, that point's index in the line, and its distance."""
    points = jnp.where(map_mask[:, None, None], map_points, FAR)  # [M, P, 2]
    squared = jax.lax.stop_gradient(jnp.square(waypoints[:, None, None] - points).sum(-1))
    index = squared.reshape(waypoints.shape[0], -1).argmin(-1)
    line = points[index // points.shape[1]]
    nearest = index % points.shape[1]
    return line, nearest, _norm(waypoints - line[jnp.arange(waypoints.shape[0]), nearest])


def _norm(xy: Float[Array, "*n 2"]) -> Float[Array, "*n"]:
    """Euclidean length over the last axis, with gradient 0 at 0."""
    squared = jnp.square(xy).sum(-1)
    return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)


def _heading(xy: Float[Array, "*n 2"]) -> Float[Array, "*n"]:
    """atan2(y, x) over the last axis, with gradient 0 at the origin."""
    still = (xy == 0).all(-1)
    return jnp.where(still, 0.0, jnp.arctan2(jnp.where(still, 0.0, xy[..., 1]), jnp.where(still, 1.0, xy[..., 0])))


def _segments_intersect(
    start: Float[Array, "*#n 2"],
    end: Float[Array, "*#n 2"],
    other_start: Float[Array, "*#n 2"],
    other_end: Float[Array, "*#n 2"],
) -> Bool[Array, "*#n"]:
    """Whether closed segments meet; leading axes broadcast. Parallel segments never do."""
    (dx, dy), (other_dx, other_dy) = _x_y(end - start), _x_y(other_end - other_start)
    gap_x, gap_y = _x_y(other_start - start)
    cross = dx * other_dy - other_dx * dy
    safe = jnp.where(cross == 0, 1.0, cross)
    t, other_t = (gap_x * other_dy - gap_y * other_dx) / safe, (gap_x * dy - gap_y * dx) / safe
    return (cross != 0) & (t >= 0) & (t <= 1) & (other_t >= 0) & (other_t <= 1)


def _x_y(xy: Float[Array, "*n 2"]) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    return xy[..., 0], xy[..., 1]


def _mean(values: Float[Array, "..."]) -> Term:
    """The mean over every element, as a term."""
    return Term(values.sum(), jnp.float32(values.size))
