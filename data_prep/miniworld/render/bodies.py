"""Agents, signals and trees of one instant as colored faces in the world: shape, pose, lamps, light.

A body's faces stay inside its 3D box (`solids`, `vehicles`, `people`, `street`). Lamps that are lit shine with their own
color whatever the light; everything else is shaded by the scene's sun.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from data_prep.miniworld.render import people, street, vehicles
from data_prep.miniworld.render.light import Light
from data_prep.miniworld.render.solids import Role, Shape
from data_prep.miniworld.world.scenery import Trees
from data_prep.miniworld.world.state import Agent, Signal, WorldState

BLINK_RATE = 1.5  # blinks a second
TREE_REACH, FAR_TREE = 65.0, 32.0  # meters
STRIDE = 1.4  # meters walked in one cycle of two steps

PAINTS = (  # BGR
    (232, 232, 230), (205, 205, 202), (150, 150, 148), (92, 92, 94), (44, 42, 42), (34, 30, 150), (40, 40, 196),
    (150, 78, 28), (120, 52, 22), (190, 150, 60), (70, 112, 40), (52, 150, 210), (96, 128, 168), (120, 140, 90),
)  # fmt: skip
BUS_PAINTS = ((40, 170, 230), (60, 60, 200), (170, 110, 40), (90, 150, 60), (225, 225, 225))
CARGO_PAINTS = ((225, 228, 230), (200, 190, 170), (70, 110, 170), (150, 90, 50), (120, 150, 110))
SHIRTS = (
    (60, 60, 190), (190, 120, 50), (60, 140, 70), (40, 180, 220), (220, 220, 220), (60, 60, 62), (140, 70, 130),
    (90, 130, 200), (200, 180, 90), (110, 110, 115),
)  # fmt: skip
TROUSERS = ((110, 70, 40), (60, 55, 55), (85, 110, 135), (45, 45, 90), (120, 120, 120))
SKINS = ((150, 185, 225), (110, 150, 200), (70, 100, 150), (45, 65, 100))
HAIRS = ((30, 35, 45), (35, 60, 95), (60, 120, 170), (110, 110, 115))
LEAVES = ((52, 104, 66), (46, 92, 74), (60, 120, 92), (44, 84, 52))

_BASE = {
    Role.TRIM: (46, 45, 45),
    Role.GLASS: (98, 82, 66),
    Role.TYRE: (34, 33, 33),
    Role.RIM: (165, 165, 165),
    Role.PLATE: (225, 225, 225),
    Role.TAIL_LAMP: (30, 24, 128),
    Role.LEFT_LAMP: (60, 110, 165),
    Role.RIGHT_LAMP: (60, 110, 165),
    Role.HEAD_LAMP: (232, 236, 236),
    Role.SHOES: (42, 42, 44),
    Role.ORANGE: (30, 112, 240),
    Role.WHITE: (235, 235, 235),
    Role.POLE: (110, 112, 112),
    Role.HOUSING: (32, 32, 30),
    Role.RED_LAMP: (26, 24, 62),
    Role.YELLOW_LAMP: (26, 52, 62),
    Role.GREEN_LAMP: (44, 58, 26),
    Role.BARK: (52, 72, 92),
}
_LIT = {
    Role.TAIL_LAMP: (70, 60, 255),
    Role.LEFT_LAMP: (40, 170, 255),
    Role.RIGHT_LAMP: (40, 170, 255),
    Role.RED_LAMP: (60, 50, 255),
    Role.YELLOW_LAMP: (40, 205, 255),
    Role.GREEN_LAMP: (140, 255, 60),
}
_SIGNAL_LAMP = {"r": Role.RED_LAMP, "y": Role.YELLOW_LAMP, "g": Role.GREEN_LAMP}
_BASE_TABLE = np.zeros((len(Role), 3), np.float32)
for _role, _color in _BASE.items():
    _BASE_TABLE[_role] = _color


class Bodies(NamedTuple):
    """N bodies with F faces in all, in world meters.

    corners [F, 8, 3], normals [F, 3], colors [F, 3] (lit and hazed, BGR), owners [F] (body of each face, ascending),
    levels [F], part_centers [F, 3], is_detail [F]: see `solids`. is_signal_lamp [F]: lit lamps of signals.
    footprints [N, 4, 2], centers [N, 3], radii [N], heights [N]; labels [N]: agent index + 1, or 0.
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


