"""The top-down image of the ground in one lighting, with the shadows of houses and trees, tile by tile on demand."""

import cv2
import numpy as np

from data_prep.miniworld.render.ground import RESOLUTION, SHIFT, GroundMap
from data_prep.miniworld.render.lighting import Lighting
from data_prep.miniworld.world.state import Town
from data_prep.miniworld.world.trees import Trees

TILE = 512  # cells
RANGE = 120.0  # meters around the ego; the ground beyond is a few rows of haze
MAX_SHADOW = 1.6  # longest shadow as a multiple of the height that casts it
MAX_HEIGHT = 12.0  # meters; taller houses cast no longer shadows, else whole streets would be dark


def shadow_reach(lighting: Lighting) -> np.ndarray:
    """Offset [2], in meters, of the shadow of a point one meter above the ground."""
    reach = -lighting.sun[:2] / lighting.sun[2]
    return reach * min(1.0, MAX_SHADOW / max(np.hypot(*reach), 1e-6))


class ShadedGround:
    """The town seen from above in one lighting."""

    def __init__(self, ground: GroundMap, town: Town, trees: Trees, lighting: Lighting):
        self._labels, self._lighting = ground.labels, lighting
        self._image = np.empty((*ground.labels.shape, 4), np.uint8)
        rows, columns = (-(-length // TILE) for length in ground.labels.shape)
        self._is_done = np.zeros((rows, columns), bool)
        self._shadows = [_cells(outline) for outline in _shadow_outlines(town, trees, shadow_reach(lighting))]
        self._low = np.array([cells.min(axis=0) for cells in self._shadows]).reshape(-1, 2) >> SHIFT
        self._high = np.array([cells.max(axis=0) for cells in self._shadows]).reshape(-1, 2) >> SHIFT

    def around(self, x: float, y: float) -> tuple[np.ndarray, tuple[int, int]]:
        """The ground within RANGE meters of (x, y) or more, uint8 BGRA, and the cell (column, row) where it starts."""
        columns, rows = self._span(x, self._is_done.shape[1]), self._span(y, self._is_done.shape[0])
        for row in range(*rows):
            for column in range(*columns):
                if not self._is_done[row, column]:
                    self._shade_tile(row, column)
                    self._is_done[row, column] = True
        tiles = (slice(rows[0] * TILE, rows[1] * TILE), slice(columns[0] * TILE, columns[1] * TILE))
        return self._image[tiles], (columns[0] * TILE, rows[0] * TILE)

    @staticmethod
    def _span(place: float, count: int) -> tuple[int, int]:
        """The tiles [first, end) within RANGE of a coordinate along one axis; at least one."""
        first = int(np.clip((place - RANGE) / RESOLUTION // TILE, 0, count - 1))
        return first, int(np.clip((place + RANGE) / RESOLUTION // TILE + 1, first + 1, count))

    def _shade_tile(self, row: int, column: int) -> None:
        low = np.array([column, row]) * TILE
        tile = (slice(low[1], low[1] + TILE), slice(low[0], low[0] + TILE))
        labels = self._labels[tile]
        colors = cv2.applyColorMap(labels, self._lighting.ground)
        shade = np.full(labels.shape, 255, np.uint8)
        tone = 255 * (1 - self._lighting.weather.shadow)
        touching = (self._low < low + TILE).all(axis=1) & (self._high >= low).all(axis=1)
        for index in np.nonzero(touching)[0]:
            cv2.fillConvexPoly(shade, self._shadows[index] - (low << SHIFT).astype(np.int32), tone, cv2.LINE_8, SHIFT)
        colors = cv2.GaussianBlur(colors, (3, 3), 0.5)  # anti-aliasing of slanted lines
        cv2.multiply(colors, cv2.merge([cv2.blur(shade, (5, 5))] * 3), dst=colors, scale=1 / 255)
        cv2.cvtColor(colors, cv2.COLOR_BGR2BGRA, dst=self._image[tile])


def _cells(outline: np.ndarray) -> np.ndarray:
    return np.round((outline / RESOLUTION - 0.5) * (1 << SHIFT)).astype(np.int32)


def _shadow_outlines(town: Town, trees: Trees, reach: np.ndarray) -> list[np.ndarray]:
    """Convex outlines [n, 2] of the shadows of houses and trees on the ground, meters."""
    outlines = []
    for outline, height in town.buildings:
        tips = outline + reach * min(height, MAX_HEIGHT)
        outlines.append(cv2.convexHull(np.concatenate([outline, tips]).astype(np.float32))[:, 0])
    angle = np.linspace(0.0, 2 * np.pi, 8, endpoint=False)
    circle, side = np.stack([np.cos(angle), np.sin(angle)], axis=-1), np.array([0.1, 0.1])
    for foot, height, radius in zip(trees.feet, trees.heights, trees.crowns, strict=True):
        middle = foot + reach * 0.65 * height
        outlines.append(middle + circle * radius)
        outlines.append(np.array([foot + side, foot - side, middle - side, middle + side]))
    return outlines
