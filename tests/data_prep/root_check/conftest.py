"""A tiny nuScenes root whose files are named as nuScenes names them, and a copy of its tables to damage."""

import json
import shutil
from pathlib import Path

import pytest

from data_prep.root_check import checking
from tests import tiny_root


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Path:
    """`tests/tiny_root.py` with nuScenes' file names, an attribute on each vehicle, and splits of its own."""
    root = tiny_root.make(tmp_path_factory.mktemp("whole") / "root")
    read = {name: tiny_root.tables(root, name) for name in ("sample", "scene", "log", "instance", "category")}
    of = {name: {row["token"]: row for row in rows} for name, rows in read.items()}
    rows = tiny_root.tables(root, "sample_data")
    for row in rows:
        scene = of["scene"][of["sample"][row["sample_token"]]["scene_token"]]
        folder, channel, _ = row["filename"].split("/")
        name = f"{of['log'][scene['log_token']]['logfile']}__{channel}__{row['timestamp']}.jpg"
        (root / row["filename"]).rename(root / folder / channel / name)
        row["filename"] = f"{folder}/{channel}/{name}"
    tiny_root.write_table(root, "sample_data", rows)
    rows = tiny_root.tables(root, "sample_annotation")
    for row in rows:
        category = of["category"][of["instance"][row["instance_token"]]["category_token"]]["name"]
        kind = category.split(".")[0]
        row["attribute_tokens"] = [f"at_{kind}.moving"] if kind == "vehicle" and "cycle" not in category else []
    tiny_root.write_table(root, "sample_annotation", rows)
    splits = {"own_train": ["scene-0061"], "own_val": ["scene-0103"]}
    (root / tiny_root.VERSION / "splits.json").write_text(json.dumps(splits))
    return root


@pytest.fixture(scope="module")
def damaged(whole, tmp_path_factory) -> Path:
    """A copy whose images are those of `whole`; a test puts back what it changes."""
    root = tmp_path_factory.mktemp("damaged") / "root"
    shutil.copytree(
        whole, root, copy_function=lambda a, b: Path(b).symlink_to(a) if a.endswith(".jpg") else shutil.copy(a, b)
    )
    return root


@pytest.fixture
def lines(damaged):
    """Gives the lines of a kind that the check has of the root after some tables, {name: rows}, are replaced."""

    def found(kind: str, **tables: list[dict]) -> list[str]:
        folder = damaged / tiny_root.VERSION
        before = {name: (folder / f"{name}.json").read_bytes() for name in tables}
        for name, rows in tables.items():
            tiny_root.write_table(damaged, name, rows)
        try:
            report = checking.check(str(damaged), tiny_root.VERSION)
        finally:
            for name, content in before.items():
                (folder / f"{name}.json").write_bytes(content)
        return [line for finding in report.of_kind(kind) for line in finding.lines]

    return found
