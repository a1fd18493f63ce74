"""The truth of records, with and without the nuScenes root that they were made from."""

import numpy as np
import pytest

from data_prep import truth_records
from dima_jax.errors import UserError
from dima_jax.scoring import truth
from dima_jax.scoring.recorded import GROUPS
from tests import tiny_root
from tests.damage import same_arrays

WITH_ROOT = ("visibility", "attributes", "curbs", "areas")


def test_a_root_adds_maps_and_tables(built, dataset, tmp_path):
    alone, header = truth_records.make(str(built), "val", None, tiny_root.VERSION)
    arrays, with_root = truth_records.make(str(built), "val", str(dataset), tiny_root.VERSION)
    added = {key for group in WITH_ROOT for key in GROUPS[group]}
    assert set(arrays) == set(alone) | added and same_arrays({key: arrays[key] for key in alone}, alone)
    assert with_root == header | {"source": header["source"] | {"root": tiny_root.VERSION}}
    truth.save(tmp_path / "a.npz", arrays, with_root)
    found = truth.load(tmp_path / "a.npz")
    assert same_arrays(found.arrays(), arrays)
    assert found.header["has"] == [group for group in GROUPS if group != "lights"]
    assert len(found.area_layer) and len(found.curb_vertices) and np.isin(found.visibility, range(5)).all()


def test_a_root_of_another_version_is_refused(built, dataset):
    with pytest.raises(UserError, match=r"v1\.0-trainval: no such folder; --version should be one of"):
        truth_records.make(str(built), "val", str(dataset), "v1.0-trainval")
    with pytest.raises(UserError, match="no split 'test'"):
        truth_records.make(str(built), "test", None, tiny_root.VERSION)
