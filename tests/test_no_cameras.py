"""A mini world without cameras: nothing is painted, every part of the records is there, and vector mode learns from it."""

import json

import numpy as np
import pytest

from data_prep import builder, truth_records, validation
from data_prep.mining import lists, sources
from data_prep.miniworld import scene_recorder, writer
from dima_jax.data import loader
from dima_jax.data.records import Records
from dima_jax.scoring import truth
from tests.vector.mini import vector_config


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One scene; its first situation is that of val."""
    folder = tmp_path_factory.mktemp("no_cameras") / "root"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene_recorder, "Painter", None)
        patch.setattr(scene_recorder.lidar, "scan", None)
        assert writer.write(folder, writer.settings(1, 0, 0, (64, 36), 17.5, "no_cameras")) == 35
    return folder


@pytest.fixture(scope="module")
def records(root):
    builder.build(str(root), writer.VERSION, str(root / "drivelm.json"), str(root / "records"), workers=1)
    return Records(root / "records", "train")


def test_the_root_has_tables_and_no_pictures(root):
    sensors = json.loads((root / writer.VERSION / "sensor.json").read_text())
    assert [row["channel"] for row in sensors] == ["LIDAR_TOP"]
    assert not (root / "samples").exists() and (root / "can_bus" / "scene-0001_pose.json").is_file()
    scene = json.loads((root / writer.VERSION / "scene.json").read_text())[0]
    assert "three_point_turn" in scene["description"]
    rows = json.loads((root / writer.VERSION / "sample_annotation.json").read_text())
    assert {row["visibility_token"] for row in rows} == {"1", "2", "3", "4"}
    points = np.array([row["num_lidar_pts"] for row in rows])
    assert 0.3 < (points > 0).mean() < 1.0 and points.max() > 50


def test_records_are_sound_and_can_be_scored_and_mined(root, records, capsys):
    assert validation.validate(str(records.folder)).report.findings == []
    assert "in an image" not in capsys.readouterr().out
    frame = records.decode(5)
    assert frame["cameras"]["names"] == [] and frame["can_bus"][13] != 0 and len(frame["map"]["lengths"])
    assert len(frame["qa"]["questions"]) > 5 and "<c" not in " ".join(frame["qa"]["questions"])
    found = truth.made(*truth_records.make(str(records.folder), "train", str(root), writer.VERSION))
    assert found.has("paths", "agents", "lines", "areas", "lights")
    tags = lists.mine(sources.of_records(str(records.folder), "train"))["counts"]
    assert tags["three_point_turn"]["frames"] > 0


def test_vector_mode_trains_on_it(records):
    config = vector_config(records.folder)
    config.data.update(cameras=(), hold_out_paths=("three_point_turn",), max_text=200)
    config.auxiliary.facts = True
    sample = loader.TrainWindows(config).sample(0)
    assert sample.images.shape[1] == 0 and sample.agents.mask.any() and sample.facts.holds.any()
    assert not sample.ego.future_mask.any()
