"""The devkit's tables without what no record is made of: lidarseg, and all but key frames of cameras and LiDAR."""

from data_prep import tables
from tests import tiny_root


def test_tables_are_indexed_and_lidarseg_is_not_needed(copy):
    tiny_root.write_table(copy, "lidarseg", [{"token": "a", "sample_data_token": "lost", "filename": "nowhere.bin"}])
    (copy / "maps" / "dummy.png").unlink()
    found = tables.read(copy, tiny_root.VERSION)
    sample = found.get("sample", "smp_0010")
    assert len(sample["anns"]) == len(
        {found.get("sample_annotation", token)["instance_token"] for token in sample["anns"]}
    )
    assert found.get("sample_data", sample["data"]["CAM_BACK"])["channel"] == "CAM_BACK"


def test_only_key_frames_are_kept(copy):
    rows = {name: tiny_root.tables(copy, name) for name in ("sample_data", "ego_pose", "sample")}
    key = next(row for row in rows["sample_data"] if row["is_key_frame"] and "CAM_BACK/" in row["filename"])
    sweep = key | {"token": "sweep", "is_key_frame": False, "ego_pose_token": "of_sweep", "prev": "", "next": ""}
    radar = key | {"token": "radar", "calibrated_sensor_token": "radar", "ego_pose_token": "of_radar"}
    pose = next(row for row in rows["ego_pose"] if row["token"] == key["ego_pose_token"])
    tiny_root.write_table(copy, "sample_data", [sweep, *rows["sample_data"], radar])
    tiny_root.write_table(
        copy, "ego_pose", [*rows["ego_pose"], pose | {"token": "of_sweep"}, pose | {"token": "of_radar"}]
    )
    mount = tiny_root.tables(copy, "calibrated_sensor")
    sensor = {"token": "radar", "channel": "RADAR_FRONT", "modality": "radar"}
    tiny_root.write_table(copy, "sensor", [*tiny_root.tables(copy, "sensor"), sensor])
    tiny_root.write_table(copy, "calibrated_sensor", [*mount, mount[0] | {"token": "radar", "sensor_token": "radar"}])
    found = tables.read(copy, tiny_root.VERSION)
    kept = [row for row in rows["sample_data"] if row["is_key_frame"]]
    assert [row["token"] for row in found.sample_data] == [row["token"] for row in kept]
    assert {row["token"] for row in found.ego_pose} == {row["ego_pose_token"] for row in kept}
    assert [row["token"] for row in found.sample] == [row["token"] for row in rows["sample"]]
