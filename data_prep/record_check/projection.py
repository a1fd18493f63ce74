"""Calibrations: where cameras look, and whether what was labeled and mapped comes to lie in the images.

LiDAR frame: x right, y forward, z up; meters. Camera frame: x right, y down, z forward.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from data_prep import jpeg
from data_prep.record_check import rules
from data_prep.record_check.rules import Rule
from dima_jax.constants import CAMERA_YAWS_DEG, CAMERAS
from dima_jax.data import transforms

YAWS = dict(zip(CAMERAS, CAMERA_YAWS_DEG, strict=True))  # degrees to the left of forward
MAX_YAW = 20.0  # degrees from that; those of nuScenes' cars differ by two
MAX_TILT = 0.7  # cosine, about 45 degrees
MAX_MOUNT = 15.0  # meters from the LiDAR; trucks and buses are long
NEAR = 0.3  # meters of depth
RIGID = 1e-6  # tolerance of a rotation matrix
BOX_RANGE, MAP_RANGE = (5.0, 50.0), (10.0, 30.0)  # meters from the LiDAR: what cameras of a car see
FULL = 0.99  # of a circle: cameras that together see so much see everything
# Of a frame's points, the share in an image by cameras that see everything, and how many tell: in the worst of nuScenes'
# 81 key frames of mini_val 96 % of 56 boxes are.
SHARE, FEWEST = 0.8, 5
SCENE_SHARE, SCENE_FEWEST = 0.6, 50  # of what other cameras should see of a scene; points that tell


class Rig(NamedTuple):
    """The cameras of a key frame. lidar2img: to pixels of the recorded images; sizes: their width and height."""

    names: tuple[str, ...]
    lidar2img: Float[np.ndarray, "N 4 4"]
    sizes: Float[np.ndarray, "N 2"]
    coverage: float  # of the circle, as a share, by the widths of the images alone


class Seen(NamedTuple):
    """How many points there are that the cameras should see, and how many are in an image."""

    points: int
    inside: int


def camera_names(frame: dict) -> tuple[str, ...]:
    """The cameras of a key frame in the order of its images: the one place where checks of records ask for names."""
    return tuple(frame["cameras"]["names"])


def are_rigid(poses: Float[np.ndarray, "n 4 4"]) -> Bool[np.ndarray, " n"]:
    """Whether matrices are finite and rotate without mirroring."""
    rotation = poses[:, :3, :3]
    error = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    with np.errstate(invalid="ignore"):
        return np.isfinite(poses).all(axis=(1, 2)) & (error <= RIGID) & (np.linalg.det(rotation) > 0)


def rig(frame: dict) -> Rig:
    """Of a key frame. An image that is no JPEG file has size 0; a camera whose pose is not rigid sees nothing (NaN)."""
    cameras = frame["cameras"]
    sizes = np.array([(jpeg.shape(data) or (0, 0))[::-1] for data in cameras["images"]], np.float64).reshape(-1, 2)
    angles = 2 * np.arctan2(sizes[:, 0] / 2, cameras["intrinsics"][:, 0, 0])
    rigid = are_rigid(cameras["sensor2lidar"])[:, None, None]
    matrices = transforms.lidar2img(
        cameras["intrinsics"], np.where(rigid, cameras["sensor2lidar"], np.eye(4)), np.ones(len(rigid))
    )
    matrices = np.where(rigid, matrices, np.nan)
    return Rig(camera_names(frame), matrices, sizes, min(float(angles.sum()) / (2 * np.pi), 1.0))


def project(
    points: Float[np.ndarray, "n 3"], lidar2img: Float[np.ndarray, "N 4 4"]
) -> tuple[Float[np.ndarray, "N n 2"], Float[np.ndarray, "N n"]]:
    """Pixels and depth in meters of LiDAR points in every camera; pixels count where the depth is more than NEAR."""
    found = points @ lidar2img[:, :3, :3].transpose(0, 2, 1) + lidar2img[:, None, :3, 3]
    depth = found[..., 2]
    return found[..., :2] / np.maximum(depth, NEAR)[..., None], depth


def inside(rig: Rig, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, "N n"]:
    """Whether LiDAR points are in a camera's image."""
    pixels, depth = project(points, rig.lidar2img)
    return (depth > NEAR) & (pixels > 0).all(axis=-1) & (pixels < rig.sizes[:, None]).all(axis=-1)


