"""Agents, signals and trees of one instant as posed, colored and lit polygon meshes in the world.

The faces of a mesh stay inside the object's 3D box (`shapes`, `vehicles`, `people`, `street_furniture`). Lamps that are
on keep their own color whatever the lighting; every other face is shaded by the scene's sun.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from data_prep.miniworld.render import colors, people, street_furniture, vehicles
from data_prep.miniworld.render.lighting import Lighting
from data_prep.miniworld.render.shapes import Material, Shape
from data_prep.miniworld.world.state import Agent, Ego, Signal, WorldState
from data_prep.miniworld.world.trees import Trees

BLINK_RATE = 1.5  # blinks a second
TREE_RANGE = 65.0  # meters from the ego; trees farther away are not painted
TREE_DETAIL_RANGE = 32.0  # meters; trees farther away have fewer faces
STRIDE = 1.4  # meters walked in one cycle of two steps
_SIGNAL_LAMP = {"r": Material.RED_LAMP, "y": Material.YELLOW_LAMP, "g": Material.GREEN_LAMP}


class Meshes(NamedTuple):
    """N meshes with F faces in all, in world meters.

    corners [F, 8, 3], normals [F, 3], colors [F, 3] (BGR after shading and haze), owners [F] (mesh of each face,
    ascending), levels [F], part_centers [F, 3], is_detail [F]: see `shapes`. is_signal_lamp [F]: lit lamps of signals.
    footprints [N, 4, 2], centers [N, 3], radii [N] (bounding spheres), heights [N]; labels [N]: agent index + 1, or 0
    for a signal or a tree.
    """

    corners: np.ndarray
    normals: np.ndarray
    colors: np.ndarray
    owners: np.ndarray
    levels: np.ndarray
    part_centers: np.ndarray
    is_detail: np.ndarray
    is_signal_lamp: np.ndarray
    footprints: np.ndarray
    centers: np.ndarray
    radii: np.ndarray
    heights: np.ndarray
    labels: np.ndarray


class _Mesh(NamedTuple):
    """One object before posing: its shape, colors and place."""

    shape: Shape
    colors: np.ndarray  # [materials, 3]
    lit: tuple[Material, ...]
    x: float
    y: float
    yaw: float
    half: tuple[float, float]  # half length, half width of the footprint
    height: float
    label: int


def collect_meshes(state: WorldState, ego: Ego, trees: Trees, lighting: Lighting, max_range: float) -> Meshes:
    """Every agent, signal and tree within `max_range` meters of `ego` along x and along y."""
    meshes = [
        _agent_mesh(agent, index + 1, state.time)
        for index, agent in enumerate(state.agents)
        if _is_near(agent, ego, max_range)
    ]
    meshes += [_signal_mesh(signal) for signal in state.signals if _is_near(signal, ego, max_range)]
    near = np.abs(trees.feet - (ego.x, ego.y)).max(axis=1) < min(max_range, TREE_RANGE)
    is_far = np.hypot(*(trees.feet - (ego.x, ego.y)).T) > TREE_DETAIL_RANGE
    meshes += [_tree_mesh(trees, index, bool(is_far[index])) for index in np.nonzero(near)[0]]
    return _assemble(meshes, ego, lighting)


def _is_near(thing: Agent | Signal, ego: Ego, max_range: float) -> bool:
    return abs(thing.x - ego.x) < max_range and abs(thing.y - ego.y) < max_range


@lru_cache(maxsize=512)
def shape_of(category: str, width: float, length: float, height: float, variant: int) -> Shape:
    """The shape of an agent of a nuScenes category with a box of this size, meters. variant: style or walking phase."""
    kind = category.split(".")
    if kind[0] == "human":
        return people.pedestrian(width, length, height, variant)
    if kind[0] == "vehicle":
        if kind[1] in ("car", "emergency") and kind[-1] != "ambulance":
            return vehicles.car(width, length, height, variant % 3)
        if kind[1] in ("truck", "emergency"):
            return vehicles.truck(width, length, height, variant % 2)
        if kind[1] == "bus":
            return vehicles.bus(width, length, height)
        if kind[1] == "trailer":
            return vehicles.trailer(width, length, height)
        if kind[1] == "construction":
            return vehicles.excavator(width, length, height)
        if kind[1] == "motorcycle":
            return people.motorcyclist(width, length, height)
        if kind[1] == "bicycle":
            return people.cyclist(width, length, height)
    if kind[-1] == "trafficcone":
        return street_furniture.cone(width, length, height)
    if kind[-1] == "barrier":
        return street_furniture.barrier(width, length, height)
    return street_furniture.crate(width, length, height)


def _agent_mesh(agent: Agent, label: int, time: float) -> _Mesh:
    variant = agent.paint % 12
    if agent.category.startswith("human"):
        walked = agent.x * np.cos(agent.yaw) + agent.y * np.sin(agent.yaw)
        phase = int(walked / STRIDE * people.STRIDE_PHASES) % people.STRIDE_PHASES
        variant = phase + 1 if agent.speed > 0.2 else 0
    shape = shape_of(agent.category, agent.width, agent.length, agent.height, variant)
    lit = (Material.TAIL_LAMP,) if agent.braking else ()
    if agent.blinker and (time * BLINK_RATE + 0.1 * (agent.paint % 10)) % 1.0 < 0.6:
        lit += (Material.LEFT_LAMP if agent.blinker > 0 else Material.RIGHT_LAMP,)
    table = colors.agent_table(agent.category, agent.paint)
    half = (agent.length / 2, agent.width / 2)
    return _Mesh(shape, table, lit, agent.x, agent.y, agent.yaw, half, agent.height, label)


_signal_shape = lru_cache(maxsize=1)(street_furniture.signal)
_tree_shape = lru_cache(maxsize=4096)(street_furniture.tree)


def _signal_mesh(signal: Signal) -> _Mesh:
    half = (0.2, street_furniture.SIGNAL_WIDTH / 2)
    lit = (_SIGNAL_LAMP[signal.state],)
    height = street_furniture.SIGNAL_HEIGHT
    return _Mesh(_signal_shape(), colors.FIXED_TABLE, lit, signal.x, signal.y, signal.yaw, half, height, 0)


def _tree_mesh(trees: Trees, index: int, is_far: bool) -> _Mesh:
    (x, y), height, crown = trees.feet[index], float(trees.heights[index]), float(trees.crowns[index])
    table = colors.tree_table(int(trees.tones[index]))
    return _Mesh(_tree_shape(height, crown, is_far), table, (), x, y, 0.0, (crown, crown), height, 0)


def _assemble(meshes: list[_Mesh], ego: Ego, lighting: Lighting) -> Meshes:
    """Pose, shade and haze all meshes at once."""
    if not meshes:
        empty = np.zeros
        return Meshes(
            empty((0, 8, 3)), empty((0, 3)), empty((0, 3)), empty(0, int), empty(0, int), empty((0, 3)),
            empty(0, bool), empty(0, bool), empty((0, 4, 2)), empty((0, 3)), empty(0), empty(0), empty(0, int),
        )  # fmt: skip
    counts = [len(mesh.shape.materials) for mesh in meshes]
    owners = np.repeat(np.arange(len(meshes)), counts)
    poses = np.array([(mesh.x, mesh.y, mesh.yaw, *mesh.half, mesh.height) for mesh in meshes])
    cos, sin = np.cos(poses[:, 2]), np.sin(poses[:, 2])
    transform = np.stack([cos, sin, poses[:, 0], poses[:, 1]], axis=1).astype(np.float32)[owners]
    corners = _transformed(np.concatenate([mesh.shape.corners for mesh in meshes]), transform[:, None])
    centers = _transformed(np.concatenate([mesh.shape.part_centers for mesh in meshes]), transform)
    rotation = transform * np.array([1, 1, 0, 0], np.float32)
    normals = _transformed(np.concatenate([mesh.shape.normals for mesh in meshes]), rotation)
    materials = np.concatenate([mesh.shape.materials for mesh in meshes])
    is_lit = np.zeros((len(meshes), len(Material)), bool)
    for index, mesh in enumerate(meshes):
        is_lit[index, list(mesh.lit)] = True
    is_lit = is_lit[owners, materials]
    is_signal_lamp = is_lit & (materials >= Material.RED_LAMP) & (materials <= Material.GREEN_LAMP)
    ahead, left = poses[:, 3:4] * np.array([1, 1, -1, -1]), poses[:, 4:5] * np.array([-1, 1, 1, -1])
    footprints = np.stack([cos[:, None] * ahead - sin[:, None] * left, sin[:, None] * ahead + cos[:, None] * left], -1)
    footprints += poses[:, None, :2]
    base = np.concatenate([mesh.colors[mesh.shape.materials] for mesh in meshes])
    distance = np.hypot(poses[:, 0] - ego.x, poses[:, 1] - ego.y)[owners]
    return Meshes(
        corners=corners,
        normals=normals,
        colors=_lit_colors(base, normals, materials, is_lit, distance, lighting),
        owners=owners,
        levels=np.concatenate([mesh.shape.levels for mesh in meshes]),
        part_centers=centers,
        is_detail=np.concatenate([mesh.shape.is_detail for mesh in meshes]),
        is_signal_lamp=is_signal_lamp,
        footprints=footprints,
        centers=np.concatenate([poses[:, :2], poses[:, 5:] / 2], axis=1),
        radii=np.sqrt((poses[:, 3:5] ** 2).sum(axis=1) + poses[:, 5] ** 2 / 4),
        heights=poses[:, 5],
        labels=np.array([mesh.label for mesh in meshes]),
    )


def _lit_colors(base, normals, materials, is_lit, distance, lighting: Lighting) -> np.ndarray:
    """Face colors [F, 3] from base colors [F, 3]: shading and haze; a lamp that is on shines through haze better."""
    shaded = base * lighting.shade(normals)[:, None] * np.asarray(lighting.weather.tint)
    for material, color in colors.LIT.items():
        shaded[is_lit & (materials == material)] = color
    clear = lighting.transmittance(distance)[:, None]
    clear = np.where(is_lit[:, None], np.sqrt(clear), clear)
    return np.clip(shaded * clear + (1 - clear) * np.asarray(lighting.weather.haze), 0, 255)


def _transformed(points: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """Points [..., 3] rotated about the vertical and moved by transform [..., (cos, sin, x, y)]."""
    x, y = points[..., 0], points[..., 1]
    cos, sin, dx, dy = np.moveaxis(transform, -1, 0)
    return np.stack([cos * x - sin * y + dx, sin * x + cos * y + dy, points[..., 2]], axis=-1)
