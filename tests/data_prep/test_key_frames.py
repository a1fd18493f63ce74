"""The records of one scene, and errors that name scene and sample."""

import shutil

import numpy as np
import pytest

from data_prep.key_frames import KeyFrames
from data_prep.scenes import Root
from dima_jax.constants import CAMERAS, FORWARD_SPEED
from dima_jax.errors import UserError
from tests import tiny_root


def test_record_of_a_key_frame(dataset):
    record = tiny_root.key_frames(dataset).record(
        2, {"smp_0010": {"kinds": ("planning",), "questions": ("Q?",), "answers": ("A.",)}}
    )
    assert record["qa"]["questions"] == ("Q?",)
    assert record["cameras"]["images"][0] == (dataset / record["cameras"]["paths"][0]).read_bytes()
    assert {0, 1, 2} == set(record["map"]["labels"])
    assert record["scene_length"] == 11 and record["frame_index"] == 2


def test_another_image_size_names_scene_and_sample(copy):
    rows = tiny_root.tables(copy, "sample_data")
    for row in rows:
        row["width"] = 1600
    tiny_root.write_table(copy, "sample_data", rows)
    with pytest.raises(UserError, match=r"image is not 45 x 1600 as the tables say \(scene-0061, sample smp_0008\)"):
        tiny_root.key_frames(copy).record(0, {})


def test_messages_are_read_once_and_only_for_records(copy):
    path = copy / "can_bus" / "scene-0061_pose.json"
    text = path.read_text()
    path.write_text("[")
    frames = tiny_root.key_frames(copy)
    assert len(frames.poses) == 11
    with pytest.raises(UserError, match=r"scene-0061_pose\.json: not valid JSON"):
        frames.numbers(0)
    path.write_text(text)
    first = frames.numbers(0)["can_bus"]
    path.unlink()
    assert (frames.numbers(0)["can_bus"] == first).all() and first.any()


def test_without_can_bus_poses_tell_motion_from_the_past_alone(copy):
    frames = tiny_root.key_frames(copy)
    recorded = [frames.numbers(i)["can_bus"] for i in range(len(frames))]
    shutil.rmtree(copy / "can_bus")
    frames = tiny_root.key_frames(copy)
    told = [frames.numbers(i)["can_bus"] for i in range(len(frames))]
    for own, other in zip(recorded, told, strict=True):
        np.testing.assert_array_equal(own[[0, 1, 2, 3, 16, 17]], other[[0, 1, 2, 3, 16, 17]])
    step = np.linalg.norm(told[3][:3] - told[2][:3])
    seconds = (frames.samples[3]["timestamp"] - frames.samples[2]["timestamp"]) * 1e-6
    assert step > 0.5 and np.linalg.norm(told[3][13:16]) == pytest.approx(step / seconds)
    assert told[3][FORWARD_SPEED] == pytest.approx(step / seconds, rel=0.01) and not told[0][7:16].any()
    frames.scene["name"] = "scene-0161"  # nuScenes excludes its CAN bus, which VAD replaces by zeros
    (copy / "can_bus").mkdir()
    excluded = KeyFrames(Root(str(copy), tiny_root.VERSION), frames.scene)
    assert not excluded.numbers(3)["can_bus"][7:16].any()


def test_a_root_without_maps_has_no_lines(copy):
    shutil.rmtree(copy / "maps")
    tiny_root.write_table(copy, "map", [])
    lines = tiny_root.key_frames(copy).record(0, {})["map"]
    assert lines["vertices"].shape == (0, 2) and lines["lengths"].shape == lines["labels"].shape == (0,)


def test_cameras_have_names_and_sizes(dataset):
    cameras = tiny_root.key_frames(dataset).numbers(0)["cameras"]
    assert cameras["names"] == list(CAMERAS) and cameras["sizes"].tolist() == [list(tiny_root.IMAGE_SHAPE)] * 6
