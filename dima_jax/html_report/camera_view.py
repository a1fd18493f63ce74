"""What lies over a camera's picture: boxes, map lines and tags as a drawing, in pixels of the recorded image."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from markupsafe import Markup

from dima_jax.camera_lines import EDGES, project
from dima_jax.categories import CLASS_OF_CATEGORY
from dima_jax.constants import MAP_CLASSES
from dima_jax.html_report import svg
from dima_jax.html_report.bev import SMALL

FARTHEST = 60.0  # meters of what is drawn


class Scene(NamedTuple):
    """What a key frame holds, LiDAR frame, meters.

    corners: of boxes, floor then roof, each from the front left around; kinds: nuScenes' categories; points: of the LiDAR
    in each box; lines: of the map, on the ground; labels: index in MAP_CLASSES.
    """

    corners: Float[np.ndarray, "n 8 3"]
    kinds: list[str]
    points: Int[np.ndarray, " n"]
    lines: list[Float[np.ndarray, "m 3"]]
    labels: Int[np.ndarray, " lines"]


class Mark(NamedTuple):
    """A tag at a pixel of the recorded image."""

    name: str
    x: float
    y: float


def draw(
    scene: Scene, lidar2img: Float[np.ndarray, "4 4"], size: tuple[int, int], marks: list[Mark], title: str
) -> Markup:
    """The drawing of one camera. size: width and height of the recorded image."""
    parts = []
    for points, label in zip(scene.lines, scene.labels.tolist(), strict=True):
        path = _path(np.stack([points[:-1], points[1:]], axis=1), lidar2img, size)
        if path:
            parts.append(svg.element("path", d=path, class_=f"line {MAP_CLASSES[label].replace('_', '-')}"))
    center = scene.corners.mean(axis=1)
    distance = np.linalg.norm(center[:, :2], axis=1)
    for i in np.argsort(-distance):
        if distance[i] > FARTHEST:
            continue
        corners = scene.corners[i]
        ahead = np.stack([corners[:4].mean(axis=0), corners[:2].mean(axis=0)])
        if path := _path(np.concatenate([corners[EDGES], ahead[None]]), lidar2img, size):
            told = f"{_kind(scene.kinds[i])}, {distance[i]:.0f} m"
            class_ = f"box {_class(scene.kinds[i])}{'' if scene.points[i] else ' unhit'}"
            parts.append(svg.element("path", svg.element("title", told), d=path, class_=class_))
    radius = size[0] / 80
    for mark in marks:
        x, y = svg.number(mark.x), svg.number(mark.y)
        parts.append(
            svg.element("circle", svg.element("title", mark.name), cx=x, cy=y, r=svg.number(radius), class_="tag")
        )
        parts.append(svg.text(mark.x + 1.3 * radius, mark.y, mark.name, "tag", font_size=svg.number(2.2 * radius)))
    return svg.picture((0, 0, *size), title, *parts, class_="overlay")


def _kind(category: str) -> str:
    return CLASS_OF_CATEGORY.get(category, category.rpartition(".")[2]).replace("_", " ")


def _class(category: str) -> str:
    return "small" if _kind(category) in SMALL else "vehicle" if category.startswith("vehicle.") else "thing"


def _path(segments: Float[np.ndarray, "n 2 3"], matrix: Float[np.ndarray, "4 4"], size: tuple[int, int]) -> str:
    """Segments as a path of lines, cut where they pass behind the camera; without those beside the image."""
    pixels = project(segments, matrix)
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    shown = pixels[(high > 0).all(axis=1) & (low < np.array(size)).all(axis=1)]
    return "".join(f"M{a:.1f},{b:.1f}L{c:.1f},{d:.1f}" for (a, b), (c, d) in shown.tolist())
