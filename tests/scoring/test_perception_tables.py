"""What is printed of perception: every number, its interval or why there is none, the coverage."""

import io
import math

from rich.console import Console

from dima_jax.scoring import perception_tables

TOLD = {
    "planner": "[b]ours[/b]",
    "file": "ours.npz",
    "coverage": {"scored": 30, "of": 40},
    "scenes": 2,
    "protocols": {"detection": "distance", "map": "chamfer"},
    "why_not": {"map": "the truth has no lines"},
    "scores": {
        "detection": {"frames": 30, "AP_car": 0.4321, "AP_traffic_cone": math.nan, "mAP": 0.25},
        "map": {"frames": 30, "mAP": None},
    },
    "intervals": {"detection": {"AP_car": [0.4, 0.51239], "AP_traffic_cone": None}, "map": {}},
}


def printed(told) -> str:
    out = io.StringIO()
    perception_tables.print_all(told, Console(file=out, width=130, force_terminal=False))
    return out.getvalue()


def test_what_is_printed():
    text = printed(TOLD)
    assert "perception of [b]ours[/b] (ours.npz), 30 frames of 2 scenes; scored 30 of 40 frames" in text
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert rows == [
        ["detection: distance", "AP car", "0.432", "0.400 .. 0.512"],
        ["", "AP traffic cone", "n/a", "n/a"],
        ["", "mAP", "0.250", ""],
        ["map: chamfer", "mAP", "n/a", ""],
    ]
    assert "map: not available, the truth has no lines" in text
    whole = printed(TOLD | {"coverage": {"scored": 40, "of": 40}, "scenes": None})
    assert "40 frames of unknown scenes" in whole and "; scored" not in whole
