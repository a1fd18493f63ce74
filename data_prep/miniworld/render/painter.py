"""The camera images of one instant of the mini world, and the instance masks of the agents in them.

The painter's algorithm: sky, ground (the top-down map of the town through one homography), shadows, haze and walls
first (`backdrop`, `wall_raycast`), then trees, signals and agents in the order of `projection.back_to_front`, each
without the part that a nearer wall occludes. `masks` uses the same order and outlines, so it says exactly which agent
owns a pixel. Images narrower than SUPERSAMPLED_BELOW are painted at twice the resolution and averaged.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from data_prep.miniworld.render import rig
from data_prep.miniworld.render.backdrop import Backdrop
from data_prep.miniworld.render.facades import TextureAtlas, Walls, build_atlas, walls_of
from data_prep.miniworld.render.ground import SHIFT, GroundMap
from data_prep.miniworld.render.ground_shading import ShadedGround
from data_prep.miniworld.render.lighting import sample_lighting
from data_prep.miniworld.render.meshes import Meshes, collect_meshes
from data_prep.miniworld.render.projection import NEAR, View, back_to_front, clip_near
from data_prep.miniworld.render.shapes import MAX_CORNERS
from data_prep.miniworld.render.wall_raycast import VisibleWalls, cast_rays, paint_walls
from data_prep.miniworld.world.state import Ego, Town, WorldState
from data_prep.miniworld.world.trees import Trees, trees_of
from dima_jax.constants import CAMERAS

SUPERSAMPLED_BELOW = 256  # pixels of image width
MESH_RANGE = 90.0  # meters from the ego
LAMP_PIXELS = 1.6  # least radius of a lit signal lamp in an image 400 pixels wide


class _StaticScene(NamedTuple):
    """What every scene of a town shares."""

    ground: GroundMap
    walls: Walls
    atlas: TextureAtlas
    trees: Trees


class _Item(NamedTuple):
    """One mesh in an image.

    outlines: its visible faces in painting order, int32 [8, 2] each, fixed point; colors: BGR of each; silhouette:
    the outlines that are not details; window: [x0, y0, x1, y1] that holds all outlines; occluded_from: for each
    window column the row from which on a nearer wall occludes the mesh, or None.
    """

    label: int
    outlines: list[np.ndarray]
    colors: list[list[float]]
    silhouette: list[np.ndarray]
    window: list[int]
    occluded_from: np.ndarray | None


class _CameraView(NamedTuple):
    """What one camera sees at one instant; items are in painting order."""

    view: View
    visible_walls: VisibleWalls
    items: list[_Item]
    meshes: Meshes


class Painter:
    """Paints world states from any ego pose, in one lighting and weather.

    size: (width, height) in pixels of the images that are full-size in `rig`, the others in proportion. cameras: names of
    `rig.SENSORS`. seed: decides lighting, weather and ground colors, and nothing else. Every method takes a `state` and,
    optionally, an `ego` whose pose replaces the state's own: the agents stay where the state has them, the cameras move.
    """

    def __init__(self, town: Town, size: tuple[int, int] = (400, 224), seed: int = 0, cameras: Sequence[str] = CAMERAS):
        self._static = _static(town)
        self._lighting = lighting = sample_lighting(seed)
        self._sizes = {channel: rig.image_size(channel, size) for channel in cameras}
        self._zooms = {channel: 2 if own[0] < SUPERSAMPLED_BELOW else 1 for channel, own in self._sizes.items()}
        ground = ShadedGround(self._static.ground, town, self._static.trees, lighting)
        self._backdrops = {
            channel: Backdrop(rig.SENSORS[channel], self._matrix(channel), self._canvas(channel), lighting, ground)
            for channel in cameras
        }
        self._last: tuple[WorldState, Ego, dict[str, _CameraView]] | None = None

    def _canvas(self, channel: str) -> tuple[int, int]:
        """(width, height) that a camera is painted with."""
        width, height = self._sizes[channel]
        return width * self._zooms[channel], height * self._zooms[channel]

    def _matrix(self, channel: str) -> np.ndarray:
        """The intrinsic of the canvas; with zoom 2, pixel u of the image covers canvas pixels 2u and 2u + 1."""
        z = self._zooms[channel]
        finer = np.array([[z, 0.0, (z - 1) / 2], [0.0, z, (z - 1) / 2], [0.0, 0.0, 1.0]])
        return finer @ rig.intrinsic(channel, *self._sizes[channel])

    def paint(self, state: WorldState, ego: Ego | None = None) -> dict[str, np.ndarray]:
        """The images, {camera: uint8 BGR [height, width, 3]}."""
        views = self._camera_views(state, ego or state.ego)
        return {channel: self._image(channel, views[channel], ego or state.ego) for channel in self._sizes}

    def masks(self, state: WorldState, ego: Ego | None = None) -> dict[str, np.ndarray]:
        """Which agent owns each pixel: {camera: int32 [height, width]}, index in state.agents + 1, or 0 for none."""
        views = self._camera_views(state, ego or state.ego)
        masks = {channel: (self._mask(channel, view), self._zooms[channel]) for channel, view in views.items()}
        return {channel: np.ascontiguousarray(mask[::z, ::z]) for channel, (mask, z) in masks.items()}

    def visibility(self, state: WorldState, ego: Ego | None = None) -> np.ndarray:
        """The share [agents] of each agent's pixels, over all images, that nothing in front of it occludes.

        0 for an agent that is in no image, as in nuScenes' visibility levels.
        """
        views = self._camera_views(state, ego or state.ego)
        free = np.zeros(len(state.agents) + 1, np.int64)
        own = np.zeros(len(state.agents) + 1, np.int64)
        for channel in self._sizes:
            scratch = np.zeros(self._canvas(channel)[::-1], np.uint8)
            found = np.bincount(self._mask(channel, views[channel]).ravel(), minlength=len(free))
            free += found
            items = views[channel].items
            for item, may_be_occluded in zip(items, _may_be_occluded(items), strict=True):
                if item.label:
                    own[item.label] += _area(item, scratch) if may_be_occluded else found[item.label]
        return free[1:] / np.maximum(own[1:], 1)

    def _camera_views(self, state: WorldState, ego: Ego) -> dict[str, _CameraView]:
        """What each camera sees of this state from this pose; the last answer is kept."""
        if self._last is None or self._last[0] is not state or self._last[1] != ego:
            meshes = collect_meshes(state, ego, self._static.trees, self._lighting, MESH_RANGE)
            self._last = (state, ego, {channel: self._camera_view(channel, ego, meshes) for channel in self._sizes})
        return self._last[2]

    def _camera_view(self, channel: str, ego: Ego, meshes: Meshes) -> _CameraView:
        pose = rig.sensor_to_world(channel, ego)
        view = View(self._matrix(channel), pose[:3, :3].T, pose[:3, 3], *self._canvas(channel))
        visible_walls = cast_rays(self._static.walls, view)
        order = _visible_meshes(meshes, view, visible_walls)
        if not len(order):
            return _CameraView(view, visible_walls, [], meshes)
        order = order[back_to_front(meshes.footprints[order], view)]
        outlines, colors, owners, is_detail = _faces(meshes, order, view)
        shown, starts = np.unique(owners, return_index=True)
        if not len(shown):
            return _CameraView(view, visible_walls, [], meshes)
        windows = _windows(outlines, starts, view)
        depths = view.to_camera(meshes.centers[order[shown]])[:, 2]
        occluded_from = visible_walls.occlude(depths, windows[:, [0, 2]])
        labels = meshes.labels[order].tolist()
        outlines = list(outlines)
        items = []
        ends = [*starts[1:].tolist(), len(outlines)]
        for mesh, start, end, window, rows in zip(
            shown.tolist(), starts.tolist(), ends, windows.tolist(), occluded_from, strict=True
        ):
            is_inside = window[0] < window[2] and window[1] < window[3]
            if is_inside and (rows is None or (rows > window[1]).any()):
                faces = outlines[start:end]
                silhouette = [outline for outline, skip in zip(faces, is_detail[start:end], strict=True) if not skip]
                items.append(_Item(labels[mesh], faces, colors[start:end], silhouette, window, rows))
        return _CameraView(view, visible_walls, items, meshes)

    def _image(self, channel: str, camera: _CameraView, ego: Ego) -> np.ndarray:
        """uint8 BGR [height, width, 3]."""
        image = self._backdrops[channel].paint(camera.view, ego, camera.meshes, camera.visible_walls)
        paint_walls(image, camera.visible_walls, camera.view, self._static.walls, self._static.atlas, self._lighting)
        for item in camera.items:
            before = _save_window(image, item)
            for outline, color in zip(item.outlines, item.colors, strict=True):
                cv2.fillConvexPoly(image, outline, color, cv2.LINE_AA, SHIFT)
            _restore_occluded(image, item, before)
        if self._zooms[channel] > 1:
            image = cv2.resize(image, self._sizes[channel], interpolation=cv2.INTER_AREA)
        return cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)

    def _mask(self, channel: str, camera: _CameraView) -> np.ndarray:
        """int32 [height, width] of the canvas: the label of the agent that owns each pixel."""
        mask = np.zeros(self._canvas(channel)[::-1], np.int32)
        for item in camera.items:
            before = _save_window(mask, item)
            for outline in item.silhouette:
                cv2.fillConvexPoly(mask, outline, item.label, cv2.LINE_8, SHIFT)
            _restore_occluded(mask, item, before)
        return mask


@lru_cache(maxsize=2)
def _static(town: Town) -> _StaticScene:
    walls = walls_of(town)
    return _StaticScene(GroundMap(town), walls, build_atlas(walls), trees_of(town))


def _save_window(image: np.ndarray, item: _Item) -> np.ndarray | None:
    """A copy of the pixels in the window of an item that a wall occludes in part; None if no wall does."""
    x0, y0, x1, y1 = item.window
    return None if item.occluded_from is None else image[y0:y1, x0:x1].copy()


def _restore_occluded(image: np.ndarray, item: _Item, before: np.ndarray | None) -> None:
    """Undo the painting of an item where a nearer wall occludes it."""
    if before is not None:
        x0, y0, x1, y1 = item.window
        occluded = np.arange(y0, y1)[:, None] >= item.occluded_from
        image[y0:y1, x0:x1][occluded] = before[occluded]


def _visible_meshes(meshes: Meshes, view: View, visible_walls: VisibleWalls) -> np.ndarray:
    """Indices of the meshes in the frustum that are not wholly behind a wall."""
    inside = np.nonzero(view.sees(meshes.centers, meshes.radii))[0]
    if not len(inside):
        return inside
    depth = view.to_camera(meshes.centers[inside])[:, 2]
    low, high = view.columns(meshes.footprints[inside])
    edges = np.stack([low, high], axis=1) * view.matrix[0, 0] + view.matrix[0, 2] + (-2, 3)
    spans = np.clip(edges, 0, view.width).astype(int)
    far = np.maximum(depth + np.sign(view.eye[2] - meshes.heights[inside]) * meshes.radii[inside], NEAR)
    top = view.matrix[1, 2] - view.matrix[1, 1] * (meshes.heights[inside] - view.eye[2]) / far - 1
    is_visible = np.ones(len(inside), bool)
    for i, rows in enumerate(visible_walls.occlude(depth, spans)):
        is_visible[i] = rows is None or bool((rows > top[i]).any())
    return inside[is_visible]


def _faces(meshes: Meshes, order: np.ndarray, view: View) -> tuple[np.ndarray, list, np.ndarray, list]:
    """Visible faces in painting order: outlines (fixed point [F, 8, 2]), colors, places in `order` [F], is_detail.

    order: indices of the meshes, back to front. Back faces, faces smaller than a pixel and details smaller than two
    pixels are left out.
    """
    place = np.full(len(meshes.labels), -1)
    place[order] = np.arange(len(order))
    chosen = np.nonzero(place[meshes.owners] >= 0)[0]
    eye = view.eye.astype(np.float32)
    is_front = np.einsum("ix,ix->i", eye - meshes.corners[chosen, 0], meshes.normals[chosen]) > 0
    chosen = chosen[is_front]
    corners = view.to_camera(meshes.corners[chosen])
    pixels = view.to_pixels(np.maximum(corners, np.float32([-np.inf, -np.inf, NEAR])))
    extent = (pixels.max(axis=1) - pixels.min(axis=1)).max(axis=1)
    depth = corners[..., 2]
    kept = (depth.max(axis=1) > NEAR) & (
        (extent > np.where(meshes.is_detail[chosen], 1.6, 0.8)) | meshes.is_signal_lamp[chosen]
    )
    distance = np.linalg.norm(meshes.part_centers[chosen] - view.eye, axis=1)
    sequence = np.lexsort((chosen, -distance, meshes.levels[chosen], place[meshes.owners[chosen]]))
    sequence = sequence[kept[sequence]]
    chosen, pixels = chosen[sequence], pixels[sequence]
    _enlarge(pixels, meshes.is_signal_lamp[chosen], LAMP_PIXELS * view.width / 400.0)
    outlines = _fixed_point(pixels)
    for index in np.nonzero(depth[sequence].min(axis=1) < NEAR)[0]:
        clipped = _fixed_point(view.to_pixels(clip_near(corners[sequence[index]])))
        outlines[index] = clipped[np.minimum(np.arange(MAX_CORNERS), len(clipped) - 1)]
    return outlines, meshes.colors[chosen].tolist(), place[meshes.owners[chosen]], meshes.is_detail[chosen].tolist()


def _windows(outlines: np.ndarray, starts: np.ndarray, view: View) -> np.ndarray:
    """The part of the image, [n, (x0, y0, x1, y1)], that holds each mesh's outlines with their anti-aliased edges."""
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


