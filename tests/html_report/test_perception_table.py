"""Every task is a part of one table, with what it is or why it is not there."""

from dima_jax.html_report import perception_table

TOLD = {
    "planner": "ours",
    "coverage": {"scored": 40, "of": 50},
    "scenes": 2,
    "protocols": {"detection": "AP in meters", "map": "chamfer"},
    "why_not": {"map": "the truth has no lines"},
    "scores": {"detection": {"frames": 40, "AP_car": 0.25, "AP_bus": None}, "map": {"frames": 40, "mAP": None}},
    "intervals": {"detection": {"AP_car": [0.2, 0.3], "AP_bus": None}, "map": {}},
}


def test_numbers_and_intervals():
    found = perception_table.table(TOLD)
    assert "40 of 50 frames of 2 scenes" in found.caption
    assert [(body.title, body.note) for body in found.bodies] == [
        ("detection", "AP in meters"),
        ("map", "the truth has no lines"),
    ]
    rows = [[row.name, *(cell.text for cell in row.cells)] for row in found.bodies[0].rows]
    assert rows == [["AP car", "0.250", "0.200 to 0.300"], ["AP bus", "n/a", ""]]


def test_nothing_found_no_table():
    assert perception_table.table({}) is None
