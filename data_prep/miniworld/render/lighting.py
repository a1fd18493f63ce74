"""Lighting and weather of a scene, sampled from a seed: sun, haze, sky, and the colors of the ground.

Colors are BGR, 0 to 255. Haze blends every color towards `haze` with transmittance exp(-distance / visibility), for
ground, meshes and walls alike. The sky is one panorama around the horizon: column 0 looks along +x, columns grow
counter-clockwise, row 0 is at elevation SKY_TOP and the last row at SKY_BOTTOM, in radians.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from data_prep.miniworld.render.ground import Surface, palette

SKY_COLUMNS, SKY_ROWS = 2048, 256
SKY_TOP, SKY_BOTTOM = np.radians(40.0), np.radians(-1.0)

_GROUND = {
    Surface.GRASS: (62, 112, 92),
    Surface.ASPHALT: (96, 93, 91),
    Surface.TAR: (70, 68, 66),
    Surface.WALKWAY: (152, 157, 163),
    Surface.JOINT: (122, 127, 132),
    Surface.CURB: (184, 186, 190),
    Surface.WHITE: (228, 231, 232),
    Surface.YELLOW: (62, 186, 226),
    Surface.YARD: (118, 132, 140),
    Surface.IRON: (52, 52, 56),
}
_ROUGHNESS = {
    Surface.GRASS: 26.0,
    Surface.ASPHALT: 15.0,
    Surface.TAR: 8.0,
    Surface.WALKWAY: 12.0,
    Surface.JOINT: 10.0,
    Surface.CURB: 12.0,
    Surface.WHITE: 20.0,
    Surface.YELLOW: 20.0,
    Surface.YARD: 14.0,
    Surface.IRON: 10.0,
}


@dataclass(frozen=True)
class Weather:
    """A kind of weather. tint: color factors of the light; cover: share of the sky that clouds cover."""

    tint: tuple[float, float, float]
    ambient: float  # intensity of the ambient light
    shadow: float  # share of the light that a shadow removes
    zenith: tuple[int, int, int]
    haze: tuple[int, int, int]
    visibility: float  # meters
    cover: float
    sun_height_deg: tuple[float, float]
    ground_gain: float


WEATHERS = (
    Weather((0.98, 1.00, 1.02), 0.62, 0.45, (205, 150, 92), (226, 214, 202), 420.0, 0.35, (35, 60), 1.0),  # fair
    Weather((1.00, 1.00, 1.00), 0.66, 0.40, (190, 160, 120), (220, 213, 206), 300.0, 0.65, (30, 55), 0.97),  # cloudy
    Weather((0.95, 0.94, 0.92), 0.90, 0.28, (190, 182, 176), (206, 203, 200), 200.0, 1.00, (40, 60), 0.88),  # overcast
    Weather((0.80, 0.94, 1.06), 0.55, 0.45, (160, 128, 100), (156, 190, 232), 300.0, 0.50, (14, 24), 0.92),  # evening
    Weather((0.90, 0.88, 0.85), 0.92, 0.20, (170, 164, 158), (184, 182, 180), 130.0, 1.00, (40, 60), 0.68),  # rain
)


@dataclass(frozen=True)
class Lighting:
    """The lighting of one scene.

    sun: unit vector towards the sun. sky: uint8 BGRA [SKY_ROWS, 1.5 SKY_COLUMNS, 4], the panorama followed by its
    first half again, so that the part that a camera sees is contiguous. ground: palette of `ground.palette`, uint8
    [256, 1, 3].
    """

    weather: Weather
    sun: np.ndarray
    sky: np.ndarray
    ground: np.ndarray

    def shade(self, normals: np.ndarray) -> np.ndarray:
        """Ambient and diffuse brightness [...] of faces with unit normals [..., 3], about 0.55 to 1.15."""
        ambient = self.weather.ambient * (0.86 + 0.14 * normals[..., 2])
        return ambient + (1.15 - self.weather.ambient) * np.maximum(normals @ self.sun.astype(normals.dtype), 0.0)

    def transmittance(self, distance: np.ndarray) -> np.ndarray:
        """The share of an object's color that haze leaves at `distance` meters."""
        return np.exp(-distance / self.weather.visibility)


