"""Where a vehicle may be added to a scene: on the drivable side of predicted map lines, free of everybody (D10).

A fixed number of candidates is drawn along predicted dividers and boundaries, half a lane to one side, standing or
following the line at a constant speed. A candidate is good if it starts inside pc_range, the way from the ego to it and
its own track cross no boundary, it keeps clear of boundaries, of all predicted agents at every step, and of the ego now.
Among the good ones, those that come into (or keep out of) the ego's way are preferred, as asked.

All functions treat one scene, in the current LiDAR frame: meters, radians counter-clockwise from +x; vmap over scenes.
Rectangles are compared along the added vehicle's own axes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dima_jax.constants import EGO_LENGTH, EGO_WIDTH, STEP_SECONDS

CANDIDATES = 64
HALF_LANE = 1.75  # m, from a line to the middle of the lane beside it
MAX_SPEED = 8.0  # m/s of a moving added vehicle
GAP_AHEAD, GAP_ASIDE = 0.5, 0.2  # m, least free space to other agents
EGO_GAP = 2.0  # m, least free space ahead of or behind the ego now
CONFLICT = 3.0  # m between centers at the same step: VAD's collision constraint acts below (vad-spec 9)


class Agents(NamedTuple):
    """The predicted agents of one scene. track: positions now and at F steps; size: (width, length)."""

    track: Float[Array, "A F1 2"]
    heading: Float[Array, " A"]
    size: Float[Array, "A 2"]
    mask: Bool[Array, " A"]


class Lines(NamedTuple):
    """The predicted map lines of one scene; a line that is neither kind (or not confident) is not used."""

    points: Float[Array, "M P 2"]
    divider: Bool[Array, " M"]
    boundary: Bool[Array, " M"]


class Placement(NamedTuple):
    """A vehicle to add: track now and at F steps, heading now, and whether any candidate was good."""

    track: Float[Array, "F1 2"]
    heading: Float[Array, ""]
    found: Bool[Array, ""]


def place(
    uniforms: Float[Array, "c 5"],
    lines: Lines,
    agents: Agents,
    path: Float[Array, "F1 2"],
    size: Float[Array, " 2"],  # (width, length) of the vehicle to add
    pc_range: tuple[float, ...],
    want_conflict: Bool[Array, ""],
) -> Placement:
    """Draws a vehicle. uniforms: uniform random numbers; path: where the ego will be, now and at F steps."""
    tracks, headings, real = candidates(uniforms, lines, path.shape[0])
    good = (
        real
        & inside(tracks[:, 0], pc_range)
        & drivable(tracks, lines, size)
        & free(tracks, headings, agents, size)
        & clear_of_ego(tracks[:, 0], headings[:, 0], size)
    )
    wanted = conflicts(tracks, path) == want_conflict
    best = jnp.argmax(good.astype(jnp.int32) + (good & wanted))
    return Placement(tracks[best], headings[best, 0], good[best])


def candidates(
    uniforms: Float[Array, "c 5"], lines: Lines, steps: int
) -> tuple[Float[Array, "c F1 2"], Float[Array, "c F1"], Bool[Array, " c"]]:
    """(tracks, headings, is real) of vehicles beside random lines; without a usable line none is real.

    A vehicle with no divider between it and the ego drives the ego's way; across a divider, either way: the lines do
    not say whether traffic keeps right or left.
    """
    which, along, left, pace, turn = uniforms.T
    usable = lines.divider | lines.boundary
    rank = jnp.floor(which * usable.sum()) + 1  # of the drawn line among the usable ones
    line = jnp.argmax(jnp.cumsum(usable) == rank[:, None], axis=1)
    points = lines.points[line]
    side = jnp.where(left < 0.5, 1.0, -1.0)
    start, tangent = jax.vmap(beside)(points, along, side, jnp.zeros((len(uniforms), 1)))
    across = crosses_any(jnp.zeros_like(start[:, 0]), start[:, 0], lines.points, lines.divider)
    turned = jnp.where(across, turn < 0.5, tangent[:, 0, 1] < 0)  # the ego looks along +y
    way = jnp.where(turned, -1.0, 1.0)
    speed = MAX_SPEED * jnp.maximum(0.0, 2.0 * pace - 1.0)  # half of them stand
    tracks, tangents = jax.vmap(beside)(points, along, side, (way * speed)[:, None] * STEP_SECONDS * jnp.arange(steps))
    headings = jnp.arctan2(way[:, None] * tangents[..., 1], way[:, None] * tangents[..., 0])
    return tracks, headings, usable[line]


def beside(
    points: Float[Array, "P 2"], along: Float[Array, ""], side: Float[Array, ""], traveled: Float[Array, " F1"]
) -> tuple[Float[Array, "F1 2"], Float[Array, "F1 2"]]:
    """Positions half a lane beside a polyline, and its unit tangents there.

    along: start, as a share of the length; traveled: meters from there (beyond the ends the line goes on straight);
    side: +1 left of the line's direction, -1 right.
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


