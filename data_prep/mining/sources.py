"""Truths to mine: of records, and of the tables of a nuScenes root."""

import numpy as np

from data_prep import truth_maps, truth_tables
from data_prep.key_frames import KeyFrames
from data_prep.root_check import maps
from data_prep.scenes import Root
from dima_jax import commit, progress
from dima_jax.data import truth_arrays
from dima_jax.data.records import Records
from dima_jax.errors import UserError
from dima_jax.scoring import truth
from dima_jax.scoring.recorded import Truth

NO_LINES = {"vertices": np.zeros((0, 2)), "lengths": np.zeros(0, np.int64), "labels": np.zeros(0, np.int64)}


def of_records(folder: str, split: str) -> Truth:
    """UserError for records that are missing or damaged. Without a map."""
    return truth.made(*truth_arrays.arrays(Records(folder, split)))


def of_root(dataroot: str, version: str, split: str) -> Truth:
    """The tables alone: no image is needed, nor the CAN bus. With the map of every place whose map expansion is there.

    UserError for a root that `root_check` refuses, and for a split that it has not.
    """
    root = Root(dataroot, version)
    scenes = root.splits()
    if not scenes.get(split):
        raise UserError(f"{root.path / version}: no scene of split {split!r}; it has {sorted(scenes)}")
    frames = []
    for scene in progress.each(scenes[split], len(scenes[split]), "scene", name=f"tables, {split}"):
        keys = KeyFrames(root, scene)
        keys.messages = keys.steering = None  # no rule reads the CAN bus
        frames += [keys.numbers(i) | {"map": NO_LINES} for i in range(len(keys))]
    arrays = truth_arrays.of_frames(frames)
    if all(maps.file_of(root.path, place).is_file() for place in arrays["location_names"].tolist()):
        arrays |= truth_maps.areas(arrays, root)
        arrays |= truth_tables.lights(arrays, root)
    source = {"kind": "tables", "files": [version]}
    header = {
        "split": split,
        "source": source,
        "commit": commit.describe(),
        "data_hash": truth.token_hash(arrays["tokens"]),
    }
    return truth.made(arrays, header)