def sample_lighting(seed: int) -> Lighting:
    """The lighting of a scene; the same seed gives the same lighting."""
    rng = np.random.default_rng([seed, 11])
    weather = WEATHERS[int(rng.choice(len(WEATHERS), p=(0.32, 0.24, 0.18, 0.14, 0.12)))]
    height, azimuth = np.radians(rng.uniform(*weather.sun_height_deg)), rng.uniform(0.0, 2 * np.pi)
    sun = np.array([np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth), np.sin(height)])
    gain = weather.ground_gain * rng.uniform(0.92, 1.06) * np.asarray(weather.tint)
    road = rng.uniform(0.82, 1.15)  # old asphalt is pale, new asphalt dark
    dry = rng.uniform(-0.5, 1.0) * np.array([-6.0, 6.0, 26.0])  # green grass to straw
    base = {}
    for surface, color in _GROUND.items():
        tone = np.asarray(color, np.float64) * (road if surface in (Surface.ASPHALT, Surface.TAR) else 1.0)
        base[surface] = (tone + (dry if surface == Surface.GRASS else 0.0)) * gain
    return Lighting(weather, sun, _sky(weather, sun, rng), palette(base, _ROUGHNESS))


def _sky(weather: Weather, sun: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The panorama: gradient, clouds, the glow around the sun, and hills and roofs at the horizon."""
    rise = np.linspace(SKY_TOP, SKY_BOTTOM, SKY_ROWS // 2, dtype=np.float32)[:, None]  # painted at half the resolution
    turn = np.linspace(0.0, 2 * np.pi, SKY_COLUMNS // 2, endpoint=False, dtype=np.float32)[None]
    haze, zenith = (np.asarray(color, np.float32) for color in (weather.haze, weather.zenith))
    blend = np.clip(rise / np.radians(32.0), 0.0, 1.0)[..., None] ** 0.6
    sky = (1 - blend) * haze + blend * zenith
    clouds = _clouds(rng, rise.size, turn.size)
    density = np.clip((clouds - (1.0 - weather.cover)) * 3.0, 0.0, 1.0) * np.clip(rise / np.radians(9.0), 0.15, 1.0)
    cloud = np.asarray(weather.tint, np.float32) * (246.0 - 62.0 * weather.cover * clouds[..., None])
    sky = sky + 0.8 * density[..., None] * (cloud - sky)
    toward = np.cos(rise) * (np.cos(turn) * sun[0] + np.sin(turn) * sun[1]) + np.sin(rise) * sun[2]
    glow = (np.exp((toward - 1.0) * 14.0) * (0.8 - 0.64 * weather.cover)).astype(np.float32)
    sky = sky + glow[..., None] * (np.array([215.0, 240.0, 255.0], np.float32) - sky)
    sky = cv2.resize(np.clip(sky, 0, 255).astype(np.uint8), (SKY_COLUMNS, SKY_ROWS), interpolation=cv2.INTER_LINEAR)
    hills = _ridge(rng, 2.2, 12) if weather.visibility > 150 else np.zeros(SKY_COLUMNS)
    rise = np.linspace(SKY_TOP, SKY_BOTTOM, SKY_ROWS)[:, None]
    for ridge, tone in ((hills, 0.86), (0.55 * hills + _ridge(rng, 0.7, 160), 0.70)):
        sky[rise < np.radians(ridge)] = haze * np.array([tone + 0.04, tone, tone - 0.05])
    return cv2.cvtColor(np.concatenate([sky, sky[:, : SKY_COLUMNS // 2]], axis=1), cv2.COLOR_BGR2BGRA)


def _clouds(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Smooth noise in [0, 1], float32 [rows, columns], stretched along the horizon and periodic around it."""
    total = np.zeros((rows, columns), np.float32)
    for across, up, weight in ((12, 4, 1.0), (32, 10, 0.6), (80, 26, 0.3), (200, 60, 0.15)):
        cells = rng.normal(0.0, 1.0, (up, across)).astype(np.float32)
        twice = cv2.resize(np.tile(cells, 2), (2 * columns, rows), interpolation=cv2.INTER_CUBIC)
        total += weight * twice[:, columns // 2 : columns // 2 + columns]  # the middle of the two periods has no seam
    return np.clip(0.5 + 0.28 * total, 0.0, 1.0)


def _ridge(rng: np.random.Generator, height_deg: float, knots: int) -> np.ndarray:
    """Elevation of a ridge line [SKY_COLUMNS], degrees above the horizon, periodic."""
    values = rng.uniform(0.1, 1.0, knots) * height_deg
    position = np.linspace(0.0, knots, SKY_COLUMNS, endpoint=False)
    return np.interp(position, np.arange(knots + 1), np.append(values, values[0]))
