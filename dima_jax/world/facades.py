"""House fronts: textures by style and number of floors, and how a wall is put into a picture.

A texture repeats along the wall every TILE metres and is as high as its house. A wall is a vertical plane, so one
homography maps it into the image; since cameras look along the horizon, its depth depends on the image column alone.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from dima_jax.world.light import Light
from dima_jax.world.sight import View, clip_near
from dima_jax.world.state import Town

FLOOR = 3.0  # metres
BAY = 3.0  # metres from window to window
BAYS = 6
TILE = BAYS * BAY
DENSITY = 12.0  # texture pixels a metre at the finest level
LEVELS = 5
COLORS = (  # BGR
    (178, 196, 208), (122, 138, 176), (88, 108, 158), (196, 204, 204), (140, 170, 192), (110, 126, 132), (164, 178, 160),
    (178, 164, 150), (128, 176, 204), (92, 98, 104),
)  # fmt: skip
STYLES = len(COLORS)
GLASS = np.array([128.0, 108.0, 86.0])


class Walls(NamedTuple):
    """All walls of a town. starts, ends [M, 2] on the ground, heights [M], normals [M, 2] outward, styles [M]."""

    starts: np.ndarray
    ends: np.ndarray
    heights: np.ndarray
    normals: np.ndarray
    styles: np.ndarray


def walls_of(town: Town) -> Walls:
    """Every wall of every house."""
    starts, ends, heights, normals, styles = [], [], [], [], []
    for index, (outline, height) in enumerate(town.buildings):
        following = np.roll(outline, -1, axis=0)
        x, y = outline.T
        is_clockwise = float(x @ following[:, 1] - y @ following[:, 0]) < 0
        edge = (following - outline) / np.hypot(*(following - outline).T)[:, None]
        starts.append(outline)
        ends.append(following)
        heights.append(np.full(len(outline), height))
        normals.append(np.stack([edge[:, 1], -edge[:, 0]], axis=-1) * (-1 if is_clockwise else 1))
        styles.append(np.full(len(outline), (index * 7) % STYLES))
    if not starts:
        return Walls(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), np.zeros((0, 2)), np.zeros(0, int))
    return Walls(*(np.concatenate(part) for part in (starts, ends, heights, normals, styles)))


@lru_cache(maxsize=256)
def facade(style: int, floors: int) -> tuple[np.ndarray, ...]:
    """The front of a house, row 0 at the eaves: LEVELS pictures uint8 [h, w, 3], each half as fine as the one before."""
    rng = np.random.default_rng([style, floors])
    color = np.asarray(COLORS[style], np.float64)
    high, wide, bay = round(floors * FLOOR * DENSITY), round(TILE * DENSITY), round(BAY * DENSITY)
    front = color + rng.normal(0.0, 5.0, (high, wide, 1))
    if style in (1, 2, 4):  # bricks
        front[::3] *= 0.90
    elif style in (5, 9):  # panels
        front[:, ::bay] *= 0.80
    window = (int(bay * rng.uniform(0.42, 0.62)), int(FLOOR * DENSITY * rng.uniform(0.50, 0.62)))
    for floor in range(floors):
        top = round(floor * FLOOR * DENSITY)
        for i in range(BAYS):
            if floor == floors - 1:
                _ground_floor(front, rng, top, i * bay, bay, color)
            else:
                left = i * bay + (bay - window[0]) // 2
                _window(front, rng, top + int(0.22 * FLOOR * DENSITY), left, *window)
        if style in (0, 3, 6, 8):
            front[top : top + 2] = color * 1.12
    front[:3] = color * 0.62
    front[-5:] *= 0.72
    levels = [np.clip(front, 0, 255).astype(np.uint8)]
    for _ in range(LEVELS - 1):
        h, w = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], (max(w // 2, 2), max(h // 2, 2)), interpolation=cv2.INTER_AREA))
    return tuple(levels)


def _window(front: np.ndarray, rng, top: int, left: int, width: int, height: int) -> None:
    """Frame, panes that mirror the sky more towards the top, now and then a drawn blind, and a sill."""
    front[top - 1 : top + height + 1, left - 1 : left + width + 1] = (214, 218, 220)
    pane = GLASS * (rng.uniform(0.7, 1.15) * np.linspace(1.25, 0.8, height))[:, None, None]
    front[top : top + height, left : left + width] = pane
    if rng.random() < 0.3:
        front[top : top + int(height * rng.uniform(0.25, 0.8)), left : left + width] = (190, 204, 212)
    front[top : top + height, left + width // 2] = (200, 204, 206)
    front[top + height : top + height + 2, left - 2 : left + width + 2] *= 0.8


def _ground_floor(front: np.ndarray, rng, top: int, left: int, bay: int, color: np.ndarray) -> None:
    """One bay of the ground floor: a door, a shop window under its sign, or a plain window."""
    kind = rng.random()
    bottom = front.shape[0]
    if kind < 0.22:
        front[top + 9 : bottom, left + 11 : left + bay - 11] = rng.uniform(0.35, 0.6) * color
        front[top + 11 : top + 17, left + 13 : left + bay - 13] = GLASS
    elif kind < 0.6:
        front[top + 4 : top + 9, left + 2 : left + bay - 2] = rng.uniform(40, 210, 3)
        front[top + 10 : bottom - 5, left + 3 : left + bay - 3] = (70, 68, 66)
        front[top + 11 : bottom - 6, left + 4 : left + bay - 4] = GLASS * rng.uniform(0.8, 1.3)
    else:
        _window(front, rng, top + 9, left + 10, bay - 20, 17)


def paint_wall(image: np.ndarray, view: View, walls: Walls, index: int, light: Light) -> None:
    """Put wall `index` into `image` (uint8 [H, W, 3], in place), over what is there."""
    outline = wall_outline(view, walls, index)
    if len(outline) < 3:
        return
    start, end, height = walls.starts[index], walls.ends[index], float(walls.heights[index])
    low = np.maximum(np.floor(outline.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 1, (view.width, view.height))
    if (high <= low).any():
        return
    length = float(np.hypot(*(end - start)))
    along = np.array([*(end - start) / length, 0.0])
    foot = view.to_camera(np.array([*start, 0.0]))
    plane = view.matrix @ np.stack([view.rotation @ along, view.rotation @ [0.0, 0.0, 1.0], foot], axis=1)
    inverse = np.linalg.inv(plane)  # pixel to (along, up, 1) on the wall
    columns = np.arange(low[0], high[0])
    slope = (columns - view.matrix[0, 2]) / view.matrix[0, 0]
    across = view.rotation @ [*walls.normals[index], 0.0]
    depth = (across @ foot) / np.minimum(across[0] * slope + across[2], -1e-6)
    depth = np.clip(depth, 0.1, 1e4)
    texture, to_texture = _texture(walls, index, view, inverse, low, high, depth, height)
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    shift = np.array([[1.0, 0.0, low[0]], [0.0, 1.0, low[1]], [0.0, 0.0, 1.0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    front = cv2.warpPerspective(texture, to_texture @ inverse @ shift, size, flags=flags, borderMode=cv2.BORDER_WRAP)
    normal = np.array([*walls.normals[index], 0.0])
    gain = light.shade(normal) * np.asarray(light.weather.tint)
    clear = light.clear(depth * np.sqrt(1.0 + slope**2))[:, None]
    front = front * (gain * clear).astype(np.float32) + ((1 - clear) * np.asarray(light.weather.haze)).astype(
        np.float32
    )
    front = np.minimum(front, 255.0).astype(np.uint8)
    mask = np.zeros(size[::-1], np.uint8)
    cv2.fillConvexPoly(mask, np.round((outline - low) * 16).astype(np.int32), 255, cv2.LINE_8, 4)
    cv2.copyTo(front, mask, image[low[1] : high[1], low[0] : high[0]])


def wall_outline(view: View, walls: Walls, index: int) -> np.ndarray:
    """The outline of a wall in pixels [n, 2], cut off behind the camera; empty where it is not seen."""
    (x0, y0), (x1, y1), height = walls.starts[index], walls.ends[index], walls.heights[index]
    corners = np.array([(x0, y0, 0.0), (x1, y1, 0.0), (x1, y1, height), (x0, y0, height)])
    seen = clip_near(view.to_camera(corners))
    return view.to_pixels(seen) if len(seen) else seen[:, :2]


def _texture(walls, index, view, inverse, low, high, depth, height) -> tuple[np.ndarray, np.ndarray]:
    """The level of the facade that suits the wall's size in the picture, and the matrix (along, up, 1) to its pixels."""
    floors = max(1, round(height / FLOOR))
    ends = inverse @ np.array([[low[0], high[0]], [view.matrix[1, 2]] * 2, [1.0, 1.0]])
    metres = float(np.abs(np.diff(ends[0] / ends[2])[0]))
    across = (high[0] - low[0]) / max(metres, 0.1)
    up = view.matrix[1, 1] / float(np.median(depth))
    level = int(np.clip(np.round(np.log2(DENSITY / np.sqrt(across * up))), 0, LEVELS - 1))
    texture = facade(int(walls.styles[index]), floors)[level]
    rows, columns = texture.shape[:2]
    shift = 5.0 * (index % 7)
    to_texture = np.array([
        [columns / TILE, 0.0, shift * columns / TILE - 0.5],
        [0.0, -rows / height, rows - 0.5],
        [0.0, 0.0, 1.0],
    ])  # fmt: skip
    return texture, to_texture
