"""The tables have nuScenes' fields."""

import json
import re
from pathlib import Path

from data_prep.miniworld import writer
from data_prep.nuscenes_schema import TABLES

GOLDEN_TABLES = Path(__file__).parents[2] / "golden" / "data" / "info_converter" / "dev" / "v1.0-mini"


def test_tables_have_the_fields_of_nuscenes(root):
    for name in TABLES:
        ours = json.loads((root / writer.VERSION / f"{name}.json").read_text())
        theirs = json.loads((GOLDEN_TABLES / f"{name}.json").read_text())[0]
        assert ours and all(set(row) == set(theirs) - {"index"} for row in ours), name
        assert all(re.fullmatch("[0-9a-f]{32}", row["token"]) for row in ours) or name == "visibility"
        assert len({row["token"] for row in ours}) == len(ours), name
