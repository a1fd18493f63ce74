"""A nuScenes root, opened by the devkit: tables, CAN bus, maps, splits.

`Root` opens everything once and is shared by all workers. A missing part raises a UserError that names the file and the
remedy.
"""

import itertools
import math
import re
import threading
from pathlib import Path

from nuscenes.can_bus.can_bus_api import NuScenesCanBus
from nuscenes.utils.splits import create_splits_scenes

from data_prep import map_files, tables
from data_prep.nuscenes_schema import TABLES
from dima_jax.errors import UserError

# The devkit's predefined splits by the ending of the version; any other set brings a `splits.json` (see `splits`).
PREDEFINED = {
    "trainval": {"train": "train", "val": "val"},
    "mini": {"train": "mini_train", "val": "mini_val"},
    "test": {"test": "test"},
}
SPLIT_NAME = re.compile(r"[A-Za-z0-9]+")  # of the last part of a split's name, which becomes part of file names
CAN_FIELDS = {  # {kind of message: {field: how many numbers}}
    "pose": {"accel": 3, "orientation": 4, "pos": 3, "rotation_rate": 3, "vel": 3},
    "steeranglefeedback": {"value": 1},
}
CAN_REMEDY = "unpack the nuScenes CAN bus expansion again"


class Root:
    """An opened nuScenes data set. Raises UserError when the folder, a table, a map or the CAN bus is missing."""

    def __init__(self, dataroot: str, version: str):
        self.path = Path(dataroot)
        self.version = version
        _require_files(self.path, version)
        self.tables = tables.Tables(self.path, version)
        self._can = NuScenesCanBus(dataroot=str(self.path))
        self._maps: dict[str, dict] = {}
        self._lock = threading.Lock()

    def splits(self) -> dict[str, list[dict]]:
        """{split: scene rows}, from `<version>/splits.json` if it exists, else from nuScenes' own lists.

        Raises UserError for a splits.json that does not fit scene.json, and for a version without splits.
        """
        by_name = {scene["name"]: scene for scene in self.tables.scene}
        path = self.path / self.version / "splits.json"
        if path.is_file():
            # the devkit reserves "train" and "val" for nuScenes' own lists; others have names like "mine_train"
            named = tables.read_json(path, "write it again")
            if not isinstance(named, dict) or not all(
                isinstance(names, list) and all(isinstance(name, str) for name in names) for names in named.values()
            ):
                raise UserError(f"{path}: not splits and their lists of scene names; write it again")
            names = {split.rsplit("_", 1)[-1]: scenes for split, scenes in named.items()}
            if len(names) < len(named):
                raise UserError(f"{path}: two of {sorted(named)} have the same ending; one name for each split")
            if bad := [split for split in names if not SPLIT_NAME.fullmatch(split)]:
                raise UserError(f"{path}: split {bad[0]!r}: the part after the last _ must be of letters and digits")
            unknown = [name for scenes in names.values() for name in scenes if name not in by_name]
            if unknown:
                raise UserError(f"{path}: scene {unknown[0]} is not in scene.json; correct one of the two files")
        else:
            ending = self.version.rsplit("-", 1)[-1]
            if ending not in PREDEFINED:
                raise UserError(
                    f"{path}: missing, and version {self.version} has no predefined splits; write this file"
                )
            official = create_splits_scenes()
            names = {split: official[name] for split, name in PREDEFINED[ending].items()}
        found = {
            split: [by_name[name] for name in sorted(scenes) if name in by_name] for split, scenes in names.items()
        }
        if not any(found.values()):
            raise UserError(
                f"{self.path}/{self.version}: none of its scenes is in a split; add splits.json beside the tables"
            )
        return {split: scenes for split, scenes in found.items() if scenes}

    def samples(self, scene: dict) -> list[dict]:
        """The key frames of a scene in order of time. UserError unless they are that, and as many as the scene says."""
        samples = []
        token = scene["first_sample_token"]
        while token and len(samples) <= scene["nbr_samples"]:
            samples.append(self.tables.get("sample", token))
            token = samples[-1]["next"]
        if len(samples) != scene["nbr_samples"] or any(row["scene_token"] != scene["token"] for row in samples):
            raise UserError(
                f"{self.path / self.version}/sample.json: the key frames of {scene['name']} are not the "
                f"{scene['nbr_samples']} of scene.json; {tables.REMEDY}"
            )
        for before, row in itertools.pairwise(samples):
            if row["timestamp"] <= before["timestamp"]:
                raise UserError(
                    f"{self.path / self.version}/sample.json: {row['token']} of {scene['name']} is not later than the key "
                    f"frame before it; {tables.REMEDY}"
                )
        return samples

    def map_layers(self, location: str) -> dict:
        """The layers of `map_lines.read_layers` for a nuScenes location, read once."""
        with self._lock:
            if location not in self._maps:
                self._maps[location] = map_files.read_layers(self.path, location)
            return self._maps[location]

    def can_messages(self, scene: dict, kind: str) -> list[dict] | None:
        """CAN messages of a scene in order of time; None for the few scenes nuScenes recorded none for.

        kind: of CAN_FIELDS. Raises UserError for a file that is cut or a message that lacks a number.
        """
        path = self.path / "can_bus" / f"{scene['name']}_{kind}.json"
        number = scene["name"].removeprefix("scene-")
        if (number.isdecimal() and int(number) in self._can.can_blacklist) or not path.is_file():
            return None
        messages = tables.read_json(path, CAN_REMEDY)
        if not isinstance(messages, list):
            raise UserError(f"{path}: no list of messages; {CAN_REMEDY}")
        for i, message in enumerate(messages):
            if not _is_message(message, CAN_FIELDS[kind]):
                raise UserError(f"{path}: message {i} is no whole {kind} message; {CAN_REMEDY}")
        return messages


def _is_message(message, fields: dict[str, int]) -> bool:
    """Whether it holds its time and exactly these fields, each of so many finite numbers."""
    if not isinstance(message, dict) or set(message) != {"utime", *fields} or type(message["utime"]) is not int:
        return False
    for field, count in fields.items():
        numbers = message[field] if isinstance(message[field], list) else [message[field]]
        if len(numbers) != count or not all(type(n) in tables.NUMBER and math.isfinite(n) for n in numbers):
            return False
    return True


def _require_files(path: Path, version: str) -> None:
    """Raises UserError for the missing parts that the devkit would report by a bare assertion."""
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; --dataroot is the folder that holds samples/, maps/ and {version}/")
    folder = path / version
    if not folder.is_dir():
        have = sorted(p.parent.name for p in path.glob("*/scene.json"))
        raise UserError(f"{folder}: no such folder; --version should be one of {have or 'the folders with scene.json'}")
    for name in TABLES:
        if not (folder / f"{name}.json").is_file():
            raise UserError(f"{folder}/{name}.json: missing table; unpack the nuScenes metadata of {version} again")
    for row in tables.read_table(folder, "map"):
        if not (path / row["filename"]).is_file():
            raise UserError(
                f"{path / row['filename']}: missing map image; unpack the nuScenes metadata of {version} again"
            )
    if not (path / "can_bus").is_dir():
        raise UserError(f"{path}/can_bus: no such folder; unpack the nuScenes CAN bus expansion into {path}")
