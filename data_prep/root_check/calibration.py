"""Cameras have intrinsics that fit their images, and a sensor is mounted in one place while a scene lasts."""

from collections.abc import Iterator

import numpy as np

from data_prep.nuscenes_schema import CAMERA
from data_prep.root_check.problems import ERROR, NOTE, SKIP, Rows
from data_prep.root_check.schema import Table
from dima_jax.categories import ATTRIBUTES, LIDARSEG_CATEGORIES

# What an attribute is of: the first part of its name to the beginnings of such categories' names.
BEARERS = {
    "vehicle": ("vehicle.",),
    "cycle": ("vehicle.bicycle", "vehicle.motorcycle"),
    "pedestrian": ("human.", "animal"),
}


def problems(tables: dict[str, Table], key: np.ndarray) -> Iterator[Rows]:
    """key: of `times.key_rows`, complete."""
    data, mounts = tables["sample_data"], tables["calibrated_sensor"]
    mount = data.links["calibrated_sensor_token"][key]
    cameras, of_cameras = key[:, :-1].ravel(), mount[:, :-1].ravel()
    matrix = mounts["camera_intrinsic"][of_cameras]
    lacking = np.unique(of_cameras[np.isnan(matrix[:, 0, 0])])
    yield Rows(
        ERROR, "calibrated_sensor", "a camera has intrinsics", lacking,
        lambda row, _: "is a camera's and has no camera_intrinsic",
    )  # fmt: skip
    width, height = data["width"][cameras], data["height"][cameras]
    x, y = matrix[:, 0, 2], matrix[:, 1, 2]
    outside = ~((x > 0) & (x < width) & (y > 0) & (y < height)) & ~np.isnan(x)

    def detail(row: dict, i: int) -> str:
        center = mounts["camera_intrinsic"][data.links["calibrated_sensor_token"][i]][:2, 2].tolist()
        return f"height and width are {row['height']} and {row['width']}, outside of which its camera's center {center} lies"

    yield Rows(ERROR, "sample_data", "the image holds its camera's center", np.sort(cameras[outside]), detail)
    yield _unnamed(tables)
    yield _moved(tables, key, mount)


def _unnamed(tables: dict[str, Table]) -> Rows:
    """Calibrations of a camera whose sensor is said to be none: its images would be left out."""
    sensors, mounts = tables["sensor"].rows, tables["calibrated_sensor"]
    is_camera = np.array([row["modality"] == CAMERA for row in sensors], bool)[mounts.links["sensor_token"]]
    odd = np.flatnonzero(~np.isnan(mounts["camera_intrinsic"][:, 0, 0]) & ~is_camera)
    return Rows(
        ERROR, "calibrated_sensor", "what has intrinsics is a camera", odd,
        lambda row, _: f"has camera_intrinsic, but its sensor's modality is not {CAMERA!r}",
    )  # fmt: skip


def _moved(tables: dict[str, Table], key: np.ndarray, mount: np.ndarray) -> Rows:
    """Key rows with another calibration than the first of their scene and channel."""
    scene = tables["sample"].links["scene_token"]
    _, first = np.unique(scene, return_index=True)
    of_scene = np.full((tables["scene"].count, key.shape[1]), -1)
    of_scene[scene[first]] = mount[first]
    return Rows(
        SKIP, "sample_data", "a sensor has one calibration in a scene", np.sort(key[mount != of_scene[scene]]),
        lambda row, _: f"calibrated_sensor_token is {row['calibrated_sensor_token']!r}, not that of its scene's first key frame",
    )  # fmt: skip


def names(tables: dict[str, Table]) -> Iterator[Rows]:
    """Categories that no class is made of, and attributes of another kind of object."""
    rows = tables["category"].rows
    unknown = np.array([i for i, row in enumerate(rows) if row["name"] not in LIDARSEG_CATEGORIES], np.int64)
    category, annotation = tables["instance"].links["category_token"], tables["sample_annotation"]
    of_annotation = category[annotation.links["instance_token"]]
    count = np.bincount(of_annotation, minlength=len(rows))
    yield Rows(
        SKIP, "category", "a category is one of nuScenes'; others are no agents", unknown,
        lambda row, i: f"name is {row['name']!r}, which nuScenes does not have; {count[i]} annotations are no agents",
        "rename the category in category.json",
    )  # fmt: skip
    unknown = np.array([i for i, row in enumerate(tables["attribute"].rows) if row["name"] not in ATTRIBUTES], np.int64)
    yield Rows(
        SKIP, "attribute", "an attribute is one of nuScenes'; others are left out", unknown,
        lambda row, _: f"name is {row['name']!r}, which nuScenes does not have", "rename it in attribute.json",
    )  # fmt: skip
    owners, _ = annotation.lists["attribute_tokens"]
    attribute = annotation.links["attribute_tokens"]
    fits = np.array([[_fits(a["name"], c["name"]) for c in rows] for a in tables["attribute"].rows], bool)
    odd = np.unique(owners[~fits.reshape(tables["attribute"].count, len(rows))[attribute, of_annotation[owners]]])
    yield Rows(
        NOTE, "sample_annotation", "an attribute is of its object's category", odd,
        lambda row, i: f"has an attribute that a {rows[of_annotation[i]]['name']} cannot have",
        "correct category_token in instance.json, or attribute_tokens",
    )  # fmt: skip


def _fits(attribute: str, category: str) -> bool:
    bearers = BEARERS.get(attribute.split(".")[0])
    return bearers is None or category not in LIDARSEG_CATEGORIES or category.startswith(bearers)
