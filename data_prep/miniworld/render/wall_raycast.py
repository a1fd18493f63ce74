"""The walls that a camera sees, found by casting one ray per image column, and their painting.

Cameras look along the horizon and walls are vertical, so in one image column a wall has one depth and fills the rows
from its top to its foot. One ray per column therefore finds every visible wall exactly, nearest first; a farther wall
is visible only where it rises above all nearer ones.
"""

from typing import NamedTuple

import cv2
import numpy as np

from data_prep.miniworld.render.facades import DENSITY, LEFT, MIP_LEVELS, TILE, WIDE, TextureAtlas, Walls
from data_prep.miniworld.render.lighting import Lighting
from data_prep.miniworld.render.projection import NEAR, View

RANGE = 130.0  # meters
GAIN = 200  # the byte that means a brightness of 1
FAR = 1000.0  # meters; depth of the far plane, as a wall parallel to the ray would be at infinity
LAYERS = 5  # walls that one column can show above each other


class VisibleWalls(NamedTuple):
    """Walls per image column, nearest first: K layers, W columns.

    depths [K, W]: meters along the optical axis, inf where there is no further wall; tops [K, W]: image row of the
    wall's top; walls [K, W]: index of the wall; alongs [K, W]: meters from the wall's start to where the ray meets
    it.
    """

    depths: np.ndarray
    tops: np.ndarray
    walls: np.ndarray
    alongs: np.ndarray

    def occlude(self, depths: np.ndarray, spans: np.ndarray) -> list[np.ndarray | None]:
        """Occlusion of N objects at `depths` [N] over the columns [start, end) of `spans` [N, 2].

        For each object, the row of each of its columns from which on nearer walls occlude everything; None where no
        wall is nearer.
        """
        nearest = np.append(self.depths[0], np.inf)
        bounds = np.stack([spans[:, 0], np.maximum(spans[:, 1], spans[:, 0] + 1)], axis=1)
        is_behind = np.minimum.reduceat(nearest, np.minimum(bounds, len(nearest) - 1).ravel())[::2] < depths
        rows: list[np.ndarray | None] = [None] * len(depths)
        for i in np.nonzero(is_behind)[0]:
            span = slice(*spans[i])
            rows[i] = np.where(self.depths[:, span] < depths[i], self.tops[:, span], np.inf).min(axis=0)
        return rows

    def open_rows(self, view: View, horizon: int) -> tuple[int, int]:
        """(a, b): the walls cover rows a to b over the whole width of the image. horizon: first row of the ground."""
        above = np.ceil(self.tops.min(axis=0).max()) + 1
        below = view.matrix[1, 2] + view.matrix[1, 1] * view.eye[2] / self.depths[0].max()
        return int(np.clip(above, 0, horizon)), int(np.clip(np.floor(below) - 1, horizon, view.height))


def cast_rays(walls: Walls, view: View) -> VisibleWalls:
    """Cast one ray through every image column."""
    eye = view.eye[:2]
    side = ((eye - walls.starts) * walls.normals).sum(axis=1)
    middle, edge = (walls.starts + walls.ends) / 2, walls.ends - walls.starts
    lengths = np.hypot(edge[:, 0], edge[:, 1])
    near = np.hypot(*(middle - eye).T) < RANGE
    centers = np.concatenate([middle, np.zeros((len(middle), 1))], axis=1)
    chosen = np.nonzero((side > 0.02) & near & view.sees(centers, lengths / 2))[0]
    slope = view.slopes().astype(np.float32)
    if not len(chosen):
        none = np.full((1, view.width), np.inf)
        return VisibleWalls(none, none, np.zeros((1, view.width), int), none)
    forward, right = view.rotation[2, :2], view.rotation[0, :2]
    rays = (forward + slope[:, None] * right).T.astype(np.float32)  # [2, W]: one meter of depth, on the ground
    approach = walls.normals[chosen].astype(np.float32) @ rays  # [m, W]; negative: the ray meets the front
    depth = side[chosen, None].astype(np.float32) / np.maximum(-approach, np.float32(1e-6))
    unit = (edge[chosen] / lengths[chosen, None]).astype(np.float32)
    offset = ((eye - walls.starts[chosen]) * unit).sum(axis=1).astype(np.float32)
    along = offset[:, None] + depth * (unit @ rays)
    hit = (depth > NEAR) & (along >= 0) & (along <= lengths[chosen, None]) & (depth < FAR)
    depth = np.where(hit, depth, np.float32(np.inf))
    order = np.argsort(depth, axis=0)[:LAYERS]
    depth, along = np.take_along_axis(depth, order, 0), np.take_along_axis(along, order, 0)
    index = chosen[order]
    tops = view.matrix[1, 2] - view.matrix[1, 1] * (walls.heights[index] - view.eye[2]) / depth
    return VisibleWalls(depth, np.where(np.isfinite(depth), tops, np.inf), index, along)