class _Body(NamedTuple):
    shape: Shape
    colors: np.ndarray  # [roles, 3]
    lit: tuple[Role, ...]
    x: float
    y: float
    yaw: float
    half: tuple[float, float]  # half length, half width of the footprint
    height: float
    label: int


def gather(state: WorldState, trees: Trees, light: Light, reach: float) -> Bodies:
    """Every agent, signal and tree within `reach` meters of the ego."""
    bodies = [
        _agent_body(agent, index + 1, state.time)
        for index, agent in enumerate(state.agents)
        if _near(agent, state, reach)
    ]
    bodies += [_signal_body(signal) for signal in state.signals if _near(signal, state, reach)]
    close = np.abs(trees.feet - (state.ego.x, state.ego.y)).max(axis=1) < min(reach, TREE_REACH)
    is_far = np.hypot(*(trees.feet - (state.ego.x, state.ego.y)).T) > FAR_TREE
    bodies += [_tree_body(trees, index, bool(is_far[index])) for index in np.nonzero(close)[0]]
    return _assemble(bodies, state, light)


def _near(thing: Agent | Signal, state: WorldState, reach: float) -> bool:
    return abs(thing.x - state.ego.x) < reach and abs(thing.y - state.ego.y) < reach


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
            return vehicles.digger(width, length, height)
        if kind[1] == "motorcycle":
            return people.motorcyclist(width, length, height)
        if kind[1] == "bicycle":
            return people.cyclist(width, length, height)
    if kind[-1] == "trafficcone":
        return street.cone(width, length, height)
    if kind[-1] == "barrier":
        return street.barrier(width, length, height)
    return street.crate(width, length, height)


