"""Intrinsics, one calibration in a scene, and names of categories and attributes."""

from tests import tiny_root


def test_intrinsics(damaged, lines):
    rows = tiny_root.tables(damaged, "calibrated_sensor")
    camera = next(row for row in rows if row["camera_intrinsic"])
    camera["camera_intrinsic"][0][2] = 81.0
    assert "outside of which its camera's center [81.0, " in lines("error", calibrated_sensor=rows)[0]
    camera["camera_intrinsic"] = []
    (line,) = lines("error", calibrated_sensor=rows)
    assert f"calibrated_sensor.json: {camera['token']} (scene scene-0061" in line and "has no camera_intrinsic" in line


def test_another_calibration(damaged, lines):
    sensors = tiny_root.tables(damaged, "calibrated_sensor")
    rows = tiny_root.tables(damaged, "sample_data")
    row = next(row for row in rows if row["sample_token"] == "smp_0012" and "/CAM_BACK/" in row["filename"])
    first = next(one for one in sensors if one["token"] == row["calibrated_sensor_token"])
    row["calibrated_sensor_token"] = "new"
    (line,) = lines("skip", sample_data=rows, calibrated_sensor=[*sensors, first | {"token": "new"}])
    assert f"{row['token']} (scene scene-0061, sample smp_0012): calibrated_sensor_token is 'new'" in line


def test_names(damaged, lines):
    rows = tiny_root.tables(damaged, "category")
    row = next(row for row in rows if row["name"] == "vehicle.car")
    row["name"] = "car"
    (line,) = lines("skip", category=rows)
    assert f"category.json: {row['token']}: name is 'car', which nuScenes does not have; " in line
    row["name"] = "human.pedestrian.adult"
    assert "has an attribute that a human.pedestrian.adult cannot have" in lines("note", category=rows)[0]
    rows = tiny_root.tables(damaged, "attribute")
    rows[0]["name"] = "moving"
    assert "attribute.json: at_vehicle.moving: name is 'moving'" in lines("skip", attribute=rows)[0]
