"""The tables of a nuScenes root, opened by the devkit after `root_check` found them whole."""

from pathlib import Path

from nuscenes.nuscenes import NuScenes

from data_prep.nuscenes_schema import TABLES
from data_prep.root_check.reading import REMEDY, read_json


class Tables(NuScenes):
    """The devkit's 13 tables and the indices over them, without what no record is made of (lidarseg, map images)."""

    def __init__(self, root: Path, version: str):
        self.version, self.dataroot, self.verbose = version, str(root), False
        self.table_names = list(TABLES)
        for name in TABLES:
            setattr(self, name, read_json(root / version / f"{name}.json", REMEDY))
        if not self.map:  # the devkit wants a map for every log
            self.map = [{"token": "", "filename": "", "category": "", "log_tokens": [row["token"] for row in self.log]}]
        self.__make_reverse_index__(verbose=False)
