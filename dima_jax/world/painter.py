"""Six camera pictures of one instant of the mini world, and the masks of who is to be seen in them.

A picture is built from back to front: sky, ground (the town from above through one homography), shadows, haze, then
walls, trees, signals and agents in the order `sight.back_to_front` gives. `masks` follows the same order with the same
outlines, so they say exactly which agent owns a pixel. Pictures below SMALL pixels wide are painted twice as fine.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from dima_jax.types import CAMERAS
from dima_jax.world import rig
from dima_jax.world.backdrop import Backdrop, sunlit_ground
from dima_jax.world.bodies import Bodies, gather
from dima_jax.world.facades import Walls, paint_wall, wall_outline, walls_of
from dima_jax.world.ground import GroundMap
from dima_jax.world.light import light_of
from dima_jax.world.scenery import Tree, plant_trees
from dima_jax.world.sight import NEAR, View, back_to_front, clip_near
from dima_jax.world.state import Ego, Town, WorldState

SMALL = 256  # pixels
BODY_REACH = 90.0  # metres from the ego
WALL_REACH = 130.0
SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates
LAMP_PIXELS = 1.6  # a lit signal lamp is at least this large (radius) in the picture


class _Standing(NamedTuple):
    """What a town looks like whatever happens in it."""

    ground: GroundMap
    walls: Walls
    trees: tuple[Tree, ...]


class _Item(NamedTuple):
    """One thing to paint: a wall (its index) or a body (its outlines with their colours)."""

    wall: int  # -1 for a body
    outlines: list[np.ndarray]  # int32 [n, 2] fixed point
    colors: list[list[float]]
    label: int


class Painter:
    """Paints the world states of one scene.

    size: (width, height) of the pictures. seed: decides light, weather and ground colours, and nothing else.
    """

    def __init__(self, town: Town, size: tuple[int, int] = (400, 224), seed: int = 0):
        self._standing = _standing(_Identity(town))
        self._light = light_of(seed)
        self._size = size
        self._zoom = 2 if size[0] < SMALL else 1
        ground = sunlit_ground(self._standing.ground, town, self._standing.trees, self._light)
        self._backdrops = {
            channel: Backdrop(rig.RIG[channel], self._matrix(channel), self._canvas, self._light, ground)
            for channel in CAMERAS
        }
        self._seen: tuple[WorldState, dict[str, tuple[View, list[_Item], Bodies]]] | None = None

    @property
    def _canvas(self) -> tuple[int, int]:
        return (self._size[0] * self._zoom, self._size[1] * self._zoom)

    def _matrix(self, channel: str) -> np.ndarray:
        """The intrinsic of the canvas; with zoom 2, pixel u of the picture covers canvas pixels 2u and 2u + 1."""
        z = self._zoom
        finer = np.array([[z, 0.0, (z - 1) / 2], [0.0, z, (z - 1) / 2], [0.0, 0.0, 1.0]])
        return finer @ rig.intrinsic(channel, *self._size)

    def paint(self, state: WorldState) -> dict[str, np.ndarray]:
        """The six pictures, uint8 BGR [height, width, 3] by channel, seen from the state's ego pose."""
        return {channel: self._picture(channel, state) for channel in CAMERAS}

    def masks(self, state: WorldState) -> dict[str, np.ndarray]:
        """Who owns each pixel: int32 [height, width] by channel, index in state.agents + 1, or 0 for nobody."""
        return {channel: self._mask(channel, state) for channel in CAMERAS}

    def visibility(self, state: WorldState) -> np.ndarray:
        """The share [agents] of each agent's own pixels, over all six pictures, that nothing in front of it hides.

        0 for an agent that is in no picture, as in nuScenes' visibility levels.
        """
        free = np.zeros(len(state.agents) + 1, np.int64)
        own = np.zeros(len(state.agents) + 1, np.int64)
        scratch = np.zeros(self._canvas[::-1], np.uint8)
        for channel in CAMERAS:
            mask = self._full_mask(channel, state)
            free += np.bincount(mask.ravel(), minlength=len(free))
            for item in self._look(state)[channel][1]:
                if item.label:
                    own[item.label] += _area(item.outlines, scratch)
        return free[1:] / np.maximum(own[1:], 1)

    def _look(self, state: WorldState) -> dict[str, tuple[View, list[_Item], Bodies]]:
        """What each camera sees of this state, kept for the last state asked for."""
        if self._seen is None or self._seen[0] is not state:
            bodies = gather(state, self._standing.trees, self._light, BODY_REACH)
            self._seen = (state, {channel: self._sight(channel, state.ego, bodies) for channel in CAMERAS})
        return self._seen[1]

    def _sight(self, channel: str, ego: Ego, bodies: Bodies) -> tuple[View, list[_Item], Bodies]:
        pose = rig.sensor_to_world(channel, ego)
        view = View(self._matrix(channel), pose[:3, :3].T, pose[:3, 3], *self._canvas)
        walls = self._standing.walls
        seen_walls = np.nonzero(_visible_walls(walls, view))[0]
        seen_bodies = np.nonzero(view.sees(bodies.centers, bodies.radii))[0]
        starts, ends = walls.starts[seen_walls], walls.ends[seen_walls]
        footprints = np.concatenate([bodies.footprints[seen_bodies], np.stack([starts, starts, ends, ends], axis=1)])
        if not len(footprints):
            return view, [], bodies
        order = back_to_front(footprints, view)
        rank = np.full(len(bodies.labels), -1)
        rank[seen_bodies] = np.argsort(order)[: len(seen_bodies)]
        outlines, colors, ranks = _faces(bodies, rank, view)
        bounds = np.searchsorted(ranks, np.arange(len(order) + 1))
        items = []
        for place, thing in enumerate(order):
            if thing >= len(seen_bodies):
                items.append(_Item(int(seen_walls[thing - len(seen_bodies)]), [], [], 0))
            elif bounds[place] < bounds[place + 1]:
                part = slice(bounds[place], bounds[place + 1])
                items.append(_Item(-1, outlines[part], colors[part], int(bodies.labels[seen_bodies[thing]])))
        return view, items, bodies

    def _picture(self, channel: str, state: WorldState) -> np.ndarray:
        view, items, bodies = self._look(state)[channel]
        image = self._backdrops[channel].paint(view, state.ego, bodies)
        for item in items:
            if item.wall >= 0:
                paint_wall(image, view, self._standing.walls, item.wall, self._light)
            for outline, color in zip(item.outlines, item.colors, strict=True):
                cv2.fillConvexPoly(image, outline, color, cv2.LINE_AA, SHIFT)
        if self._zoom > 1:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        return image

    def _full_mask(self, channel: str, state: WorldState) -> np.ndarray:
        view, items, _ = self._look(state)[channel]
        mask = np.zeros(self._canvas[::-1], np.int32)
        for item in items:
            outlines = item.outlines
            if item.wall >= 0:
                outline = wall_outline(view, self._standing.walls, item.wall)
                outlines = [_fixed(outline)] if len(outline) else []
            for outline in outlines:
                cv2.fillConvexPoly(mask, outline, item.label, cv2.LINE_8, SHIFT)
        return mask

    def _mask(self, channel: str, state: WorldState) -> np.ndarray:
        return np.ascontiguousarray(self._full_mask(channel, state)[:: self._zoom, :: self._zoom])


