"""LiDAR by ray casting against the ground, the agents' boxes, houses, signal poles and trees.

RINGS x AZIMUTHS rays leave the sensor at once, and each returns the nearest surface within MAX_RANGE: occlusion is
exact, and the number of points in a box tells how much of the agent the sensor saw. Every object is an upright prism,
so a ray's interval over the footprint depends on the azimuth alone and its interval within the height on the ring
alone; only the pairs (prism, azimuth) that intersect are computed.
"""

import numpy as np

from data_prep.miniworld.render import rig
from data_prep.miniworld.render.facades import walls_of
from data_prep.miniworld.render.projection import half_planes
from data_prep.miniworld.render.street_furniture import SIGNAL_HEIGHT
from data_prep.miniworld.world.boxes import corners
from data_prep.miniworld.world.state import Town, WorldState
from data_prep.miniworld.world.trees import trees_of

RINGS = 32
AZIMUTHS = 360
ELEVATIONS = np.radians(np.linspace(-30.67, 10.67, RINGS))  # as the sensor of nuScenes, ring 0 lowest
MAX_RANGE = 70.0  # meters
NOISE = 0.015  # meters, standard deviation of the range
LOST = 0.03  # share of returns that are lost
INSET = 0.06  # meters by which an agent's surface lies inside its box, as annotated boxes are a little loose

GROUND, HOUSE, VEHICLE, PERSON, POLE, LEAF = range(6)
POLE_WIDTH = 0.16  # meters
_INTENSITY = np.array([9.0, 28.0, 45.0, 18.0, 60.0, 12.0])