@lru_cache(maxsize=4096)
def _agent_colors(category: str, paint: int) -> np.ndarray:
    table = _BASE_TABLE.copy()
    paints = BUS_PAINTS if ".bus" in category else PAINTS
    table[Role.PAINT] = paints[paint % len(paints)]
    cargo = CARGO_PAINTS[(paint // 3) % len(CARGO_PAINTS)]
    table[Role.CARGO] = 0.7 * table[Role.PAINT] if ".bus" in category else cargo
    table[Role.SHIRT] = SHIRTS[paint % len(SHIRTS)]
    table[Role.TROUSERS] = TROUSERS[(paint // 2) % len(TROUSERS)]
    table[Role.SKIN] = SKINS[(paint // 5) % len(SKINS)]
    table[Role.HAIR] = PAINTS[(paint + 5) % len(PAINTS)] if "cycle" in category else HAIRS[(paint // 7) % len(HAIRS)]
    return table


def _agent_body(agent: Agent, label: int, time: float) -> _Body:
    variant = agent.paint % 12
    if agent.category.startswith("human"):
        walked = agent.x * np.cos(agent.yaw) + agent.y * np.sin(agent.yaw)
        phase = int(walked / STRIDE * people.STRIDE_PHASES) % people.STRIDE_PHASES
        variant = phase + 1 if agent.speed > 0.2 else 0
    shape = shape_of(agent.category, agent.width, agent.length, agent.height, variant)
    lit = (Role.TAIL_LAMP,) if agent.braking else ()
    if agent.blinker and (time * BLINK_RATE + 0.1 * (agent.paint % 10)) % 1.0 < 0.6:
        lit += (Role.LEFT_LAMP if agent.blinker > 0 else Role.RIGHT_LAMP,)
    colors = _agent_colors(agent.category, agent.paint)
    half = (agent.length / 2, agent.width / 2)
    return _Body(shape, colors, lit, agent.x, agent.y, agent.yaw, half, agent.height, label)


_signal_shape = lru_cache(maxsize=1)(street.signal)
_tree_shape = lru_cache(maxsize=4096)(street.tree)


def _signal_body(signal: Signal) -> _Body:
    half = (0.2, street.SIGNAL_WIDTH / 2)
    lit = (_SIGNAL_LAMP[signal.state],)
    height = street.SIGNAL_HEIGHT
    return _Body(_signal_shape(), _BASE_TABLE, lit, signal.x, signal.y, signal.yaw, half, height, 0)


@lru_cache(maxsize=8)
def _tree_colors(tone: int) -> np.ndarray:
    table = _BASE_TABLE.copy()
    table[Role.LEAVES] = LEAVES[tone]
    return table


def _tree_body(trees: Trees, index: int, is_far: bool) -> _Body:
    (x, y), height, crown = trees.feet[index], float(trees.heights[index]), float(trees.crowns[index])
    colors = _tree_colors(int(trees.tones[index]))
    return _Body(_tree_shape(height, crown, is_far), colors, (), x, y, 0.0, (crown, crown), height, 0)


def _assemble(bodies: list[_Body], state: WorldState, light: Light) -> Bodies:
    """Pose, shade and haze all bodies at once."""
    if not bodies:
        empty = np.zeros
        return Bodies(
            empty((0, 8, 3)), empty((0, 3)), empty((0, 3)), empty(0, int), empty(0, int), empty((0, 3)),
            empty(0, bool), empty(0, bool), empty((0, 4, 2)), empty((0, 3)), empty(0), empty(0), empty(0, int),
        )  # fmt: skip
    counts = [len(body.shape.roles) for body in bodies]
    owners = np.repeat(np.arange(len(bodies)), counts)
    pose = np.array([(b.x, b.y, b.yaw, *b.half, b.height) for b in bodies])
    cos, sin = np.cos(pose[:, 2]), np.sin(pose[:, 2])
    placing = np.stack([cos, sin, pose[:, 0], pose[:, 1]], axis=1).astype(np.float32)[owners]
    corners = _placed(np.concatenate([b.shape.corners for b in bodies]), placing[:, None])
    centers = _placed(np.concatenate([b.shape.part_centers for b in bodies]), placing)
    turning = placing * np.array([1, 1, 0, 0], np.float32)
    normals = _placed(np.concatenate([b.shape.normals for b in bodies]), turning)
    roles = np.concatenate([b.shape.roles for b in bodies])
    colors = np.concatenate([b.colors[b.shape.roles] for b in bodies])
    colors = colors * light.shade(normals)[:, None] * np.asarray(light.weather.tint)
    is_lit = np.zeros((len(bodies), len(Role)), bool)
    for index, body in enumerate(bodies):
        is_lit[index, list(body.lit)] = True
    shines = is_lit[owners, roles]
    for role, color in _LIT.items():
        colors[shines & (roles == role)] = color
    distance = np.hypot(pose[:, 0] - state.ego.x, pose[:, 1] - state.ego.y)
    clear = light.clear(distance)[owners][:, None]
    clear = np.where(shines[:, None], np.sqrt(clear), clear)
    colors = np.clip(colors * clear + (1 - clear) * np.asarray(light.weather.haze), 0, 255)
    ahead, left = pose[:, 3:4] * np.array([1, 1, -1, -1]), pose[:, 4:5] * np.array([-1, 1, 1, -1])
    footprints = np.stack([cos[:, None] * ahead - sin[:, None] * left, sin[:, None] * ahead + cos[:, None] * left], -1)
    footprints += pose[:, None, :2]
    middle = np.concatenate([pose[:, :2], pose[:, 5:] / 2], axis=1)
    return Bodies(
        corners, normals, colors, owners, np.concatenate([b.shape.levels for b in bodies]), centers,
        np.concatenate([b.shape.is_detail for b in bodies]), shines & (roles >= Role.RED_LAMP) & (roles <= Role.GREEN_LAMP), footprints, middle,
        np.sqrt((pose[:, 3:5] ** 2).sum(axis=1) + pose[:, 5] ** 2 / 4), pose[:, 5],
        np.array([b.label for b in bodies]),
    )  # fmt: skip


def _placed(points: np.ndarray, placing: np.ndarray) -> np.ndarray:
    """Points [..., 3] turned and moved by placing [..., (cos, sin, x, y)]."""
    x, y = points[..., 0], points[..., 1]
    cos, sin, dx, dy = np.moveaxis(placing, -1, 0)
    return np.stack([cos * x - sin * y + dx, sin * x + cos * y + dy, points[..., 2]], axis=-1)