class _Identity:
    """A town as a cache key: equal only to itself (towns hold arrays and cannot be compared)."""

    def __init__(self, town: Town):
        self.town = town

    def __hash__(self) -> int:
        return id(self.town)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.town is self.town


@lru_cache(maxsize=2)
def _standing(key: _Identity) -> _Standing:
    return _Standing(GroundMap(key.town), walls_of(key.town), plant_trees(key.town))


def _visible_walls(walls: Walls, view: View) -> np.ndarray:
    """Walls [M] that face the camera, are within reach and in the picture."""
    eye = view.eye[:2]
    facing = ((eye - walls.starts) * walls.normals).sum(axis=1) > 0.05
    middle = (walls.starts + walls.ends) / 2
    close = np.hypot(*(middle - eye).T) < WALL_REACH
    centers = np.concatenate([middle, (walls.heights / 2)[:, None]], axis=1)
    radii = np.hypot(np.hypot(*(walls.ends - walls.starts).T), walls.heights) / 2
    return facing & close & view.sees(centers, radii)


def _faces(bodies: Bodies, rank: np.ndarray, view: View) -> tuple[list[np.ndarray], list[list[float]], np.ndarray]:
    """Outlines (fixed point), colours and ranks of the faces turned to the camera, in painting order."""
    turned = ((view.eye - bodies.corners[:, 0]) * bodies.normals).sum(axis=1) > 0
    chosen = np.nonzero(turned & (rank[bodies.owners] >= 0))[0]
    corners = view.to_camera(bodies.corners[chosen])
    ahead = corners[..., 2].max(axis=1) > NEAR
    chosen, corners = chosen[ahead], corners[ahead]
    ranks = rank[bodies.owners[chosen]]
    away = np.linalg.norm(bodies.part_centers[chosen] - view.eye, axis=1)
    order = np.lexsort((chosen, -away, bodies.levels[chosen], ranks))
    chosen, corners, ranks = chosen[order], corners[order], ranks[order]
    crossing = np.nonzero(corners[..., 2].min(axis=1) < NEAR)[0]
    pixels = view.to_pixels(np.maximum(corners, [-np.inf, -np.inf, NEAR]))
    _enlarge(pixels, bodies.is_signal_lamp[chosen], LAMP_PIXELS * view.width / 400.0)
    outlines = list(_fixed(pixels))
    for index in crossing:
        outlines[index] = _fixed(view.to_pixels(clip_near(corners[index])))
    return outlines, bodies.colors[chosen].tolist(), ranks


def _enlarge(pixels: np.ndarray, which: np.ndarray, radius: float) -> None:
    """Grow the chosen outlines [F, n, 2] around their middle to at least `radius` pixels, in place."""
    small = pixels[which]
    if len(small):
        middle = small.mean(axis=1, keepdims=True)
        reach = np.abs(small - middle).max(axis=(1, 2), keepdims=True)
        pixels[which] = middle + (small - middle) * np.maximum(radius / np.maximum(reach, 1e-3), 1.0)


def _fixed(pixels: np.ndarray) -> np.ndarray:
    """Pixels to OpenCV's fixed-point coordinates, kept within what it can draw."""
    return np.round(np.clip(pixels, -20000.0, 20000.0) * (1 << SHIFT)).astype(np.int32)


def _area(outlines: list[np.ndarray], scratch: np.ndarray) -> int:
    """How many pixels the outlines cover together; `scratch` is an all-zero uint8 picture and stays one."""
    points = np.concatenate(outlines) >> SHIFT
    x0, y0 = np.maximum(points.min(axis=0) - 1, 0)
    x1, y1 = np.maximum(points.max(axis=0) + 3, 0)
    window = scratch[y0:y1, x0:x1]
    for outline in outlines:
        cv2.fillConvexPoly(scratch, outline, 1, cv2.LINE_8, SHIFT)
    count = cv2.countNonZero(window) if window.size else 0
    window[...] = 0
    return count
