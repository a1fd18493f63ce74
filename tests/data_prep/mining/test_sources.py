"""The same scenes from records and from the tables of a root; and real ones, where they are."""

import gzip
import json
import shutil

import numpy as np
import pytest

from data_prep import truth_field
from data_prep.mining import rules, sources, tracks
from dima_jax.errors import UserError
from dima_jax.scoring import truth
from dima_jax.scoring.recorded import GROUPS
from tests import realdata, tiny_root
from tests.damage import same_arrays

NOT_READ = {*GROUPS["lines"], *GROUPS["ego_inputs"]}


def test_tables_are_what_records_are_made_of(built, dataset):
    records = sources.of_records(str(built), "val")
    root = sources.of_root(str(dataset), tiny_root.VERSION, "val")
    of_both = {key: array for key, array in records.arrays().items() if key not in NOT_READ}
    assert same_arrays({key: root.arrays()[key] for key in of_both}, of_both)
    assert root.has("areas") and not records.has("areas")


def test_a_root_may_lack_maps_and_the_can_bus(copy):
    for name in ("maps", "can_bus", "samples"):
        shutil.rmtree(copy / name)
    found = sources.of_root(str(copy), tiny_root.VERSION, "val")
    assert not found.has("areas") and len(tracks.of_truth(found)) == 1
    with pytest.raises(UserError, match="no scene of split 'test'; it has"):
        sources.of_root(str(copy), tiny_root.VERSION, "test")


def test_two_real_scenes():
    """nuScenes describes scene-0103 as "Many peds right, wait for turning car, long bike rack left, cyclist"."""
    folder = realdata.folder() / "derived"
    infos = json.loads(gzip.decompress((folder / "mini_val_infos.json.gz").read_bytes()))["infos"]
    of_log = {"n008": "scene-0103", "n015": "scene-0916"}
    order = {info["token"]: (of_log[info["lidar_path"].rsplit("/", 1)[-1][:4]],) for info in infos}
    names = json.loads((folder / "mini_val_instance_tokens.json").read_text())
    arrays = truth_field.truth_infos.arrays("infos", {"infos": infos}, "names", names, order)
    header = {"split": "mini_val", "source": {}, "commit": "", "data_hash": ""}
    turning_car, parking_lot = tracks.of_truth(truth.made(arrays, header))
    assert (len(turning_car), len(parking_lot)) == (40, 41)
    found = {tag: np.flatnonzero(rule(turning_car)).tolist() for tag, rule in rules.RULES.items()}
    waits = found.pop("yield_to_vehicle")
    assert waits == [15, 16, 17, 18, 19] and turning_car.speed[waits].max() < 2.4
    assert found.pop("targeted") == [0, 1, 2, 3] and not any(found.values())
    tags = {tag for tag, rule in rules.RULES.items() if rule(parking_lot).any()}
    assert tags == {"targeted", "turn_left", "turn_right"}
