"""Rows are read one after another as `json.loads` reads them together, wherever the pieces of the file end."""

import json

import pytest

from data_prep.root_check import reading
from dima_jax.errors import UserError

ROWS = [{"token": f"t{i}", "text": 'a "quoted" } ], [{ \\ \u00e4', "list": [i, [1.5]]} for i in range(25)]


@pytest.mark.parametrize("chunk", [1, 2, 7, 100, 1 << 22])
@pytest.mark.parametrize("indent", [None, 2])
def test_rows_whatever_the_pieces(tmp_path, monkeypatch, chunk, indent):
    monkeypatch.setattr(reading, "CHUNK", chunk)
    monkeypatch.setattr(reading, "BATCH", 10)
    path = tmp_path / "table.json"
    path.write_text(json.dumps(ROWS, indent=indent) + "\n")
    assert [len(batch) for batch in reading.batches(path)] == [10, 10, 5]
    assert [row for batch in reading.batches(path) for row in batch] == ROWS
    assert reading.rows_at(path, {3, 24}) == {3: ROWS[3], 24: ROWS[24]}
    path.write_text(" [ ] ")
    assert list(reading.batches(path)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"), ("<html>", "not valid JSON"), ("[" * 100_000, "not valid JSON"), ("[{}", "not valid JSON after 0"),
        ('[{"a": 1}{"a": 2}]', "not valid JSON"), ('[{"a": 1},]', "not valid JSON"), ('[{"a": 1}, ,{}]', "not valid JSON"),
        ('[{"a": 1}] []', "not valid JSON"), ("{}", "no list of rows"), ("null", "no list of rows"), ("[1]", "no list of rows"),
        ('[{"a": ' + "1" * 5000 + "}]", "not valid JSON"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table(tmp_path, text, message):
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"table\.json: {message}.*; unpack the nuScenes metadata again") as raised:
        list(reading.batches(path))
    assert len(str(raised.value).splitlines()) == 1
    path.write_bytes(b'[{"a": "\xff"}]')
    with pytest.raises(UserError, match="not valid JSON"):
        list(reading.batches(path))
