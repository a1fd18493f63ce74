"""Six camera pictures of one instant of the mini world, and the masks of who is to be seen in them.

A picture is built from back to front: sky, ground (the town from above through one homography), shadows, haze, walls
(`skyline`), then trees, signals and agents in the order `sight.back_to_front` gives, each without what a nearer wall
hides. `masks` follows the same order with the same outlines, so they say exactly which agent owns a pixel. Pictures
below SMALL pixels wide are painted twice as fine.
"""

from typing import NamedTuple

import cv2
import numpy as np

from data_prep.miniworld.render import rig
from data_prep.miniworld.render.backdrop import Backdrop
from data_prep.miniworld.render.bodies import Bodies, gather
from data_prep.miniworld.render.facades import Sheet, Walls, sheet_of, walls_of
from data_prep.miniworld.render.ground import SHIFT, GroundMap
from data_prep.miniworld.render.light import light_of
from data_prep.miniworld.render.rig import CAMERAS
from data_prep.miniworld.render.sight import NEAR, View, back_to_front, clip_near
from data_prep.miniworld.render.skyline import Skyline, cast, paint_walls
from data_prep.miniworld.render.solids import MAX_CORNERS
from data_prep.miniworld.render.sunlit import SunlitGround
from data_prep.miniworld.world.memo import once_per_town
from data_prep.miniworld.world.scenery import Trees, trees_of
from data_prep.miniworld.world.state import Ego, Town, WorldState

SMALL = 256  # pixels
BODY_REACH = 90.0  # meters from the ego
LAMP_PIXELS = 1.6  # a lit signal lamp is at least this large (radius) in the picture


class _Standing(NamedTuple):
    """What a town looks like whatever happens in it."""

    ground: GroundMap
    walls: Walls
    sheet: Sheet
    trees: Trees


class _Item(NamedTuple):
    """One body in a picture. outlines: int32 [8, 2] each, fixed point; colors: BGR each; silhouette: the outlines that are
    not details; window: [x0, y0, x1, y1] that
    they stay in; hidden_from: per window column the row from which a nearer wall hides it, or None."""

    label: int
    outlines: list[np.ndarray]
    colors: list[list[float]]
    silhouette: list[np.ndarray]
    window: list[int]
    hidden_from: np.ndarray | None


class _Sight(NamedTuple):
    """What one camera sees at one instant."""

    view: View
    skyline: Skyline
    items: list[_Item]
    bodies: Bodies