def camera_problems(frame: dict) -> Iterator[tuple[Rule, str]]:
    """Cameras that cannot be mounted as their calibration says."""
    for name, pose in zip(camera_names(frame), frame["cameras"]["sensor2lidar"], strict=True):
        (x, y, _), down = pose[:3, 2], pose[2, 1]
        distance = float(np.linalg.norm(pose[:3, 3]))
        if distance > MAX_MOUNT:
            yield rules.UPRIGHT, f"{name} is {distance:.0f} m from the LiDAR"
        if down > -MAX_TILT:
            yield (
                rules.UPRIGHT,
                f"{name} does not stand upright: its images' lower edge points to {_words(pose[:3, 1])}",
            )
        elif name in YAWS:
            yaw = float(np.degrees(np.arctan2(-x, y)))
            if abs((yaw - YAWS[name] + 180) % 360 - 180) > MAX_YAW:
                yield rules.UPRIGHT, f"{name} looks {yaw:.0f} degrees to the left of forward, not {YAWS[name]:.0f}"


def _words(direction: Float[np.ndarray, "3"]) -> str:
    axis = int(np.abs(direction).argmax())
    return (("the left", "the right"), ("the rear", "the front"), ("the ground", "the sky"))[axis][
        int(direction[axis] > 0)
    ]


def seen(frame: dict, rig: Rig) -> dict[str, Seen]:
    """The boxes with LiDAR points in BOX_RANGE by their centers, and the map's vertices in MAP_RANGE on the ground plane; {}
    without cameras.
    """
    if not rig.names:
        return {}
    agents = frame["agents"]
    hit = np.asarray(agents["num_lidar_pts"]) > 0
    flat = frame["map"]["vertices"].astype(np.float64)
    ground = np.concatenate([flat, np.full((len(flat), 1), -frame["lidar2ego"][2, 3])], axis=1)
    groups = {
        "boxes with LiDAR points": _between(agents["boxes"][hit, :3].astype(np.float64), BOX_RANGE),
        "points of map lines": _between(ground, MAP_RANGE),
    }
    some = inside(rig, np.concatenate(list(groups.values()))).any(axis=0)
    split = np.split(some, [len(points) for points in groups.values()][:-1])
    return {name: Seen(len(one), int(one.sum())) for name, one in zip(groups, split, strict=True)}


def _between(points: Float[np.ndarray, "n 3"], limits: tuple[float, float]) -> Float[np.ndarray, "m 3"]:
    distance = np.hypot(points[:, 0], points[:, 1])
    return points[(distance >= limits[0]) & (distance <= limits[1])]


def frame_problems(found: dict[str, Seen], rig: Rig) -> Iterator[tuple[Rule, str]]:
    """What of a key frame lies in too few images; nothing where the cameras leave gaps."""
    for name, (points, hits) in found.items():
        if rig.coverage >= FULL and points >= FEWEST and hits < SHARE * points:
            yield rules.SEEN, f"{hits} of {points} {name} are in an image"


def scene_problems(found: dict[str, Seen], coverage: float) -> Iterator[tuple[Rule, str]]:
    """The same of a whole scene whose cameras see a share of the circle."""
    for name, (points, hits) in found.items():
        if coverage < FULL and points >= SCENE_FEWEST and hits < SCENE_SHARE * coverage * points:
            yield rules.SEEN, f"{hits} of all {points} {name} are in an image"
