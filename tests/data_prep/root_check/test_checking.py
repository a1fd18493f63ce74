"""The whole check of roots that are whole, and of ones without a part."""

import shutil

import pytest

from data_prep.nuscenes_schema import TABLES
from data_prep.root_check import checking
from tests import tiny_root


def test_a_whole_root(whole):
    report = checking.check(str(whole), tiny_root.VERSION)
    assert report.findings == [] and report.rows["sample"] == 22


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: shutil.rmtree(r), r"root: no such folder; --dataroot is the folder"),
        (lambda r: (r / "v1.0-mini").rename(r / "v1.0-x"), r"v1.0-mini: no such folder; --version should be one of ['v1.0-x']"),
        (lambda r: (r / "v1.0-mini" / "ego_pose.json").unlink(), r"ego_pose.json: missing table; unpack"),
        (lambda r: (r / "maps" / "expansion" / "boston-seaport.json").unlink(), r"boston-seaport.json: missing (scene-0103); unpack"),
        (lambda r: (r / "v1.0-mini" / "splits.json").write_text("{}"), "v1.0-mini: none of its scenes is in a split"),
    ],
)  # fmt: skip
def test_missing_parts_name_file_and_remedy(copy, damage, message):
    damage(copy)
    (finding,) = checking.check(str(copy), "v1.0-mini").of_kind("error")
    assert message in f"{finding.lines[0]}; {finding.remedy}"


def test_names_and_instances_are_unique(damaged, lines):
    rows = tiny_root.tables(damaged, "sample_annotation")
    assert any(
        "its sample has the instance 'ins_0193' twice" in line
        for line in lines("error", sample_annotation=[*rows, rows[0] | {"token": "new"}])
    )
    rows = tiny_root.tables(damaged, "scene")
    rows[1]["name"] = rows[0]["name"]
    assert any("another scene has the name 'scene-0061'" in line for line in lines("error", scene=rows))
    rows = tiny_root.tables(damaged, "sensor")
    rows[1]["channel"] = rows[0]["channel"]
    assert any("another sensor has the channel 'CAM_FRONT'" in line for line in lines("error", sensor=rows))


@pytest.mark.parametrize("names", [TABLES, ("scene",), ("sample",)])
def test_a_root_of_empty_tables(damaged, lines, names):
    found = lines("error", **{name: [] for name in names})
    for name in {"scene", "sample"} & set(names):
        assert f"{damaged / tiny_root.VERSION / name}.json: has no rows" in found


@pytest.mark.parametrize("folder", ["can_bus", "maps/expansion"])
def test_a_root_without_can_bus_or_maps(copy, folder):
    shutil.rmtree(copy / folder)
    report = checking.check(str(copy), "v1.0-mini")
    (finding,) = report.of_kind("error", "skip")
    assert (
        finding.kind == "skip" and finding.lines[0].startswith(f"{copy}/{folder}: no ") and "if there" in finding.remedy
    )


def test_cameras_of_any_name(damaged, lines):
    """A sensor's channel alone says that it is a camera of that name; its files keep theirs."""
    rows = tiny_root.tables(damaged, "sensor")
    (back,) = [row for row in rows if row["channel"] == "CAM_BACK"]
    back["channel"] = "rear"
    found = lines("skip", sensor=rows)
    assert lines("error", sensor=rows) == [] and len(found) == 22
    assert all(line.endswith(" is of another sensor than rear") for line in found)
    back["modality"] = "radar"
    assert any(
        "camera_intrinsic, but its sensor's modality is not 'camera'" in one for one in lines("error", sensor=rows)
    )
    back["modality"] = "video"
    (line,) = lines("error", sensor=rows)
    assert line.endswith("modality is 'video', not 'camera' or 'lidar' or 'radar'")


@pytest.mark.parametrize("names", [("category",), ("attribute",), ("category", "attribute", "visibility"), ()])
def test_a_root_without_annotations(damaged, lines, names):
    names = ("instance", "sample_annotation", *names)
    assert lines("error", **{name: [] for name in names}) == lines("skip", **{name: [] for name in names}) == []
