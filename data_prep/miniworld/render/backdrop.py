"""What lies behind everything that stands: sky and ground, with the shadows on the ground and the haze over it.

Everything here is BGRA: OpenCV warps four channels more than twice as fast as three. The camera looks along the horizon, so the picture splits at one row: sky above, ground below. The ground between FAR_DEPTH
and the horizon is painted with FINE rows for each row of the picture and averaged, or far markings would flicker.
"""

import cv2
import numpy as np

from data_prep.miniworld.render.bodies import Bodies
from data_prep.miniworld.render.ground import RESOLUTION, SHIFT, Surface
from data_prep.miniworld.render.light import SKY_BOTTOM, SKY_COLUMNS, SKY_ROWS, SKY_TOP, Light
from data_prep.miniworld.render.rig import Sensor, rotation_matrix
from data_prep.miniworld.render.sight import NEAR, View, clip_near
from data_prep.miniworld.render.skyline import Skyline
from data_prep.miniworld.render.sunlit import SunlitGround, shadow_reach
from data_prep.miniworld.world.state import Ego

FAR_DEPTH = 14.0  # meters
FINE = 4  # a power of two


def _sky_maps(slope: np.ndarray, drop: np.ndarray, yaw: float) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """OpenCV's fixed-point maps of the sky pixels into the panorama from the camera's leftmost column on, and that
    column for an ego facing +x."""
    columns = (yaw - np.arctan(slope)) / (2 * np.pi) * SKY_COLUMNS
    rise = np.arctan2(-drop[:, None], np.sqrt(1.0 + slope**2))
    rows = (SKY_TOP - rise) / (SKY_TOP - SKY_BOTTOM) * (SKY_ROWS - 1)
    start = np.floor(columns.min())
    across = np.broadcast_to(columns - start, rows.shape)
    return cv2.convertMaps(across.astype(np.float32), rows.astype(np.float32), cv2.CV_16SC2), float(start)


class Backdrop:
    """Sky and ground for one camera of one scene. matrix: the intrinsic of the picture of `size` (width, height)."""

    def __init__(self, sensor: Sensor, matrix: np.ndarray, size: tuple[int, int], light: Light, ground: SunlitGround):
        self._light, self._ground = light, ground
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
        clear = light.clear(distance)[..., None]
        self._clear = np.ascontiguousarray(np.repeat(np.round(clear * 255), 4, axis=2).astype(np.uint8))
        self._veil = np.round((1 - clear) * np.array([*light.weather.haze, 0])).astype(np.uint8)
        self._beyond = (*light.ground[(int(Surface.GRASS) << 4) | 8, 0].tolist(), 255)
        self._shadow_reach = shadow_reach(light)

    def paint(self, view: View, ego: Ego, bodies: Bodies, skyline: Skyline) -> np.ndarray:
        """The empty street as `view` sees it, with the shadows of the bodies, uint8 BGRA [height, width, 4].

        Rows that `skyline` covers from side to side are left to it: they hold nothing of use.
        """
        image = np.empty((self._height, self._width, 4), np.uint8)
        turn = ego.yaw / (2 * np.pi) * SKY_COLUMNS + self._sky_start
        panorama = self._light.sky[:, round(turn) % SKY_COLUMNS :]
        sky, start = skyline.open_rows(view, self._first)
        if sky > 0:
            maps = (part[:sky] for part in self._sky_maps)
            cv2.remap(panorama, *maps, cv2.INTER_LINEAR, dst=image[:sky])
        if start < self._height:
            road = image[start:]
            self._lay_ground(road, start, view)
            shade = self._shadows(start, view, bodies)
            if shade is not None:
                cv2.multiply(road, shade, dst=road, scale=1 / 255)
            cv2.multiply(road, self._clear[start - self._first :], dst=road, scale=1 / 255)
            cv2.add(road, self._veil[start - self._first :], dst=road)
        return image

    def _lay_ground(self, road: np.ndarray, start: int, view: View) -> None:
        """Warp the town's picture into the rows from `start` on."""
        plane = self._matrix @ np.stack([*view.rotation[:, :2].T, -view.rotation @ view.eye], axis=1)
        ground, (column, row) = self._ground.around(*view.eye[:2])
        to_cell = np.array([[1 / RESOLUTION, 0.0, -0.5 - column], [0.0, 1 / RESOLUTION, -0.5 - row], [0.0, 0.0, 1.0]])
        to_ground = to_cell @ np.linalg.inv(plane)
        near = max(start, self._far_end)
        for top, rows, fine in ((start, near - start, FINE), (near, self._height - near, 1)):
            if rows <= 0:
                continue
            place = np.array([[1.0, 0.0, 0.0], [0.0, 1 / fine, top + (1 / fine - 1) / 2], [0.0, 0.0, 1.0]])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            part = cv2.warpPerspective(
                ground, to_ground @ place, (self._width, rows * fine), flags=flags, borderValue=self._beyond
            )
            while len(part) > rows:
                part = cv2.addWeighted(part[::2], 0.5, part[1::2], 0.5, 0.0)
            road[top - start : top - start + rows] = part

    def _shadows(self, start: int, view: View, bodies: Bodies) -> np.ndarray | None:
        """How much light reaches each pixel from row `start` on, uint8 [rows, width, 4] of 255; None without shadows in view."""
        reach = self._shadow_reach
        around = np.linalg.norm(reach) * bodies.heights + bodies.radii
        seen = np.nonzero(view.sees(bodies.centers, around) & (bodies.labels > 0))[0]
        if not len(seen):
            return None
        shade = np.full((self._height - start, self._width), 255, np.uint8)
        tone = 255 * (1 - self._light.weather.shadow)
        feet = bodies.footprints[seen]
        tips = feet + (reach * bodies.heights[seen, None])[:, None]
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
