"""The files that the tables name: images are there, and their names agree with the rows that name them."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_prep.root_check.problems import ERROR, NOTE, SKIP, Files, Rows
from data_prep.root_check.schema import Table, repeated
from data_prep.root_check.times import rig
from dima_jax.constants import CAMERAS

IMAGES = "unpack the nuScenes file blobs again"
CORRECT = "correct filename in sample_data.json"
NAME = re.compile(r"(?P<log>.+)__(?P<channel>\w+)__(?P<time>\d{15,17})(?:\.\w+)+")  # of a file of nuScenes


def problems(root: Path, tables: dict[str, Table], key: np.ndarray, used: set[str]) -> Iterator[Rows | Files]:
    """key: of `times.key_rows`, complete; used: the names of the scenes that are built."""
    cameras = key[:, :-1].ravel()
    is_used = np.array([row["name"] in used for row in tables["scene"].rows])
    is_built = np.repeat(is_used[tables["sample"].links["scene_token"]], key.shape[1] - 1)
    names = [tables["sample_data"].key_files[i] for i in cameras.tolist()]
    there = {folder: _listing(root / folder) for folder in {os.path.dirname(name) for name in names}}
    is_missing = np.array([os.path.basename(name) not in there[os.path.dirname(name)] for name in names], bool)
    yield Rows(
        ERROR, "sample_data", "the images of key frames are there", cameras[is_missing & is_built],
        lambda row, _: f"missing image {root / row['filename']}", IMAGES,
    )  # fmt: skip
    others = int((is_missing & ~is_built).sum())
    lines = [f"{root}/samples: {others} images of key frames of scenes that are not built are missing"][
        : min(others, 1)
    ]
    yield Files(NOTE, f"{root}/samples", "images of scenes that are not built", lines, "none is needed")
    twice = np.sort(cameras[repeated(tables["sample_data"]["filename"][cameras])])
    yield Rows(
        SKIP, "sample_data", "two key rows name the same image", twice,
        lambda row, _: f"another row has the filename {row['filename']} as well", CORRECT,
    )  # fmt: skip
    yield from _names(tables, key)
    images = [row["filename"] for row in tables["map"].rows]
    lines = [f"{root / name}: missing map image" for name in images if not (root / name).is_file()]
    yield Files(NOTE, str(tables["map"].path), "map images, which nothing is made of", lines, "none is needed")


def _listing(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:
        return set()


def _names(tables: dict[str, Table], key: np.ndarray) -> Iterator[Rows]:
    """Where files are named as nuScenes names them: the log, the channel and the time of the name are the row's."""
    data, sample = tables["sample_data"], tables["sample"]
    scene_of = sample.links["scene_token"]
    logs = [tables["log"].rows[i].get("logfile") for i in tables["scene"].links["log_token"].tolist()]
    times, channels = data["timestamp"][key], rig(tables)
    reasons: dict[int, str] = {}
    for at, row in np.ndenumerate(key):
        name = data.key_files[int(row)]
        folder, _, base = name.rpartition("/")
        channel = channels[at[1]]
        place = folder.rpartition("/")[2]
        parts = NAME.fullmatch(base)
        if (place in {*channels, *CAMERAS} and place != channel) or (parts and parts["channel"] != channel):
            reasons[int(row)] = f"filename {name} is of another sensor than {channel}"
        elif parts and int(parts["time"]) != times[at]:
            reasons[int(row)] = f"filename {name} is of another time than {times[at]}"
        elif parts and logs[scene_of[at[0]]] not in (None, parts["log"]):
            reasons[int(row)] = f"filename {name} is of another log than {logs[scene_of[at[0]]]}"
    yield Rows(
        SKIP, "sample_data", "a file's name agrees with its row", np.array(sorted(reasons), np.int64),
        lambda row, i: reasons[i], CORRECT,
    )  # fmt: skip
