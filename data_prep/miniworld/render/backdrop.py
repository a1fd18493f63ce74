"""The background of an image: sky and ground, with the shadows on the ground and the haze over it.

Images here are BGRA: OpenCV warps four channels more than twice as fast as three. The camera looks along the horizon,
so the image splits at one row: sky above, ground below. The ground between FAR_DEPTH and the horizon is sampled with
FAR_SAMPLES rows for each row of the image and averaged, else far markings would alias.
"""

import cv2
import numpy as np

from data_prep.miniworld.render.ground import RESOLUTION, SHIFT, Surface
from data_prep.miniworld.render.ground_shading import ShadedGround, shadow_reach
from data_prep.miniworld.render.lighting import SKY_BOTTOM, SKY_COLUMNS, SKY_ROWS, SKY_TOP, Lighting
from data_prep.miniworld.render.meshes import Meshes
from data_prep.miniworld.render.projection import NEAR, View, clip_near
from data_prep.miniworld.render.rig import Sensor, rotation_matrix
from data_prep.miniworld.render.wall_raycast import VisibleWalls
from data_prep.miniworld.world.state import Ego

FAR_DEPTH = 14.0  # meters
FAR_SAMPLES = 4  # a power of two


def _sky_maps(slope: np.ndarray, drop: np.ndarray, yaw: float) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """OpenCV's fixed-point maps of the sky pixels into the part of the panorama that the camera sees, and the panorama
    column where that part starts for an ego facing +x.

    slope: x / z of every image column; drop: y / z of every sky row; yaw: of the camera in the ego frame, radians.
    """
    columns = (yaw - np.arctan(slope)) / (2 * np.pi) * SKY_COLUMNS
    rise = np.arctan2(-drop[:, None], np.sqrt(1.0 + slope**2))
    rows = (SKY_TOP - rise) / (SKY_TOP - SKY_BOTTOM) * (SKY_ROWS - 1)
    start = np.floor(columns.min())
    across = np.broadcast_to(columns - start, rows.shape)
    return cv2.convertMaps(across.astype(np.float32), rows.astype(np.float32), cv2.CV_16SC2), float(start)


