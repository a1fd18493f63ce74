"""The tables of a nuScenes root as far as records are made of them, opened by the devkit after `root_check` found them whole.

Of the rows of `sample_data` and `ego_pose`, of which trainval has 2.6 million each, only key frames of the cameras and of the
LiDAR are kept: one in twelve.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from nuscenes.nuscenes import NuScenes

from data_prep.nuscenes_schema import CAMERA, LIDAR, TABLES
from data_prep.root_check.reading import REMEDY, batches, read_json

OF_SCENES = (
    "sample",
    "sample_annotation",
    "instance",
    "sample_data",
    "ego_pose",
)  # one scene's rows each, in this order
SHARED = tuple(name for name in TABLES if name not in OF_SCENES)


class Tables(NuScenes):
    """The devkit's 13 tables and the indices over them, without what no record is made of (lidarseg, map images)."""

    def __init__(self, root: Path, version: str, rows: Mapping[str, list[dict]]):
        """rows: by table; a table that is not named is empty."""
        self.version, self.dataroot, self.verbose = version, str(root), False
        self.table_names = list(TABLES)
        for name in TABLES:
            setattr(self, name, rows.get(name, []))
        if not self.map:  # the devkit wants a map for every log
            self.map = [{"token": "", "filename": "", "category": "", "log_tokens": [row["token"] for row in self.log]}]
        self.__make_reverse_index__(verbose=False)


def read(root: Path, version: str) -> Tables:
    """The key frames of all scenes."""
    rows = shared(root / version) | {name: [] for name in OF_SCENES}
    for name, found, _ in of_scenes(root / version):
        rows[name] += found
    return Tables(root, version, rows)


def outline(root: Path, version: str) -> Tables:
    """Scenes and their samples, without what is in them."""
    return Tables(root, version, shared(root / version) | {"sample": read_json(root / version / "sample.json", REMEDY)})


def shared(folder: Path) -> dict[str, list[dict]]:
    """{table: rows} of the tables that scenes share."""
    return {name: read_json(folder / f"{name}.json", REMEDY) for name in SHARED}


def of_scenes(folder: Path) -> Iterator[tuple[str, list[dict], list[str]]]:
    """(table, some of its rows, the token of each row's scene) of the tables of OF_SCENES, each in the order of its file.

    Never more than some thousand rows at once.
    """
    sensors = {row["token"]: row for row in read_json(folder / "sensor.json", REMEDY)}
    used = {
        row["token"]
        for row in read_json(folder / "calibrated_sensor.json", REMEDY)
        if (sensor := sensors[row["sensor_token"]])["modality"] == CAMERA or sensor["channel"] == LIDAR
    }
    of_sample: dict[str, str] = {}
    of_instance: dict[str, str] = {}
    of_pose: dict[str, str] = {}

    def scene_of(name: str, row: dict) -> str | None:
        """Also keeps what the tables after this one are found by. None for a row that no record is made of."""
        match name:
            case "sample":
                return of_sample.setdefault(row["token"], row["scene_token"])
            case "sample_annotation":
                return of_instance.setdefault(row["instance_token"], of_sample[row["sample_token"]])
            case "instance":
                return of_instance.get(row["token"])
            case "sample_data":
                if not row["is_key_frame"] or row["calibrated_sensor_token"] not in used:
                    return None
                return of_pose.setdefault(row["ego_pose_token"], of_sample[row["sample_token"]])
            case "ego_pose":
                return of_pose.get(row["token"])

    for name in OF_SCENES:
        for batch in batches(folder / f"{name}.json"):
            kept = [(row, scene) for row in batch if (scene := scene_of(name, row)) is not None]
            if kept:
                rows, scenes = zip(*kept, strict=True)
                yield name, list(rows), list(scenes)