def _fixed_point(pixels: np.ndarray) -> np.ndarray:
    """Pixels to OpenCV's fixed-point coordinates, kept within what it can draw."""
    return np.round(np.clip(pixels, -20000.0, 20000.0) * (1 << SHIFT)).astype(np.int32)


def _may_be_occluded(items: list[_Item]) -> list[bool]:
    """Which items a wall or something painted later may occlude."""
    if not items:
        return []
    x0, y0, x1, y1 = np.array([item.window for item in items]).T
    overlap = (x0[:, None] < x1) & (x0 < x1[:, None]) & (y0[:, None] < y1) & (y0 < y1[:, None])
    is_covered = np.triu(overlap, 1).any(axis=1)
    return [bool(c) or item.occluded_from is not None for c, item in zip(is_covered, items, strict=True)]


def _area(item: _Item, scratch: np.ndarray) -> int:
    """How many pixels an item alone would cover; `scratch` is an all-zero uint8 image, and is all-zero again after."""
    x0, y0, x1, y1 = item.window
    window = scratch[y0:y1, x0:x1]
    for outline in item.silhouette:
        cv2.fillConvexPoly(scratch, outline, 1, cv2.LINE_8, SHIFT)
    count = cv2.countNonZero(window)
    window[...] = 0
    return count
