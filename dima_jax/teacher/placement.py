"""Where a vehicle may be added to a scene: beside predicted map lines, on the drivable side, clear of all (D10).

A fixed number of candidates is drawn along the predicted dividers and boundaries, half a lane to one side, standing or
following the line at constant speed. A candidate is valid if it starts inside pc_range, neither the straight line from
the ego to it nor its own track crosses a boundary, and it keeps clear of boundaries, of every predicted agent at every
step, and of the ego now. Among the valid ones, those that come into conflict with the ego's path, or those that do not,
are preferred, as requested.

All functions treat one scene, in the LiDAR frame of the current frame (x right, y forward), in meters; headings are
radians, counterclockwise from +x; vmap over scenes. Rectangles are compared along the axes of the added vehicle.
Axis letters besides those of `types.py`: c candidates, F1 = F + 1 positions, now and after each future step.
Decision: docs/decisions.md#d10.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dima_jax.constants import EGO_LENGTH, EGO_WIDTH, STEP_SECONDS

CANDIDATES = 64
HALF_LANE = 1.75  # m, from a line to the middle of the lane beside it
MAX_SPEED = 8.0  # m/s of an added vehicle that moves
GAP_AHEAD, GAP_ASIDE = 0.5, 0.2  # m, least free distance to other agents
EGO_GAP = 2.0  # m, least free distance ahead of and behind the ego now
CONFLICT_DISTANCE = 3.0  # m between centers at the same step: below it VAD's collision constraint acts


class Agents(NamedTuple):
    """The predicted agents of one scene. track: their positions; size: (width, length)."""

    track: Float[Array, "A F1 2"]
    heading: Float[Array, " A"]
    size: Float[Array, "A 2"]
    mask: Bool[Array, " A"]


class Lines(NamedTuple):
    """The predicted map lines of one scene. divider, boundary: confident lines of that class; others are not used."""

    points: Float[Array, "M P 2"]
    divider: Bool[Array, " M"]
    boundary: Bool[Array, " M"]


class Placement(NamedTuple):
    """A vehicle to add: its positions and its heading now. found: whether any candidate was valid."""

    track: Float[Array, "F1 2"]
    heading: Float[Array, ""]
    found: Bool[Array, ""]


def place_vehicle(
    uniforms: Float[Array, "c 5"],
    lines: Lines,
    agents: Agents,
    path: Float[Array, "F1 2"],
    size: Float[Array, " 2"],
    pc_range: tuple[float, ...],
    want_conflict: Bool[Array, ""],
) -> Placement:
    """The first valid candidate that conflicts with the ego's path or not, as wanted; else the first valid one.

    uniforms: numbers uniform in [0, 1), 5 for each candidate. path: the ego's positions. size: (width, length) of the
    vehicle to add.
    """
    tracks, headings, exists = draw_candidates(uniforms, lines, path.shape[0])
    valid = (
        exists
        & is_inside(tracks[:, 0], pc_range)
        & is_drivable(tracks, lines, size)
        & is_clear_of_agents(tracks, headings, agents, size)
        & is_clear_of_ego(tracks[:, 0], headings[:, 0], size)
    )
    wanted = conflicts_with_path(tracks, path) == want_conflict
    best = jnp.argmax(valid.astype(jnp.int32) + (valid & wanted))
    return Placement(tracks[best], headings[best, 0], valid[best])


def draw_candidates(
    uniforms: Float[Array, "c 5"], lines: Lines, steps: int
) -> tuple[Float[Array, "c F1 2"], Float[Array, "c F1"], Bool[Array, " c"]]:
    """(tracks, headings, exists) of vehicles beside random dividers and boundaries; without a line none exists.

    uniforms: for the line, the place along it, the side, the speed, the direction of travel. steps: F1.
    A vehicle with no divider between it and the ego drives in the ego's direction. Across a divider both directions are
    equally likely, because the lines do not tell whether traffic keeps right or left. Half of the candidates stand.
    """
    line_uniform, along, side_uniform, speed_uniform, direction_uniform = uniforms.T
    usable = lines.divider | lines.boundary
    rank = jnp.floor(line_uniform * usable.sum()) + 1  # of the drawn line among the usable ones
    line = jnp.argmax(jnp.cumsum(usable) == rank[:, None], axis=1)
    points = lines.points[line]
    side = jnp.where(side_uniform < 0.5, 1.0, -1.0)
    start, tangent = jax.vmap(follow_beside)(points, along, side, jnp.zeros((len(uniforms), 1)))
    across = crosses_any(jnp.zeros_like(start[:, 0]), start[:, 0], lines.points, lines.divider)
    reverse = jnp.where(across, direction_uniform < 0.5, tangent[:, 0, 1] < 0)  # the ego looks along +y
    sign = jnp.where(reverse, -1.0, 1.0)
    speed = MAX_SPEED * jnp.maximum(0.0, 2.0 * speed_uniform - 1.0)
    traveled = (sign * speed)[:, None] * STEP_SECONDS * jnp.arange(steps)
    tracks, tangents = jax.vmap(follow_beside)(points, along, side, traveled)
    headings = jnp.arctan2(sign[:, None] * tangents[..., 1], sign[:, None] * tangents[..., 0])
    return tracks, headings, usable[line]


def follow_beside(
    points: Float[Array, "P 2"], along: Float[Array, ""], side: Float[Array, ""], traveled: Float[Array, " F1"]
) -> tuple[Float[Array, "F1 2"], Float[Array, "F1 2"]]:
    """(positions half a lane beside a polyline, the line's unit tangents there).

    along: start, as a share of the line's length. side: +1 left of the line's direction, -1 right. traveled: meters
    along the line from the start; beyond its ends the line continues straight.
    """
    steps = jnp.diff(points, axis=0)
    lengths = jnp.maximum(jnp.linalg.norm(steps, axis=-1), 1e-3)
    starts = jnp.concatenate([jnp.zeros(1), jnp.cumsum(lengths)])
    distance = along * starts[-1] + traveled
    segment = jnp.clip(jnp.searchsorted(starts, distance, side="right") - 1, 0, len(steps) - 1)
    share = (distance - starts[segment]) / lengths[segment]
    directions = steps / lengths[:, None]
    at_vertex = jnp.concatenate([directions[:1], directions[:-1] + directions[1:], directions[-1:]])
    at_vertex /= jnp.maximum(jnp.linalg.norm(at_vertex, axis=-1, keepdims=True), 1e-3)
    blend = jnp.clip(share, 0.0, 1.0)[:, None]
    tangent = (1 - blend) * at_vertex[segment] + blend * at_vertex[segment + 1]
    tangent /= jnp.maximum(jnp.linalg.norm(tangent, axis=-1, keepdims=True), 1e-3)
    normal = jnp.stack([-tangent[:, 1], tangent[:, 0]], axis=-1)
    return points[segment] + share[:, None] * steps[segment] + side * HALF_LANE * normal, tangent


def is_inside(start: Float[Array, "c 2"], pc_range: tuple[float, ...]) -> Bool[Array, " c"]:
    """At least 1 m inside pc_range."""
    low, high = jnp.array(pc_range[:2]) + 1.0, jnp.array(pc_range[3:5]) - 1.0
    return jnp.all((start > low) & (start < high), axis=-1)


def is_drivable(tracks: Float[Array, "c F1 2"], lines: Lines, size: Float[Array, " 2"]) -> Bool[Array, " c"]:
    """On the ego's side of every boundary: neither the line from the ego to the start nor the track crosses one.

    The start also keeps half the vehicle's width and GAP_ASIDE from the nearest boundary.
    """
    from_ego = jnp.concatenate([jnp.zeros_like(tracks[:, :1]), tracks], axis=1)
    crossed = crosses_any(from_ego[:, :-1], from_ego[:, 1:], lines.points, lines.boundary).any(axis=1)
    distance = distance_to_lines(tracks[:, 0], lines.points)
    nearest = jnp.where(lines.boundary, distance, jnp.inf).min(axis=1)
    return ~crossed & (nearest > size[0] / 2 + GAP_ASIDE)


def is_clear_of_agents(
    tracks: Float[Array, "c F1 2"], headings: Float[Array, "c F1"], agents: Agents, size: Float[Array, " 2"]
) -> Bool[Array, " c"]:
    """Clear of every predicted agent at every step; agents keep their present heading."""
    relative = agents.track[None] - tracks[:, None]  # [c, A, F1, 2]
    turned = agents.heading[None, :, None] - headings[:, None]
    ahead, aside = _half_extents(turned, agents.size[None, :, None])
    hit = _overlaps(relative, headings[:, None], size, ahead + GAP_AHEAD, aside + GAP_ASIDE)
    return ~jnp.any(hit & agents.mask[None, :, None], axis=(1, 2))


def is_clear_of_ego(
    start: Float[Array, "c 2"], heading: Float[Array, " c"], size: Float[Array, " 2"]
) -> Bool[Array, " c"]:
    """Clear of the ego as it stands now, at the origin with heading +y."""
    ahead, aside = _half_extents(jnp.pi / 2 - heading, jnp.array((EGO_WIDTH, EGO_LENGTH)))
    return ~_overlaps(-start, heading, size, ahead + EGO_GAP, aside + GAP_ASIDE)


def conflicts_with_path(tracks: Float[Array, "*c F1 2"], path: Float[Array, "F1 2"]) -> Bool[Array, "*c"]:
    """Within CONFLICT_DISTANCE of the ego's path at the same future step."""
    return jnp.any(jnp.linalg.norm(tracks - path, axis=-1)[..., 1:] < CONFLICT_DISTANCE, axis=-1)


def _half_extents(turned, size):
    """Half extents (ahead, aside) of a rectangle (width, length) along axes from which it is turned by an angle."""
    cos, sin = jnp.abs(jnp.cos(turned)), jnp.abs(jnp.sin(turned))
    half_width, half_length = size[..., 0] / 2, size[..., 1] / 2
    return cos * half_length + sin * half_width, sin * half_length + cos * half_width


def _overlaps(relative, heading, size, ahead, aside):
    """A rectangle with half extents (ahead, aside), centered at `relative` to the vehicle, overlaps the vehicle's."""
    cos, sin = jnp.cos(heading), jnp.sin(heading)
    x, y = relative[..., 0], relative[..., 1]
    return (jnp.abs(cos * x + sin * y) < size[1] / 2 + ahead) & (jnp.abs(cos * y - sin * x) < size[0] / 2 + aside)


def crosses_any(
    start: Float[Array, "*n 2"], end: Float[Array, "*n 2"], points: Float[Array, "M P 2"], mask: Bool[Array, " M"]
) -> Bool[Array, "*n"]:
    """The segment from start to end meets a line whose `mask` is True. Touching counts, parallel segments do not."""
    a, b = start[..., None, None, :], (end - start)[..., None, None, :]
    c, d = points[:, :-1], jnp.diff(points, axis=1)
    area = _cross(b, d)
    t, u = _cross(c - a, d), _cross(c - a, b)
    sign = jnp.sign(area)
    t, u, area = t * sign, u * sign, jnp.abs(area)
    hit = (area > 1e-6) & (t >= 0) & (t <= area) & (u >= 0) & (u <= area)
    return jnp.any(hit & mask[:, None], axis=(-2, -1))


def distance_to_lines(xy: Float[Array, "n 2"], points: Float[Array, "M P 2"]) -> Float[Array, "n M"]:
    """Distance of each point to the nearest point of each line, meters."""
    a, d = points[:, :-1], jnp.diff(points, axis=1)
    relative = xy[:, None, None] - a
    share = jnp.sum(relative * d, axis=-1) / jnp.maximum(jnp.sum(d * d, axis=-1), 1e-6)
    nearest = relative - jnp.clip(share, 0.0, 1.0)[..., None] * d
    return jnp.linalg.norm(nearest, axis=-1).min(axis=-1)


def _cross(a, b):
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