def paint_walls(
    image: np.ndarray, visible_walls: VisibleWalls, view: View, walls: Walls, atlas: TextureAtlas, lighting: Lighting
) -> None:
    """Paint all walls into `image`, uint8 [H, W, 4], in place, the farthest layer first."""
    cover = np.minimum.accumulate(visible_walls.tops, axis=0)
    feet = view.matrix[1, 2] + view.matrix[1, 1] * view.eye[2] / visible_walls.depths
    for k in reversed(range(len(visible_walls.depths))):
        lowest = feet[k] if k == 0 else np.minimum(feet[k], cover[k - 1])
        shows = np.isfinite(visible_walls.depths[k]) & (visible_walls.tops[k] < lowest)
        columns = np.nonzero(shows)[0]
        if not len(columns):
            continue
        first, last = columns[0], columns[-1] + 1
        top = max(int(np.floor(visible_walls.tops[k][columns].min())), 0)
        bottom = min(int(np.ceil(lowest[columns].max())) + 1, view.height)
        if bottom <= top:
            continue
        span = slice(first, last)
        rows = np.arange(top, bottom, dtype=np.float32)[:, None]
        front = _wall_texture(rows, visible_walls, k, span, view, walls, atlas)
        gain, haze = _wall_shading(visible_walls, k, span, view, walls, lighting)
        cv2.multiply(front, cv2.repeat(gain, len(rows), 1), dst=front, scale=1 / GAIN)
        cv2.add(front, cv2.repeat(haze, len(rows), 1), dst=front)
        rise = (rows - visible_walls.tops[k, span].astype(np.float32) >= 0) & (rows <= feet[k, span].astype(np.float32))
        mask = (rise & shows[span]).astype(np.uint8)
        cv2.copyTo(front, mask, image[top:bottom, span])


def _wall_texture(
    rows, visible_walls: VisibleWalls, k: int, span: slice, view: View, walls: Walls, atlas: TextureAtlas
) -> np.ndarray:
    """The texture of layer k at the given rows [r, 1] and columns, uint8 [r, c, 4]."""
    index = visible_walls.walls[k, span]
    depth = np.minimum(visible_walls.depths[k, span], 1e4)
    along = np.where(np.isfinite(visible_walls.alongs[k, span]), visible_walls.alongs[k, span], 0.0)
    step = np.abs(np.gradient(along)) if len(along) > 1 else np.ones(1)
    meters = np.sqrt(
        np.clip(step, 1e-4, 1.0) * depth / view.matrix[1, 1]
    )  # of wall per pixel: geometric mean of both directions
    level = np.clip(np.round(np.log2(DENSITY * meters)), 0, MIP_LEVELS - 1).astype(int)
    finer = 1 << level
    across = np.mod(along + 5.0 * (walls.houses[index] % 7), TILE) / TILE * (WIDE / finer)
    left = np.asarray(LEFT)[level]
    column = (left + across - 0.5).astype(np.float32)
    height = walls.heights[index]
    tall = atlas.heights[index] / finer
    per_row = depth / view.matrix[1, 1] / height * tall
    zero = (height - view.eye[2]) / height * tall - view.matrix[1, 2] * per_row
    row = (zero + atlas.rows[index] - 0.5).astype(np.float32) + rows * per_row.astype(np.float32)
    return cv2.remap(atlas.picture, np.broadcast_to(column, row.shape).copy(), row, cv2.INTER_LINEAR)


def _wall_shading(
    visible_walls: VisibleWalls, k: int, span: slice, view: View, walls: Walls, lighting: Lighting
) -> tuple[np.ndarray, np.ndarray]:
    """Per column, both uint8 [1, c, 4]: brightness of the wall after haze, in units of 1 / GAIN, and added haze."""
    index = visible_walls.walls[k, span]
    normals = np.concatenate([walls.normals[index], np.zeros((len(index), 1))], axis=1)
    distance = np.minimum(visible_walls.depths[k, span], 1e4) * np.sqrt(1.0 + view.slopes()[span] ** 2)
    clear = lighting.transmittance(distance)[:, None]
    gain = lighting.shade(normals)[:, None] * np.asarray(lighting.weather.tint) * clear * GAIN
    factors = np.zeros((2, len(index), 4))
    factors[0, :, :3], factors[1, :, :3] = gain, (1 - clear) * np.asarray(lighting.weather.haze)
    gain, haze = np.clip(np.round(factors), 0, 255).astype(np.uint8)[:, None]
    return gain, haze