class Backdrop:
    """Sky and ground for one camera in one lighting. matrix: intrinsic [3, 3] of an image of `size` (width, height)."""

    def __init__(
        self, sensor: Sensor, matrix: np.ndarray, size: tuple[int, int], lighting: Lighting, ground: ShadedGround
    ):
        self._lighting, self._ground = lighting, ground
        self._width, self._height = size
        self._matrix = matrix
        eye_height = sensor.translation[2]
        self._first = int(np.floor(matrix[1, 2])) + 1  # first row of the ground
        far_end = int(np.ceil(matrix[1, 2] + matrix[1, 1] * eye_height / FAR_DEPTH))
        self._far_end = min(max(far_end, self._first + 1), self._height)
        slope = (np.arange(self._width) - matrix[0, 2]) / matrix[0, 0]
        drop = (np.arange(self._height) - matrix[1, 2]) / matrix[1, 1]
        forward = rotation_matrix(sensor.rotation)[:, 2]
        self._sky_maps, self._sky_start = _sky_maps(slope, drop[: self._first], np.arctan2(*forward[1::-1]))
        distance = eye_height / drop[self._first :, None] * np.sqrt(1.0 + slope**2)
        clear = lighting.transmittance(distance)[..., None]
        self._clear = np.ascontiguousarray(np.repeat(np.round(clear * 255), 4, axis=2).astype(np.uint8))
        self._added_haze = np.round((1 - clear) * np.array([*lighting.weather.haze, 0])).astype(np.uint8)
        self._beyond = (*lighting.ground[(int(Surface.GRASS) << 4) | 8, 0].tolist(), 255)
        self._shadow_reach = shadow_reach(lighting)

    def paint(self, view: View, ego: Ego, meshes: Meshes, visible_walls: VisibleWalls) -> np.ndarray:
        """Sky and ground as `view` sees them, with the shadows of the agents, uint8 BGRA [height, width, 4].

        Rows that the walls cover over the whole width are not painted: their content is undefined.
        """
        image = np.empty((self._height, self._width, 4), np.uint8)
        turn = ego.yaw / (2 * np.pi) * SKY_COLUMNS + self._sky_start
        panorama = self._lighting.sky[:, round(turn) % SKY_COLUMNS :]
        sky, start = visible_walls.open_rows(view, self._first)
        if sky > 0:
            maps = (part[:sky] for part in self._sky_maps)
            cv2.remap(panorama, *maps, cv2.INTER_LINEAR, dst=image[:sky])
        if start < self._height:
            road = image[start:]
            self._paint_ground(road, start, view)
            shade = self._shadows(start, view, meshes)
            if shade is not None:
                cv2.multiply(road, shade, dst=road, scale=1 / 255)
            cv2.multiply(road, self._clear[start - self._first :], dst=road, scale=1 / 255)
            cv2.add(road, self._added_haze[start - self._first :], dst=road)
        return image

    def _paint_ground(self, road: np.ndarray, start: int, view: View) -> None:
        """Warp the top-down image of the town into the rows from `start` on."""
        plane = self._matrix @ np.stack([*view.rotation[:, :2].T, -view.rotation @ view.eye], axis=1)
        ground, (column, row) = self._ground.around(*view.eye[:2])
        to_cell = np.array([[1 / RESOLUTION, 0.0, -0.5 - column], [0.0, 1 / RESOLUTION, -0.5 - row], [0.0, 0.0, 1.0]])
        to_ground = to_cell @ np.linalg.inv(plane)
        near = max(start, self._far_end)
        for top, rows, samples in ((start, near - start, FAR_SAMPLES), (near, self._height - near, 1)):
            if rows <= 0:
                continue
            to_row = np.array([[1.0, 0.0, 0.0], [0.0, 1 / samples, top + (1 / samples - 1) / 2], [0.0, 0.0, 1.0]])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            part = cv2.warpPerspective(
                ground, to_ground @ to_row, (self._width, rows * samples), flags=flags, borderValue=self._beyond
            )
            while len(part) > rows:
                part = cv2.addWeighted(part[::2], 0.5, part[1::2], 0.5, 0.0)
            road[top - start : top - start + rows] = part

    def _shadows(self, start: int, view: View, meshes: Meshes) -> np.ndarray | None:
        """Light on each pixel from row `start` on, uint8 [rows, width, 4], 255 = no shadow; None without any shadow."""
        reach = self._shadow_reach
        radii = np.linalg.norm(reach) * meshes.heights + meshes.radii
        casting = np.nonzero(view.sees(meshes.centers, radii) & (meshes.labels > 0))[0]
        if not len(casting):
            return None
        shade = np.full((self._height - start, self._width), 255, np.uint8)
        tone = 255 * (1 - self._lighting.weather.shadow)
        feet = meshes.footprints[casting]
        tips = feet + (reach * meshes.heights[casting, None])[:, None]
        for outlines, dark in ((np.concatenate([feet, tips], axis=1), tone), (feet, 0.6 * tone)):
            ground = np.concatenate([outlines, np.zeros((*outlines.shape[:2], 1))], axis=-1)
            corners = view.to_camera(ground)
            behind = (corners[..., 2] < NEAR).any(axis=1)
            pixels = view.to_pixels(corners[~behind]) - (0, start)
            cells = np.round(np.clip(pixels, -20000, 20000) * (1 << SHIFT)).astype(np.int32)
            for points in cells:
                cv2.fillConvexPoly(shade, cv2.convexHull(points), dark, cv2.LINE_AA, SHIFT)
            for points in outlines[behind]:
                hull = cv2.convexHull(points.astype(np.float32))[:, 0]
                clipped = clip_near(view.to_camera(np.concatenate([hull, np.zeros((len(hull), 1))], axis=1)))
                if len(clipped):
                    points = np.clip(view.to_pixels(clipped) - (0, start), -20000, 20000)
                    cv2.fillConvexPoly(
                        shade, np.round(points * (1 << SHIFT)).astype(np.int32), dark, cv2.LINE_AA, SHIFT
                    )
        return cv2.merge([cv2.blur(shade, (3, 3))] * 4)
