"""A token that leads nowhere is named with its row."""

import pytest

from data_prep.root_check.schema import SCHEMA
from tests import tiny_root

FIELDS = [
    (table, field, kind.target)
    for table, kinds in SCHEMA.items()
    for field, kind in kinds.items()
    if kind.target and not kind.is_open
]


@pytest.mark.parametrize(("table", "field", "target"), FIELDS)
def test_a_token_that_is_not_there(damaged, lines, table, field, target):
    rows = tiny_root.tables(damaged, table)
    rows[-1][field] = ["lost"] if field.endswith("tokens") else "lost"
    found = lines("error", **{table: rows})
    assert any(f"{table}.json: {rows[-1]['token']}" in line and f"is not in {target}.json" in line for line in found)


def test_a_log_without_a_map(damaged, lines):
    rows = tiny_root.tables(damaged, "map")
    rows[0]["log_tokens"] = ["log0"]
    (line,) = lines("error", map=rows)
    assert line.endswith("log.json: log1: no row of map.json has this log")
    assert len(lines("error", map=[])) == 2
    rows[0]["log_tokens"] = ["log0", "log1", "of another version"]
    assert lines("error", map=rows) == []
