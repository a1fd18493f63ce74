"""The walls of the town's houses, and one texture atlas of their facades by style and number of floors.

A facade repeats along the wall every TILE meters and is as high as its house. The atlas holds MIP_LEVELS mipmaps of
each, every one with half the resolution of the one before.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from data_prep.miniworld.world.state import Town

FLOOR = 3.0  # meters
BAY = 3.0  # meters from window to window
BAYS = 6
TILE = BAYS * BAY
DENSITY = 16.0  # texture pixels a meter at the finest mipmap; a floor is then a whole number of pixels in every mipmap
MIP_LEVELS = 5
COLORS = (  # BGR
    (178, 196, 208), (122, 138, 176), (88, 108, 158), (196, 204, 204), (140, 170, 192), (110, 126, 132), (164, 178, 160),
    (178, 164, 150), (128, 176, 204), (92, 98, 104),
)  # fmt: skip
STYLES = len(COLORS)
WIDE = round(TILE * DENSITY)
EDGE = 2  # pixels of padding around each facade for interpolation; left and right they repeat the tile
LEFT = tuple(EDGE + sum((WIDE >> k) + 2 * EDGE for k in range(level)) for level in range(MIP_LEVELS))
GLASS = np.array([128.0, 108.0, 86.0])


class Walls(NamedTuple):
    """M walls of a town, meters: starts and ends [M, 2] on the ground, heights [M], outward unit normals [M, 2].

    houses [M]: index of the house in `town.buildings`.
    """

    starts: np.ndarray
    ends: np.ndarray
    heights: np.ndarray
    normals: np.ndarray
    houses: np.ndarray


class TextureAtlas(NamedTuple):
    """Every facade of a town in one image, for M walls.

    picture: uint8 BGRA [h, w, 4]; rows [M]: first row of the facade of each wall; heights [M]: its height in pixels
    at the finest mipmap. Mipmap l starts at column LEFT[l], with rows and columns divided by 2**l.
    """

    picture: np.ndarray
    rows: np.ndarray
    heights: np.ndarray


@lru_cache(maxsize=2)
def walls_of(town: Town) -> Walls:
    """Every wall of every house."""
    starts, ends, heights, normals, houses = [], [], [], [], []
    for index, (outline, height) in enumerate(town.buildings):
        following = np.roll(outline, -1, axis=0)
        x, y = outline.T
        is_clockwise = float(x @ following[:, 1] - y @ following[:, 0]) < 0
        edge = (following - outline) / np.hypot(*(following - outline).T)[:, None]
        starts.append(outline)
        ends.append(following)
        heights.append(np.full(len(outline), height))
        normals.append(np.stack([edge[:, 1], -edge[:, 0]], axis=-1) * (-1 if is_clockwise else 1))
        houses.append(np.full(len(outline), index))
    if not starts:
        return Walls(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), np.zeros((0, 2)), np.zeros(0, int))
    return Walls(*(np.concatenate(part) for part in (starts, ends, heights, normals, houses)))


def build_atlas(walls: Walls) -> TextureAtlas:
    """The atlas with the facade of every wall; houses differ by style and by number of floors."""
    floors = np.maximum(np.round(walls.heights / FLOOR).astype(int), 1)
    styles = (walls.houses * 7) % STYLES
    kinds = sorted(set(zip(styles.tolist(), floors.tolist(), strict=True)))
    place, top = {}, 0
    for kind in kinds:
        place[kind] = top + EDGE
        top += _pixels_high(kind[1]) + 2 * EDGE
    picture = np.zeros((max(top, 1), LEFT[-1] + (WIDE >> (MIP_LEVELS - 1)) + EDGE, 4), np.uint8)
    for style, storys in kinds:
        start = place[style, storys]
        for level, front in enumerate(facade(style, storys)):
            padded = np.concatenate([front[:, -EDGE:], front, front[:, :EDGE]], axis=1)
            padded = np.pad(padded, ((EDGE, EDGE), (0, 0), (0, 0)), mode="edge")
            left = LEFT[level] - EDGE
            picture[start - EDGE : start - EDGE + len(padded), left : left + padded.shape[1], :3] = padded
    rows = [place[kind] for kind in zip(styles.tolist(), floors.tolist(), strict=True)]
    return TextureAtlas(picture, np.array(rows, float), np.array([_pixels_high(n) for n in floors], float))


def _pixels_high(floors: int) -> int:
    """Height of a facade at the finest mipmap, pixels."""
    return floors * round(FLOOR * DENSITY)


def facade(style: int, floors: int) -> list[np.ndarray]:
    """The mipmaps of a facade, finest first: MIP_LEVELS images, uint8 BGR [h, w, 3], row 0 at the eaves."""
    rng = np.random.default_rng([style, floors])
    color = np.asarray(COLORS[style], np.float64)
    high, bay = _pixels_high(floors), round(BAY * DENSITY)
    front = color + rng.normal(0.0, 5.0, (high, WIDE, 1))
    if style in (1, 2, 4):  # bricks
        front[::4] *= 0.88
    elif style in (5, 9):  # panels
        front[:, ::bay] *= 0.80
    window = (int(bay * rng.uniform(0.42, 0.62)), int(FLOOR * DENSITY * rng.uniform(0.50, 0.62)))
    for floor in range(floors):
        top = _pixels_high(floor)
        for i in range(BAYS):
            if floor == floors - 1:
                _ground_floor(front, rng, top, i * bay, bay, color)
            else:
                left = i * bay + (bay - window[0]) // 2
                _window(front, rng, top + int(0.22 * FLOOR * DENSITY), left, *window)
        if style in (0, 3, 6, 8):
            front[top : top + 2] = color * 1.12
    front[:4] = color * 0.62
    front[-7:] *= 0.72
    levels = [np.clip(front, 0, 255).astype(np.uint8)]
    for _ in range(MIP_LEVELS - 1):
        h, w = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], (w // 2, h // 2), interpolation=cv2.INTER_AREA))
    return levels


def _window(front: np.ndarray, rng, top: int, left: int, width: int, height: int) -> None:
    """A frame, panes that reflect the sky more towards the top, sometimes a drawn blind, and a sill."""
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
        front[top + 12 : bottom, left + 15 : left + bay - 15] = rng.uniform(0.35, 0.6) * color
        front[top + 15 : top + 23, left + 18 : left + bay - 18] = GLASS
    elif kind < 0.6:
        front[top + 5 : top + 12, left + 3 : left + bay - 3] = rng.uniform(40, 210, 3)
        front[top + 14 : bottom - 7, left + 4 : left + bay - 4] = (70, 68, 66)
        front[top + 15 : bottom - 8, left + 5 : left + bay - 5] = GLASS * rng.uniform(0.8, 1.3)
    else:
        _window(front, rng, top + 12, left + 13, bay - 26, 23)
