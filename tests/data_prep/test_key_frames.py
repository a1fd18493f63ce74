"""The records of one scene, and errors that name scene and sample."""

import pytest

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
