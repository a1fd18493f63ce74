"""Another vehicle than nuScenes': four cameras of other names and sizes, no CAN bus, from the data set to the ONNX.

And logs that lack more: boxes, maps, all cameras. docs/own_data.md says what a reader does.
"""

import json
import shutil

import numpy as np
import pytest
from flax import nnx

from data_prep import builder, validation
from data_prep.miniworld import writer
from dima_jax import driving, evaluation, onnx_export, report, weights
from dima_jax.data import fake_batch, loader, sequences
from dima_jax.data.records import Records
from dima_jax.errors import UserError
from dima_jax.html_report import images
from dima_jax.jax_student import JaxStudent
from dima_jax.policy import Policy
from dima_jax.prediction_writer import Places
from dima_jax.student import student as student_lib
from tests.mini import mini_config

SIZES = {"front_wide": (36, 64), "side_left": (38, 51), "side_right": (38, 51), "rear": (29, 51)}
VERSION = writer.VERSION


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A scene of eight key frames."""
    folder = tmp_path_factory.mktemp("four") / "root"
    writer.write(folder, writer.settings(1, 0, seed=0, size=(64, 36), seconds=4.0, rig_name="four"))
    return folder


def built(root, out):
    builder.build(str(root), VERSION, "", str(out), workers=1)
    assert validation.validate(str(out)).report.findings == []
    return Records(out, "train")


@pytest.fixture(scope="module")
def records(root, tmp_path_factory):
    return built(root, tmp_path_factory.mktemp("built") / "records")


def config_of(records, *cameras):
    config = mini_config(records.folder)
    config.data.update(cameras=cameras, val_split="train", image_scale=1.0, valid_shape=(36, 64), image_shape=(64, 64))
    return config


@pytest.fixture(scope="module")
def policy(records):
    config = config_of(records, "front_wide", "rear", "side_right", "side_left")
    return Policy(JaxStudent(config, weights.split(student_lib.build(config, nnx.Rngs(0)))[1]))


def test_records_have_the_cameras_of_the_rig(root, records, capsys):
    frame = records.decode(3)
    assert dict(zip(frame["cameras"]["names"], map(tuple, frame["cameras"]["sizes"].tolist()), strict=True)) == SIZES
    assert not (root / "can_bus").exists() and not (root / "drivelm.json").exists()
    step = frame["ego2global"][:3, 3] - records.decode(2)["ego2global"][:3, 3]
    assert np.linalg.norm(frame["can_bus"][13:16]) == pytest.approx(2 * np.linalg.norm(step)) and step.any()


def test_training_windows_have_the_cameras_of_the_config(policy):
    config = policy.student.config
    batch, expected = loader.TrainWindows(config).batch(0, 2), fake_batch.spec(config)
    assert batch.images.shape == expected.images.shape == (2, 4, 4, 64, 64, 3)
    assert batch.lidar2img.shape == expected.lidar2img.shape


def test_a_camera_that_is_not_there_is_one_line(records):
    with pytest.raises(
        UserError, match=r"no camera 'CAM_FRONT', the record has front_wide, side_left, side_right, rear;"
    ):
        sequences.Drives(config_of(records, "front_wide", "CAM_FRONT"), "train")[0]


def test_the_student_plans_alike_in_jax_and_onnx(policy, tmp_path):
    """And the agents that are drawn stand where each camera, whatever its size, sees them."""
    config = policy.student.config
    file = onnx_export.export_student(policy.student, tmp_path / "student.onnx")
    drives, exported = sequences.Drives(config, "train"), Policy.from_onnx(file)
    assert exported.info.cameras == tuple(config.data.cameras)
    own = [one.plans["student"] for one in driving.drive(policy, drives, range(3))]
    other = [one.plans["student"] for one in driving.drive(exported, drives, range(3))]
    np.testing.assert_allclose(own, other, atol=1e-4)
    frame = drives[0]
    scales = frame.frame.lidar2img[0] @ np.linalg.inv(frame.camera_matrices)
    np.testing.assert_allclose(scales[:, 0, 0], [1.0, min(36 / 29, 64 / 51), 36 / 38, 36 / 38], rtol=1e-5)


@pytest.fixture(scope="module")
def evaluated(policy, tmp_path_factory):
    places = Places.beside(tmp_path_factory.mktemp("evaluated") / "scores.json")
    return evaluation.evaluate(policy, policy.student.config, "train", places), places


def test_evaluation_and_pictures(evaluated, policy, records, tmp_path):
    found, _ = evaluated
    config = policy.student.config
    assert found.result["scores"]["stp3_vad"] and found.result["perception"]["scores"]
    report.draw_chosen(found, sequences.Drives(config, "train"), tmp_path, 1)
    assert list(tmp_path.glob("*.png"))
    shown = images.pictures(images.of_records(records.folder, "train", []), records.samples[0])
    assert [one.camera for one in shown] == list(SIZES) and all(one.uri for one in shown)


def test_logs_without_boxes_and_maps(root, policy, tmp_path, capsys):
    copy = shutil.copytree(root, tmp_path / "root")
    shutil.rmtree(copy / "maps")
    for name in ("sample_annotation", "instance", "map"):
        (copy / VERSION / f"{name}.json").write_text("[]")
    records = built(copy, tmp_path / "records")
    assert "a root without maps (1)" in capsys.readouterr().out
    truth = evaluation.made_truth(records)
    assert truth.has("paths") and not truth.has("agents") and not truth.has("lines")
    config = policy.student.config.copy_and_resolve_references()
    config.data.path = str(records.folder)
    places = Places.beside(tmp_path / "scores.json")
    found = evaluation.evaluate(policy, config, "train", places)
    evaluation.write(found, places)
    assert "no box was recorded in split 'train'" in capsys.readouterr().out
    assert places.plans.is_file() and "perception" not in found.result
    columns = found.result["scores"]["stp3_vad"]["all frames"]["student"]
    assert columns["l2_avg"]["value"] > 0 and columns["collision_avg"]["value"] is None


def test_logs_without_images(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "root")
    tables = {name: json.loads((copy / VERSION / f"{name}.json").read_text()) for name in ("sensor", "sample_data")}
    tables["sensor"] = [row for row in tables["sensor"] if row["modality"] != "camera"]
    lidar = {row["token"] for row in tables["sensor"]}
    mounts = json.loads((copy / VERSION / "calibrated_sensor.json").read_text())
    tables["calibrated_sensor"] = [row for row in mounts if row["sensor_token"] in lidar]
    kept = {row["token"] for row in tables["calibrated_sensor"]}
    tables["sample_data"] = [row for row in tables["sample_data"] if row["calibrated_sensor_token"] in kept]
    for name, rows in tables.items():
        (copy / VERSION / f"{name}.json").write_text(json.dumps(rows))
    records = built(copy, tmp_path / "records")
    cameras = records.decode(0)["cameras"]
    assert cameras["names"] == cameras["images"] == [] and cameras["sensor2lidar"].shape == (0, 4, 4)
    assert evaluation.made_truth(records).has("agents", "lines")
    with pytest.raises(UserError, match=r"no camera 'front_wide', the record has none; set config\.data\.cameras"):
        sequences.Drives(config_of(records, "front_wide"), "train")[0]
