"""The audit's rows in their units, the worst camera below the mean of all."""

from dima_jax.html_report import audit_table
from tests.html_report.fake_page import entry


def test_rows_and_units():
    cameras = entry("student, one camera black", "It suffers.", 0.25)
    cameras["collision"] = {"value": 0.02, "low": None, "high": None}
    cameras["worst"] = {"camera": "CAM_FRONT"} | {
        key: cameras[key] for key in cameras if key.startswith(("l2", "coll"))
    }
    found = audit_table.table([entry("student", "As recorded.", None), cameras])
    (body,) = found.bodies
    assert [row.name for row in body.rows] == ["student", "one camera black", "CAM_FRONT black"]
    assert [row.kind for row in body.rows] == ["focus", "", ""]
    texts = [[cell.text for cell in row.cells] for row in body.rows]
    assert texts == [
        ["1.50", "", "", "", "As recorded."],
        ["1.50", "+0.25", "2.00", "", "It suffers."],
        ["1.50", "+0.25", "2.00", "", ""],
    ]
    assert body.rows[1].cells[1].small == "0.10 to 0.40" and body.rows[1].cells[2].small == ""
    assert len(found.columns) == len(texts[0])


def test_no_audit_no_table():
    assert audit_table.table([]) is None
