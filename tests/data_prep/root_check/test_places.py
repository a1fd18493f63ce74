"""Rows are placed in tables that are wrong."""

from data_prep.root_check import places, reading, schema
from tests import tiny_root


def test_places(whole):
    names = ("scene", "sample", "sample_data", "ego_pose", "log")
    tables = {name: schema.read(whole / tiny_root.VERSION, name)[0] for name in names}
    row = tables["ego_pose"].some_rows({0})[0]
    assert places.places(tables, tables["ego_pose"], [row]) == ["ep_0020 (scene scene-0061, sample smp_0008)"]
    assert places.places(tables, tables["log"], [tables["log"].rows[0]]) == ["log0"]
    tables["sample"].rows[0]["scene_token"] = ["lost"]
    assert places.places(tables, tables["ego_pose"], [row]) == ["ep_0020 (sample smp_0008)"]
    assert places.places({}, tables["ego_pose"], [row | {"token": "a\nb"}]) == ["'a\\nb'"]


def test_many_rows_are_placed_by_one_reading_of_their_users(whole, monkeypatch):
    tables = {
        name: schema.read(whole / tiny_root.VERSION, name)[0] for name in ("scene", "sample", "sample_data", "ego_pose")
    }
    rows = [*tables["ego_pose"].some_rows(set(range(50))).values(), {"token": ["lost"]}, {"token": "lost"}]
    one_by_one = [places.places(tables, tables["ego_pose"], [row])[0] for row in rows]
    calls, rows_at = [], reading.rows_at
    monkeypatch.setattr(reading, "rows_at", lambda path, wanted: calls.append(path.name) or rows_at(path, wanted))
    assert places.places(tables, tables["ego_pose"], rows) == one_by_one and calls == ["sample_data.json"]
    assert "sample smp_" in one_by_one[0] and one_by_one[-2:] == ["['lost']", "lost"]
