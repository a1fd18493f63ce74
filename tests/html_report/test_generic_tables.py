"""Any JSON becomes tables, and nothing of it is lost."""

import random

import pytest

from dima_jax.html_report import generic_tables

ENTRIES = [
    {"row": "shuffled <cameras>", "sentence": "<i>", "l2_avg": 1.5, "difference": 0.25, "low": 0.1, "high": 0.4},
    {"row": "speed x0.5", "sentence": "is worse", "l2_avg": 2.5, "difference": None, "low": None, "high": None},
]


def test_a_list_of_entries_is_a_table():
    ((title, table),) = generic_tables.tables(ENTRIES, "Audit")
    (body,) = table.bodies
    assert title == "Audit" and [one for one, _ in table.columns] == ["sentence", "L2 avg", "difference"]
    assert [row.name for row in body.rows] == ["shuffled <cameras>", "speed x0.5"]
    assert body.rows[0].cells[2] == ("0.25", "0.1 to 0.4", 0.25) and body.rows[1].cells[2] == ("n/a", "", None)


def test_nested_dicts_are_tables_of_their_own():
    content = {
        "mAP": {"value": 0.5, "low": 0.4, "high": 0.6},
        "frames": 7,
        "classes": {"car": {"ap": 0.1}, "bus": {"ap": None}},
    }
    found = generic_tables.tables(content, "Perception")
    assert [one.title for one in found] == ["Perception", "Perception: classes"]
    assert found[0].table.bodies[0].rows[0].cells[0] == ("0.5", "0.4 to 0.6", 0.5)
    assert [row.name for row in found[1].table.bodies[0].rows] == ["car", "bus"]


@pytest.mark.parametrize("content", [None, {}, []])
def test_nothing_is_no_table(content):
    assert generic_tables.tables(content, "x") == []


def test_any_json_is_taken():
    rng = random.Random(0)

    def value(depth):
        kind = rng.randrange(8 if depth < 4 else 5)
        if kind < 5:
            return (None, True, rng.random(), rng.randrange(9), "<x>")[kind]
        if kind == 5:
            return [value(depth + 1) for _ in range(rng.randrange(4))]
        keys = [rng.choice(["value", "low", "high", "row", "a", "b"]) for _ in range(rng.randrange(5))]
        return {key: value(depth + 1) for key in keys}

    for _ in range(2000):
        for _, table in generic_tables.tables(value(0), "x"):
            assert all(len(row.cells) == len(table.columns) for row in table.bodies[0].rows)
