"""One key row of each sensor for every sample, of its time, along a path that a vehicle can drive."""

import pytest

from tests import tiny_root


def row_of(rows, sample, channel, is_key=True):
    return next(
        r
        for r in rows
        if r["sample_token"] == sample and f"/{channel}/" in r["filename"] and r["is_key_frame"] == is_key
    )


def test_a_key_row_is_missing_or_there_twice(damaged, lines):
    rows = tiny_root.tables(damaged, "sample_data")
    row_of(rows, "smp_0010", "CAM_BACK")["is_key_frame"] = False
    (line,) = lines("error", sample_data=rows)
    assert "smp_0010 (scene scene-0061, sample smp_0010): sample_data.json has no key frame of CAM_BACK for it" in line
    rows = tiny_root.tables(damaged, "sample_data")
    found = lines(
        "error", sample_data=[*rows, row_of(rows, "smp_0010", "CAM_BACK") | {"token": "new", "prev": "", "next": ""}]
    )
    assert any("new (scene scene-0061, sample smp_0010): is a second key frame of CAM_BACK" in line for line in found)


@pytest.mark.parametrize(
    ("kind", "table", "change", "words"),
    [
        (
            "error",
            "ego_pose",
            lambda r: r[0].update(timestamp=r[0]["timestamp"] + 5000),
            "that of its row of ego_pose.json",
        ),
        (
            "skip",
            "ego_pose",
            lambda r: r[0].update(translation=[0, 0, 0]),
            "its ego pose is far from that of the LIDAR_TOP",
        ),
        (
            "skip",
            "ego_pose",
            lambda r: r[0].update(rotation=[0, 1, 0, 0]),
            "its ego pose is far from that of the LIDAR_TOP",
        ),
        (
            "skip",
            "sample",
            lambda r: r[0].update(timestamp=r[0]["timestamp"] - 5000),
            "that of its LIDAR_TOP key frame",
        ),
    ],
)
def test_times_and_poses(damaged, lines, kind, table, change, words):
    rows = tiny_root.tables(damaged, table)
    change(rows)
    (line,) = lines(kind, **{table: rows})
    assert "(scene scene-0061, sample smp_0008): " in line and words in line


def test_a_camera_far_from_its_sample(damaged, lines):
    rows, poses = tiny_root.tables(damaged, "sample_data"), tiny_root.tables(damaged, "ego_pose")
    row = row_of(rows, "smp_0018", "CAM_BACK")
    row["timestamp"] += 300_000
    next(pose for pose in poses if pose["token"] == row["ego_pose_token"])["timestamp"] += 300_000
    (line,) = lines("error", sample_data=rows, ego_pose=poses)
    assert "(scene scene-0061, sample smp_0018): timestamp is" in line and "more than 0.25 s from its sample's" in line


def test_a_sample_far_from_its_lidar(damaged, lines):
    rows = tiny_root.tables(damaged, "sample")
    rows[0]["timestamp"] -= 300_000
    found = lines("error", sample=rows)
    assert (
        any("/LIDAR_TOP/" in line or "more than 0.25 s from its sample's" in line for line in found) and len(found) == 7
    )


def test_key_frames_that_are_not_half_a_second_apart(damaged, lines):
    tables = {name: tiny_root.tables(damaged, name) for name in ("sample", "sample_data", "ego_pose")}
    late = {"smp_0016", "smp_0017", "smp_0018"}
    poses = {row["ego_pose_token"] for row in tables["sample_data"] if row["sample_token"] in late}
    moved = [row for row in tables["sample"] if row["token"] in late]
    moved += [row for row in tables["sample_data"] if row["sample_token"] in late]
    for row in [*moved, *(row for row in tables["ego_pose"] if row["token"] in poses)]:
        row["timestamp"] += 2_000_000
    found = lines("skip", **tables)
    assert any("smp_0015 (scene scene-0061, sample smp_0015): the next key frame is 2." in line for line in found)