def inside(start: Float[Array, "c 2"], pc_range: tuple[float, ...]) -> Bool[Array, " c"]:
    """Starts at least 1 m inside the range of perception."""
    low, high = jnp.array(pc_range[:2]) + 1.0, jnp.array(pc_range[3:5]) - 1.0
    return jnp.all((start > low) & (start < high), axis=-1)


def drivable(tracks: Float[Array, "c F1 2"], lines: Lines, size: Float[Array, " 2"]) -> Bool[Array, " c"]:
    """On the ego's side of every boundary: straight from the ego to the start and along the track none is crossed, and
    at the start half the vehicle's width fits before the nearest one."""
    way = jnp.concatenate([jnp.zeros_like(tracks[:, :1]), tracks], axis=1)
    crossed = crosses_any(way[:, :-1], way[:, 1:], lines.points, lines.boundary).any(axis=1)
    distance = distance_to_lines(tracks[:, 0], lines.points)
    nearest = jnp.where(lines.boundary, distance, jnp.inf).min(axis=1)
    return ~crossed & (nearest > size[0] / 2 + GAP_ASIDE)


def free(tracks, headings, agents: Agents, size) -> Bool[Array, " c"]:
    """Clear of every predicted agent at every step; an agent keeps its present heading."""
    relative = agents.track[None] - tracks[:, None]  # [c, A, F1, 2]
    turned = agents.heading[None, :, None] - headings[:, None]
    ahead, aside = _extent(turned, agents.size[None, :, None])
    hit = _overlaps(relative, headings[:, None], size, ahead + GAP_AHEAD, aside + GAP_ASIDE)
    return ~jnp.any(hit & agents.mask[None, :, None], axis=(1, 2))


def clear_of_ego(start: Float[Array, "c 2"], heading: Float[Array, " c"], size) -> Bool[Array, " c"]:
    """The ego, at the origin and looking along +y, has room now."""
    ahead, aside = _extent(jnp.pi / 2 - heading, jnp.array((EGO_WIDTH, EGO_LENGTH)))
    return ~_overlaps(-start, heading, size, ahead + EGO_GAP, aside + GAP_ASIDE)


def conflicts(tracks: Float[Array, "*c F1 2"], path: Float[Array, "F1 2"]) -> Bool[Array, "*c"]:
    """Comes so near to the ego's path at the same future step that the collision constraint acts."""
    return jnp.any(jnp.linalg.norm(tracks - path, axis=-1)[..., 1:] < CONFLICT, axis=-1)


def _extent(turned, size):
    """Half extents (ahead, aside) of a rectangle (width, length) seen from axes it is turned against."""
    cos, sin = jnp.abs(jnp.cos(turned)), jnp.abs(jnp.sin(turned))
    half_width, half_length = size[..., 0] / 2, size[..., 1] / 2
    return cos * half_length + sin * half_width, sin * half_length + cos * half_width


def _overlaps(relative, heading, size, ahead, aside):
    """A point `relative` to the vehicle, grown by (ahead, aside), touches the vehicle's rectangle."""
    cos, sin = jnp.cos(heading), jnp.sin(heading)
    x, y = relative[..., 0], relative[..., 1]
    return (jnp.abs(cos * x + sin * y) < size[1] / 2 + ahead) & (jnp.abs(cos * y - sin * x) < size[0] / 2 + aside)


def crosses_any(
    start: Float[Array, "*n 2"], end: Float[Array, "*n 2"], points: Float[Array, "M P 2"], mask: Bool[Array, " M"]
) -> Bool[Array, "*n"]:
    """The segment start-end meets some segment of a line that counts (touching included, parallel never)."""
    a, b = start[..., None, None, :], (end - start)[..., None, None, :]
    c, d = points[:, :-1], jnp.diff(points, axis=1)
    area = _cross(b, d)
    t, u = _cross(c - a, d), _cross(c - a, b)
    sign = jnp.sign(area)
    t, u, area = t * sign, u * sign, jnp.abs(area)
    hit = (area > 1e-6) & (t >= 0) & (t <= area) & (u >= 0) & (u <= area)
    return jnp.any(hit & mask[:, None], axis=(-2, -1))


def distance_to_lines(xy: Float[Array, "n 2"], points: Float[Array, "M P 2"]) -> Float[Array, "n M"]:
    """From each point to the nearest place of each line, meters."""
    a, d = points[:, :-1], jnp.diff(points, axis=1)
    relative = xy[:, None, None] - a
    share = jnp.sum(relative * d, axis=-1) / jnp.maximum(jnp.sum(d * d, axis=-1), 1e-6)
    nearest = relative - jnp.clip(share, 0.0, 1.0)[..., None] * d
    return jnp.linalg.norm(nearest, axis=-1).min(axis=-1)


def _cross(a, b):
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