def scan(town: Town, state: WorldState, rng: np.random.Generator) -> np.ndarray:
    """One sweep: points float32 [n, 5] as (x, y, z, intensity 0-255, ring) in the LiDAR frame, meters.

    The same town, state and rng state give the same points. n is at most RINGS * AZIMUTHS.
    """
    height = rig.RIG["LIDAR_TOP"].translation[2]
    pose = rig.sensor_to_world("LIDAR_TOP", state.ego)
    angle = np.arange(AZIMUTHS) * (2 * np.pi / AZIMUTHS)
    rays = np.stack([np.cos(angle), np.sin(angle)], axis=-1) @ pose[:2, :2].T
    slope = np.tan(ELEVATIONS)
    reach = np.broadcast_to(np.where(slope < 0, -height / np.minimum(slope, -1e-9), np.inf), (AZIMUTHS, RINGS)).copy()
    surface = np.full((AZIMUTHS, RINGS), GROUND)
    eye = pose[:2, 3]
    groups = (_boxes(state, eye, rays), _trees(town, eye, rays), _houses(town, eye, rays))
    azimuth, enter, leave, bottom, top, kind = (np.concatenate(parts) for parts in zip(*groups, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        at_bottom = (bottom[:, None] - height) / slope
        at_top = (top[:, None] - height) / slope
    hit = np.maximum(enter[:, None], np.minimum(at_bottom, at_top))
    is_hit = (hit <= np.minimum(leave[:, None], np.maximum(at_bottom, at_top))) & (hit > 0)
    hit = np.where(is_hit, hit, np.inf)
    np.minimum.at(reach, azimuth, hit)
    first = is_hit & (hit == reach[azimuth])
    pair, ring = np.nonzero(first)
    surface[azimuth[pair], ring] = kind[pair]
    return _returns(reach, surface, angle, slope, rng)


def expected_points(boxes, eye: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """About how many points of a sweep lie on each of some boxes, without the sweep: int [A].

    The rays within a box's outline as seen from `eye` [3] (world), times its visible share [A]. boxes: `visibility.Boxes`.
    0 beyond MAX_RANGE.
    """
    offset = boxes.center_xy - eye[:2]
    distance = np.maximum(np.hypot(*offset.T), 1e-6)
    along, across = (
        (np.abs(np.einsum("akx,ax->ak", boxes.axes, axis)) * boxes.half).sum(1) / distance
        for axis in (offset, offset[:, ::-1] * (-1, 1))
    )
    near, far = np.maximum(distance - along, INSET), distance + along
    top = boxes.height - eye[2]
    low, high = np.arctan2(-eye[2], near), np.maximum(np.arctan2(top, near), np.arctan2(top, far))
    rings = ((low[:, None] <= ELEVATIONS) & (high[:, None] >= ELEVATIONS)).sum(1)
    rays = 2 * np.arctan2(across, distance) / (2 * np.pi / AZIMUTHS)
    return np.where(distance < MAX_RANGE, np.round((1 - LOST) * shares * rays * rings), 0).astype(int)


def _returns(reach, surface, angle, slope, rng: np.random.Generator) -> np.ndarray:
    """Noisy points from horizontal distances `reach` and surfaces [AZIMUTHS, RINGS]; intensity decays with range."""
    stretch = np.sqrt(1.0 + slope**2)
    distance = reach * stretch
    lost = rng.random(reach.shape) < LOST
    distance = distance + rng.normal(0.0, NOISE, reach.shape)
    intensity = _INTENSITY[surface] * rng.uniform(0.5, 1.5, reach.shape) * np.exp(-np.minimum(reach, 1e3) / 60.0)
    keep = np.isfinite(reach) & (distance < MAX_RANGE) & ~lost
    azimuth, ring = np.nonzero(keep)
    flat = distance[keep] / stretch[ring]
    points = [flat * np.cos(angle[azimuth]), flat * np.sin(angle[azimuth]), flat * slope[ring], intensity[keep], ring]
    return np.stack(points, axis=-1).astype(np.float32)


def _boxes(state: WorldState, eye: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Intersections of rays with agents and signal poles.

    Returns six arrays [I]: azimuth index, horizontal distances of entry and exit, bottom and top in meters, surface.
    """
    rows = [
        (a.x, a.y, a.yaw, a.length - 2 * INSET, a.width - 2 * INSET, a.height - INSET, _surface(a.category))
        for a in state.agents
    ]
    rows += [(s.x, s.y, s.yaw, POLE_WIDTH, POLE_WIDTH, SIGNAL_HEIGHT, POLE) for s in state.signals]
    return _prisms(np.array(rows).reshape(-1, 7), 0.0, eye, rays)


def _trees(town: Town, eye: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Intersections with trunks and crowns, as `_boxes`."""
    trees = trees_of(town)
    crowns = np.zeros((len(trees.heights), 7))
    crowns[:, :2], crowns[:, 5], crowns[:, 6] = trees.feet, trees.heights, LEAF
    trunks = crowns.copy()
    crowns[:, 3:5] = 1.6 * trees.crowns[:, None]  # a square of about the area of the round crown
    trunks[:, 3:5], trunks[:, 5] = 0.3, 0.35 * trees.heights
    parts = (_prisms(trunks, 0.0, eye, rays), _prisms(crowns, 0.35 * trees.heights, eye, rays))
    return tuple(np.concatenate(pair) for pair in zip(*parts, strict=True))


def _prisms(table: np.ndarray, bottoms, eye: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Intersections with upright boxes [P, (x, y, yaw, length, width, top, surface)] with lower ends at `bottoms`."""
    near = np.hypot(table[:, 0] - eye[0], table[:, 1] - eye[1]) < MAX_RANGE + 8.0
    bottoms, table = np.broadcast_to(bottoms, near.shape)[near], table[near]
    normals, offsets = half_planes(corners(table[:, :2], table[:, 2], table[:, 3], table[:, 4]))
    speed = np.einsum("pex,ax->pea", normals, rays)  # at which a ray approaches each edge's line
    distance = offsets - normals @ eye
    with np.errstate(divide="ignore", invalid="ignore"):
        meet = distance[..., None] / speed
    enter = np.where(speed < 0, meet, -np.inf).max(axis=1)
    leave = np.where(speed > 0, meet, np.inf).min(axis=1)
    prism, azimuth = np.nonzero((enter < leave) & (leave > 0))
    kinds = table[prism, 6].astype(int)
    return azimuth, enter[prism, azimuth], leave[prism, azimuth], bottoms[prism], table[prism, 5], kinds


def _houses(town: Town, eye: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Intersections with house walls, as `_boxes`; a wall has no thickness."""
    walls = walls_of(town)
    side = ((eye - walls.starts) * walls.normals).sum(axis=1)
    edge = walls.ends - walls.starts
    lengths = np.hypot(edge[:, 0], edge[:, 1])
    middle = (walls.starts + walls.ends) / 2 - eye
    near = np.nonzero((side > 0) & (np.hypot(middle[:, 0], middle[:, 1]) < MAX_RANGE + lengths / 2))[0]
    approach = walls.normals[near] @ rays.T
    distance = np.where(approach < -1e-9, -side[near, None] / np.minimum(approach, -1e-9), np.inf)
    unit = edge[near] / lengths[near, None]
    offset = ((eye - walls.starts[near]) * unit).sum(axis=1)
    along = offset[:, None] + np.minimum(distance, 1e6) * (unit @ rays.T)
    wall, azimuth = np.nonzero((distance < MAX_RANGE) & (along >= 0) & (along <= lengths[near, None]))
    found = distance[wall, azimuth]
    heights = walls.heights[near[wall]]
    return azimuth, found, found, np.zeros(len(wall)), heights, np.full(len(wall), HOUSE)


def _surface(category: str) -> int:
    """The reflecting surface of an agent: vehicle, person, or anything else."""
    if category.startswith("vehicle"):
        return VEHICLE
    return PERSON if category.startswith(("human", "animal")) else POLE
