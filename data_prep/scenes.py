"""A nuScenes root, opened by the devkit: tables, CAN bus, maps, splits.

`Root` opens everything once and is shared by all workers. A missing part raises a UserError that names the file and the
remedy.
"""

import json
import threading
from pathlib import Path

from nuscenes.can_bus.can_bus_api import NuScenesCanBus
from nuscenes.map_expansion.map_api import NuScenesMap
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.splits import create_splits_scenes

from data_prep import map_lines
from data_prep.nuscenes_schema import TABLES
from dima_jax.errors import UserError

# The devkit's predefined splits by the ending of the version; any other set brings a `splits.json` (see `splits`).
PREDEFINED = {
    "trainval": {"train": "train", "val": "val"},
    "mini": {"train": "mini_train", "val": "mini_val"},
    "test": {"test": "test"},
}


class Root:
    """An opened nuScenes data set. Raises UserError when the folder, a table, a map or the CAN bus is missing."""

    def __init__(self, dataroot: str, version: str):
        self.path = Path(dataroot)
        self.version = version
        _require_files(self.path, version)
        self.tables = NuScenes(version=version, dataroot=str(self.path), verbose=False)
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
            named = _read_json(path)
            names = {split.rsplit("_", 1)[-1]: scenes for split, scenes in named.items()}
            if len(names) < len(named):
                raise UserError(f"{path}: two of {sorted(named)} have the same ending; one name for each split")
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
        """The key frames of a scene in order of time."""
        samples = []
        token = scene["first_sample_token"]
        while token:
            samples.append(self.tables.get("sample", token))
            token = samples[-1]["next"]
        return samples

    def map_layers(self, location: str) -> dict:
        """The layers of `map_lines.read_layers` for a nuScenes location, read once."""
        with self._lock:
            if location not in self._maps:
                path = self.path / "maps" / "expansion" / f"{location}.json"
                if not path.is_file():
                    raise UserError(f"{path}: missing; unpack the nuScenes map expansion v1.3 into {self.path}/maps")
                self._maps[location] = map_lines.read_layers(NuScenesMap(str(self.path), location))
            return self._maps[location]

    def can_messages(self, scene: dict, kind: str) -> list[dict] | None:
        """CAN messages of a scene in order of time; None for the few scenes nuScenes recorded none for."""
        path = self.path / "can_bus" / f"{scene['name']}_{kind}.json"
        if int(scene["name"][-4:]) in self._can.can_blacklist or not path.is_file():
            return None
        return self._can.get_messages(scene["name"], kind, print_warnings=False)


def _require_files(path: Path, version: str) -> None:
    """Raises UserError for the missing parts that the devkit would report by a bare assertion."""
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; --dataroot is the folder that holds samples/, maps/ and {version}/")
    tables = path / version
    if not tables.is_dir():
        have = sorted(p.parent.name for p in path.glob("*/scene.json"))
        raise UserError(f"{tables}: no such folder; --version should be one of {have or 'the folders with scene.json'}")
    for name in TABLES:
        if not (tables / f"{name}.json").is_file():
            raise UserError(f"{tables}/{name}.json: missing table; unpack the nuScenes metadata of {version} again")
    for row in _read_json(tables / "map.json"):
        if not (path / row["filename"]).is_file():
            raise UserError(
                f"{path / row['filename']}: missing map image; unpack the nuScenes metadata of {version} again"
            )
    if not (path / "can_bus").is_dir():
        raise UserError(f"{path}/can_bus: no such folder; unpack the nuScenes CAN bus expansion into {path}")


def _read_json(path: Path):
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); unpack or write it again") from None