class Painter:
    """Paints the world states of one scene.

    size: (width, height) of the pictures. seed: decides light, weather and ground colors, and nothing else.
    """

    def __init__(self, town: Town, size: tuple[int, int] = (400, 224), seed: int = 0):
        self._standing = _standing(town)
        self._light = light_of(seed)
        self._size = size
        self._zoom = 2 if size[0] < SMALL else 1
        ground = SunlitGround(self._standing.ground, town, self._standing.trees, self._light)
        self._backdrops = {
            channel: Backdrop(rig.RIG[channel], self._matrix(channel), self._canvas, self._light, ground)
            for channel in CAMERAS
        }
        self._seen: tuple[WorldState, dict[str, _Sight]] | None = None

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
            found = np.bincount(self._full_mask(channel, state).ravel(), minlength=len(free))
            free += found
            items = self._look(state)[channel].items
            for item, is_touched in zip(items, _touched(items), strict=True):
                if item.label:
                    own[item.label] += _area(item, scratch) if is_touched else found[item.label]
        return free[1:] / np.maximum(own[1:], 1)

    def _look(self, state: WorldState) -> dict[str, _Sight]:
        """What each camera sees of this state, kept for the last state asked for."""
        if self._seen is None or self._seen[0] is not state:
            bodies = gather(state, self._standing.trees, self._light, BODY_REACH)
            self._seen = (state, {channel: self._sight(channel, state.ego, bodies) for channel in CAMERAS})
        return self._seen[1]

    def _sight(self, channel: str, ego: Ego, bodies: Bodies) -> _Sight:
        pose = rig.sensor_to_world(channel, ego)
        view = View(self._matrix(channel), pose[:3, :3].T, pose[:3, 3], *self._canvas)
        skyline = cast(self._standing.walls, view)
        seen = _in_sight(bodies, view, skyline)
        if not len(seen):
            return _Sight(view, skyline, [], bodies)
        seen = seen[back_to_front(bodies.footprints[seen], view)]
        outlines, colors, owners, is_detail = _faces(bodies, seen, view)
        shown, starts = np.unique(owners, return_index=True)
        if not len(shown):
            return _Sight(view, skyline, [], bodies)
        windows = _windows(outlines, starts, view)
        hidden_from = skyline.hides(view.to_camera(bodies.centers[seen[shown]])[:, 2], windows[:, [0, 2]])
        labels = bodies.labels[seen].tolist()
        outlines = list(outlines)
        items = []
        ends = [*starts[1:].tolist(), len(outlines)]
        for body, start, end, window, rows in zip(
            shown.tolist(), starts.tolist(), ends, windows.tolist(), hidden_from, strict=True
        ):
            is_inside = window[0] < window[2] and window[1] < window[3]
            if is_inside and (rows is None or (rows > window[1]).any()):
                faces = outlines[start:end]
                silhouette = [outline for outline, skip in zip(faces, is_detail[start:end], strict=True) if not skip]
                items.append(_Item(labels[body], faces, colors[start:end], silhouette, window, rows))
        return _Sight(view, skyline, items, bodies)

    def _picture(self, channel: str, state: WorldState) -> np.ndarray:
        sight = self._look(state)[channel]
        image = self._backdrops[channel].paint(sight.view, state.ego, sight.bodies, sight.skyline)
        paint_walls(image, sight.skyline, sight.view, self._standing.walls, self._standing.sheet, self._light)
        for item in sight.items:
            before = _kept(image, item)
            for outline, color in zip(item.outlines, item.colors, strict=True):
                cv2.fillConvexPoly(image, outline, color, cv2.LINE_AA, SHIFT)
            _put_back(image, item, before)
        if self._zoom > 1:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        return cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)

    def _full_mask(self, channel: str, state: WorldState) -> np.ndarray:
        mask = np.zeros(self._canvas[::-1], np.int32)
        for item in self._look(state)[channel].items:
            before = _kept(mask, item)
            for outline in item.silhouette:
                cv2.fillConvexPoly(mask, outline, item.label, cv2.LINE_8, SHIFT)
            _put_back(mask, item, before)
        return mask

    def _mask(self, channel: str, state: WorldState) -> np.ndarray:
        return np.ascontiguousarray(self._full_mask(channel, state)[:: self._zoom, :: self._zoom])


@once_per_town
def _standing(town: Town) -> _Standing:
    walls = walls_of(town)
    return _Standing(GroundMap(town), walls, sheet_of(walls), trees_of(town))


def _kept(image: np.ndarray, item: _Item) -> np.ndarray | None:
    """A copy of what lies in the window of an item that a wall hides in part."""
    x0, y0, x1, y1 = item.window
    return None if item.hidden_from is None else image[y0:y1, x0:x1].copy()


def _put_back(image: np.ndarray, item: _Item, before: np.ndarray | None) -> None:
    """Undo the painting of an item where a nearer wall hides it."""
    if before is not None:
        x0, y0, x1, y1 = item.window
        hidden = np.arange(y0, y1)[:, None] >= item.hidden_from
        image[y0:y1, x0:x1][hidden] = before[hidden]


def _in_sight(bodies: Bodies, view: View, skyline: Skyline) -> np.ndarray:
    """The bodies in the picture that are not wholly behind a wall."""
    seen = np.nonzero(view.sees(bodies.centers, bodies.radii))[0]
    if not len(seen):
        return seen
    depth = view.to_camera(bodies.centers[seen])[:, 2]
    low, high = view.columns(bodies.footprints[seen])
    edges = np.stack([low, high], axis=1) * view.matrix[0, 0] + view.matrix[0, 2] + (-2, 3)
    spans = np.clip(edges, 0, view.width).astype(int)
    far = np.maximum(depth + np.sign(view.eye[2] - bodies.heights[seen]) * bodies.radii[seen], NEAR)
    top = view.matrix[1, 2] - view.matrix[1, 1] * (bodies.heights[seen] - view.eye[2]) / far - 1
    in_sight = np.ones(len(seen), bool)
    for i, rows in enumerate(skyline.hides(depth, spans)):
        in_sight[i] = rows is None or bool((rows > top[i]).any())
    return seen[in_sight]


