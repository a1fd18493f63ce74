"""Images that are missing, named twice, or named for another row."""

import json

from data_prep.root_check import checking
from tests import tiny_root


def rows_of(rows, sample, *channels):
    return [
        next(r for r in rows if r["sample_token"] == sample and f"/{name}/" in r["filename"] and r["is_key_frame"])
        for name in channels
    ]


def test_a_missing_image(damaged):
    (row,) = rows_of(tiny_root.tables(damaged, "sample_data"), "smp_0010", "CAM_BACK")
    path = damaged / row["filename"]
    path.rename(path.with_suffix(".moved"))
    (finding,) = checking.check(str(damaged), tiny_root.VERSION).of_kind("error")
    path.with_suffix(".moved").rename(path)
    assert finding.lines[0].endswith(f"{row['token']} (scene scene-0061, sample smp_0010): missing image {path}")


def test_only_the_images_of_scenes_that_are_built_are_needed(copy):
    """As after the download of one of nuScenes' ten parts, with a splits.json of its scenes."""
    (copy / tiny_root.VERSION / "splits.json").write_text(json.dumps({"own_train": ["scene-0061"]}))
    samples = {row["token"] for row in tiny_root.tables(copy, "sample") if row["scene_token"] != "scn0"}
    rows = [row for row in tiny_root.tables(copy, "sample_data") if row["sample_token"] in samples]
    for row in rows:
        (copy / row["filename"]).unlink()
    report = checking.check(str(copy), tiny_root.VERSION)
    assert report.of_kind("error") == []
    (line,) = [line for finding in report.of_kind("note") for line in finding.lines if "images" in line]
    assert line == f"{copy}/samples: 66 images of key frames of scenes that are not built are missing"


def test_the_name_of_a_sweep_has_two_endings(damaged, lines):
    rows = tiny_root.tables(damaged, "sample_data")
    (row,) = rows_of(rows, "smp_0010", "LIDAR_TOP")
    name = row["filename"].removesuffix(".jpg").rpartition("__")[0]
    row["filename"] = f"{name}__{row['timestamp']}.pcd.bin"
    assert lines("skip", sample_data=rows) == []
    row["filename"] = f"{name}__{row['timestamp'] + 1}.pcd.bin"
    (line,) = lines("skip", sample_data=rows)
    assert f"{row['timestamp'] + 1}.pcd.bin is of another time than {row['timestamp']}" in line


def test_names_of_other_rows(damaged, lines):
    rows = tiny_root.tables(damaged, "sample_data")
    one, other = rows_of(rows, "smp_0010", "CAM_BACK", "CAM_FRONT")
    one["filename"], other["filename"] = other["filename"], one["filename"]
    found = lines("skip", sample_data=rows)
    assert len(found) == 2 and all("is of another sensor than CAM_" in line for line in found)

    rows = tiny_root.tables(damaged, "sample_data")
    (one,), (other,) = rows_of(rows, "smp_0010", "CAM_BACK"), rows_of(rows, "smp_0011", "CAM_BACK")
    one["filename"] = other["filename"]
    twice, name = lines("skip", sample_data=rows)
    assert "another row has the filename" in twice and f"is of another time than {one['timestamp']}" in name

    scenes = tiny_root.tables(damaged, "scene")
    scenes[0]["log_token"] = "log1"
    found = lines("skip", scene=scenes)
    assert "(scene scene-0061, sample smp_0008): filename " in found[0] and "is of another log than l1" in found[0]


def test_a_map_image_is_not_needed(damaged):
    path = damaged / "maps" / "dummy.png"
    path.unlink()
    report = checking.check(str(damaged), tiny_root.VERSION)
    path.write_bytes(b"")
    assert [finding.kind for finding in report.findings] == ["note"]
    assert f"{path}: missing map image" in report.findings[0].lines
