"""Rows are placed in tables that are wrong."""

from data_prep.root_check import places, schema
from tests import tiny_root


def test_places(whole):
    names = ("scene", "sample", "sample_data", "ego_pose", "log")
    tables = {name: schema.read(whole / tiny_root.VERSION, name)[0] for name in names}
    row = tables["ego_pose"].some_rows({0})[0]
    assert places.place(tables, tables["ego_pose"], row) == "ep_0020 (scene scene-0061, sample smp_0008)"
    assert places.place(tables, tables["log"], tables["log"].rows[0]) == "log0"
    tables["sample"].rows[0]["scene_token"] = ["lost"]
    assert places.place(tables, tables["ego_pose"], row) == "ep_0020 (sample smp_0008)"
    assert places.place({}, tables["ego_pose"], row | {"token": "a\nb"}) == "'a\\nb'"
