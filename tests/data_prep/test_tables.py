"""Every table of a nuScenes root that is cut, foreign or inconsistent is named with the row."""

import json
import shutil

import pytest

from data_prep import tables
from data_prep.nuscenes_schema import TABLES
from data_prep.scenes import Root
from dima_jax.errors import UserError
from tests import tiny_root


@pytest.fixture(scope="module")
def root(dataset, tmp_path_factory):
    """A copy of the data set without its images, which these tests do not reach."""
    return shutil.copytree(
        dataset, tmp_path_factory.mktemp("tables") / "root", ignore=shutil.ignore_patterns("samples", "sweeps")
    )


def opening(root, table: str, content: str) -> str:
    """What is said of the root when a table is replaced by this text; the table is put back."""
    path = root / tiny_root.VERSION / f"{table}.json"
    before = path.read_text()
    path.write_text(content)
    try:
        with pytest.raises(UserError) as raised:
            Root(str(root), tiny_root.VERSION)
    finally:
        path.write_text(before)
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_that_is_no_table(root, table):
    text = (root / tiny_root.VERSION / f"{table}.json").read_text()
    for content in (text[: len(text) // 2], "", "<html>", "[" * 100_000):
        assert f"{table}.json: not valid JSON" in opening(root, table, content)
    for content in ("{}", "[1]", "null"):
        assert f"{table}.json: no list of rows; unpack" in opening(root, table, content)
    rows = json.loads(text)
    assert "is there twice" in opening(root, table, json.dumps([*rows, rows[0]]))
    del rows[-1]["token"]
    assert f"{table}.json: row {len(rows) - 1} has the token None" in opening(root, table, json.dumps(rows))


FIELDS = [(table, field, target) for table, fields in tables.TOKENS.items() for field, target in fields.items()]


@pytest.mark.parametrize(("table", "field", "target"), FIELDS)
def test_a_token_that_is_not_there(root, table, field, target):
    rows = tiny_root.tables(root, table)
    rows[-1][field] = ["lost"] if field.endswith("tokens") else "lost"
    expected = rf"{table}.json: {rows[-1]['token']}: {field} is 'lost', which is not in {target}.json; unpack"
    assert expected in opening(root, table, json.dumps(rows))
    del rows[-1][field]
    assert f"{field} is None" in opening(root, table, json.dumps(rows))


def test_a_log_without_a_map(root):
    rows = tiny_root.tables(root, "map")
    rows[0]["log_tokens"][0] = "lost"
    assert "map.json: no row has the log" in opening(root, "map", json.dumps(rows))
    assert "map.json" in opening(root, "map", "[]")


@pytest.mark.parametrize(
    ("table", "field", "value"),
    [
        ("ego_pose", "translation", [1, 2]),
        ("ego_pose", "translation", [1, 2, float("nan")]),
        ("ego_pose", "rotation", [0, 0, 0, 0]),
        ("ego_pose", "rotation", ["1", 0, 0, 0]),
        ("calibrated_sensor", "camera_intrinsic", [[1, 2, 3]]),
        ("calibrated_sensor", "camera_intrinsic", [[1, 2, 3], [1, 2], [1, 2, 3]]),
        ("sample_annotation", "size", 3),
        ("sample_data", "width", "1600"),
        ("sample", "timestamp", None),
    ],
)
def test_a_value_that_cannot_be(root, table, field, value):
    rows = tiny_root.tables(root, table)
    rows[-1][field] = value
    message = opening(root, table, json.dumps(rows))
    assert f"{table}.json: {rows[-1]['token']}: {field} " in message and "unpack" in message


@pytest.mark.parametrize(
    "spoil", [lambda rows: rows[3].update(next=rows[1]["token"]), lambda rows: rows[3].update(next="")]
)
def test_a_chain_of_key_frames_that_is_not_whole(root, spoil):
    rows = tiny_root.tables(root, "sample")
    before = json.dumps(rows)
    spoil(rows)
    tiny_root.write_table(root, "sample", rows)
    try:
        opened = Root(str(root), tiny_root.VERSION)
        with pytest.raises(
            UserError, match=r"sample\.json: the key frames of scene-0061 are not the 11 of scene\.json"
        ):
            opened.samples(opened.tables.scene[0])
    finally:
        (root / tiny_root.VERSION / "sample.json").write_text(before)
