"""A nuScenes root, opened by the devkit: tables, CAN bus, maps, splits."""

import copy
import threading
from pathlib import Path

from data_prep import map_files, tables
from data_prep.root_check import can_bus, checking, maps, splits


class Root:
    """An opened nuScenes data set.

    opened: those of its tables that `root_check` passed already. Without, all are checked and read here; UserError where they,
    and later where a map or a file of the CAN bus, are not whole.
    """

    def __init__(self, dataroot: str, version: str, opened: tables.Tables | None = None):
        self.path = Path(dataroot)
        self.version = version
        if opened is None:
            checking.check_tables(dataroot, version).refuse()
        self.tables = tables.read(self.path, version) if opened is None else opened
        self._maps: dict[str, dict] = {}
        self._lock = threading.Lock()

    def with_tables(self, opened: tables.Tables) -> "Root":
        """The same root with other tables, those of one scene say; the maps are shared."""
        other = copy.copy(self)
        other.tables = opened
        return other

    def splits(self) -> dict[str, list[dict]]:
        """{split: scene rows in the order of their names}. UserError as `root_check.splits.scenes` raises it."""
        by_name = {scene["name"]: scene for scene in self.tables.scene}
        found = splits.scenes(self.path / self.version, set(by_name))
        return {split: [by_name[name] for name in names] for split, names in found.items()}

    def samples(self, scene: dict) -> list[dict]:
        """The key frames of a scene in order of time."""
        samples, token = [], scene["first_sample_token"]
        while token:
            samples.append(self.tables.get("sample", token))
            token = samples[-1]["next"]
        return samples

    def map_layers(self, location: str) -> dict:
        """The layers of `map_lines.read_layers` for a location, read once; none for a root without maps."""
        with self._lock:
            if location not in self._maps:
                self._maps[location] = map_files.read_layers(self.path, location) if maps.are_there(self.path) else {}
            return self._maps[location]

    def excludes_can_bus(self, scene: dict) -> bool:
        """Whether nuScenes recorded no usable CAN bus for this scene of its own."""
        return can_bus.is_excluded(self.path, scene["name"])

    def can_messages(self, scene: dict, kind: str) -> list[dict] | None:
        """CAN messages of a scene as `root_check.can_bus.read` gives them; None for a scene without.

        kind: of `root_check.can_bus.FIELDS`.
        """
        path = can_bus.file_of(self.path, scene["name"], kind)
        if self.excludes_can_bus(scene) or not path.is_file():
            return None
        return can_bus.read(path, kind)