def _faces(bodies: Bodies, seen: np.ndarray, view: View) -> tuple[np.ndarray, list, np.ndarray, list]:
    """The faces to be seen in painting order: outlines (fixed point [F, 8, 2]), colors, places in `seen`, is_detail.

    Faces turned away or smaller than a pixel, and details smaller than two, are left out.
    """
    place = np.full(len(bodies.labels), -1)
    place[seen] = np.arange(len(seen))
    chosen = np.nonzero(place[bodies.owners] >= 0)[0]
    eye = view.eye.astype(np.float32)
    turned = np.einsum("ix,ix->i", eye - bodies.corners[chosen, 0], bodies.normals[chosen]) > 0
    chosen = chosen[turned]
    corners = view.to_camera(bodies.corners[chosen])
    pixels = view.to_pixels(np.maximum(corners, np.float32([-np.inf, -np.inf, NEAR])))
    extent = (pixels.max(axis=1) - pixels.min(axis=1)).max(axis=1)
    depth = corners[..., 2]
    kept = (depth.max(axis=1) > NEAR) & (
        (extent > np.where(bodies.is_detail[chosen], 1.6, 0.8)) | bodies.is_signal_lamp[chosen]
    )
    away = np.linalg.norm(bodies.part_centers[chosen] - view.eye, axis=1)
    order = np.lexsort((chosen, -away, bodies.levels[chosen], place[bodies.owners[chosen]]))
    order = order[kept[order]]
    chosen, pixels = chosen[order], pixels[order]
    _enlarge(pixels, bodies.is_signal_lamp[chosen], LAMP_PIXELS * view.width / 400.0)
    outlines = _fixed(pixels)
    for index in np.nonzero(depth[order].min(axis=1) < NEAR)[0]:
        clipped = _fixed(view.to_pixels(clip_near(corners[order[index]])))
        outlines[index] = clipped[np.minimum(np.arange(MAX_CORNERS), len(clipped) - 1)]
    return outlines, bodies.colors[chosen].tolist(), place[bodies.owners[chosen]], bodies.is_detail[chosen].tolist()


def _windows(outlines: np.ndarray, starts: np.ndarray, view: View) -> np.ndarray:
    """The part of the picture, [n, (x0, y0, x1, y1)], that holds each body's outlines with their soft edges."""
    low = np.minimum.reduceat(outlines.min(axis=1), starts) >> SHIFT
    high = np.maximum.reduceat(outlines.max(axis=1), starts) >> SHIFT
    size = (view.width, view.height)
    return np.concatenate([np.clip(low - 1, 0, size), np.clip(high + 3, 0, size)], axis=1)


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


def _touched(items: list[_Item]) -> list[bool]:
    """Which items something painted later, or a wall, may have painted over."""
    if not items:
        return []
    x0, y0, x1, y1 = np.array([item.window for item in items]).T
    overlap = (x0[:, None] < x1) & (x0 < x1[:, None]) & (y0[:, None] < y1) & (y0 < y1[:, None])
    is_covered = np.triu(overlap, 1).any(axis=1)
    return [bool(c) or item.hidden_from is not None for c, item in zip(is_covered, items, strict=True)]


def _area(item: _Item, scratch: np.ndarray) -> int:
    """How many pixels an item alone would cover; `scratch` is an all-zero uint8 picture and stays one."""
    x0, y0, x1, y1 = item.window
    window = scratch[y0:y1, x0:x1]
    for outline in item.silhouette:
        cv2.fillConvexPoly(scratch, outline, 1, cv2.LINE_8, SHIFT)
    count = cv2.countNonZero(window)
    window[...] = 0
    return count
