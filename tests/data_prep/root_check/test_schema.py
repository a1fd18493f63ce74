"""Every field of every table is checked, and named with the row and its place."""

import json

import numpy as np
import pytest

from data_prep.nuscenes_schema import TABLES
from data_prep.root_check import reading, schema
from tests import tiny_root

FIELDS = [(table, field) for table in TABLES for field in ("token", *schema.SCHEMA[table])]


@pytest.mark.parametrize(("table", "field"), FIELDS)
def test_a_field_that_is_missing(damaged, lines, table, field):
    rows = tiny_root.tables(damaged, table)
    del rows[-1][field]
    (line,) = lines("error", **{table: rows})
    assert f"{table}.json: {rows[-1].get('token')}" in line and f": row {len(rows) - 1}: {field} is None, not " in line


def test_the_place_of_a_row(damaged, lines):
    rows = tiny_root.tables(damaged, "ego_pose")
    rows[0]["translation"] = [0, 1, float("nan")]
    (line,) = lines("error", ego_pose=rows)
    place = "ep_0020 (scene scene-0061, sample smp_0008)"
    assert f"ego_pose.json: {place}: row 0: translation is [0, 1, nan], not three finite numbers" in line
    rows = tiny_root.tables(damaged, "sample_annotation")
    rows[0]["size"] = [1.0, 0.0, 1.0]
    (line,) = lines("error", sample_annotation=rows)
    assert "sample_annotation.json: ann_0194 (scene scene-0061, sample smp_0010): row 0: size is" in line


@pytest.mark.parametrize("table", TABLES)
def test_a_row_twice(damaged, lines, table):
    rows = tiny_root.tables(damaged, table)
    (line,) = lines("error", **{table: [*rows, rows[0]]})
    assert f"{table}.json: {rows[0]['token']}" in line and f"row {len(rows)}: its token is there twice" in line


def test_columns(whole):
    table, problems = schema.read(whole / tiny_root.VERSION, "sample_data")
    rows = json.loads(table.path.read_text())
    assert problems == [] and table.count == len(rows)
    assert table["timestamp"].tolist() == [row["timestamp"] for row in rows]
    assert table["filename"].tolist() == [hash(row["filename"]) for row in rows]
    assert table.key_files == {i: row["filename"] for i, row in enumerate(rows) if row["is_key_frame"]}
    table, _ = schema.read(whole / tiny_root.VERSION, "map")
    owners, tokens = table.lists["log_tokens"]
    assert owners.tolist() == [0, 0] and tokens.tolist() == [hash("log0"), hash("log1")]


def test_a_long_value_is_cut():
    assert len(schema.shown("a" * 1000)) < 200 and schema.shown("a\nb") == "'a\\nb'"


@pytest.mark.parametrize("table", ["sample_annotation", "ego_pose", "sample_data"])
def test_columns_are_the_same_whatever_the_batches(damaged, monkeypatch, table):
    folder = damaged / tiny_root.VERSION
    whole, _ = schema.read(folder, table)
    monkeypatch.setattr(reading, "BATCH", 3)
    pieces, _ = schema.read(folder, table)
    assert whole.count == pieces.count > 9
    for field, column in whole.columns.items():
        np.testing.assert_array_equal(pieces[field], column)
        assert column.shape[0] == whole.count
    for field, (owners, tokens) in whole.lists.items():
        np.testing.assert_array_equal(pieces.lists[field][0], owners)
        np.testing.assert_array_equal(pieces.lists[field][1], tokens)


def test_pairs_of_many_rows_differ():
    first, second = np.array([0, 4096, 2**20], np.int32), np.array([5, 5, 5], np.int32)
    assert len(set(schema.pairs(first, second, 2**20).tolist())) == 3
