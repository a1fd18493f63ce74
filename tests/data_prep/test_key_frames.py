"""The records of one scene, and errors that name scene and sample."""

from pathlib import Path

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


def edit(root: Path, table: str, change):
    rows = tiny_root.tables(root, table)
    change(rows)
    tiny_root.write_table(root, table, rows)


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        (
            "sample_annotation",
            lambda rows: rows[0].update(translation=[float("nan"), 1.0, 1.0]),
            r"scene-0061, sample smp_00\d\d: sample_annotation ann_0194 has an impossible box .*; correct or remove",
        ),
        (
            "sample_annotation",
            lambda rows: rows[0].update(size=[0.0, 1.0, 1.0]),
            r"sample_annotation ann_0194 has an impossible box",
        ),
        (
            "sample_data",
            lambda rows: [row.update(width=1600) for row in rows],
            r"image is not 45 x 1600 as the tables say \(scene-0061, sample smp_0008\)",
        ),
        (
            "sample_data",
            lambda rows: [row.update(is_key_frame=False) for row in rows if "CAM_BACK/" in row["filename"]],
            r"scene-0061, sample smp_0008: sample_data\.json has no key frame of CAM_BACK;",
        ),
        (
            "calibrated_sensor",
            lambda rows: [row.update(camera_intrinsic=[]) for row in rows],
            r"scene-0061, sample smp_0008: calibrated_sensor\.json: cs_\d+ is a camera's and has no camera_intrinsic;",
        ),
        (
            "sample",
            lambda rows: [row.update(timestamp=10**15 - i) for i, row in enumerate(rows)],
            r"sample\.json: smp_0009 of scene-0061 is not later than the key frame before it; unpack",
        ),
    ],
)
def test_bad_rows_name_scene_and_sample(copy, table, change, message):
    edit(copy, table, change)
    with pytest.raises(UserError, match=message):
        reader = tiny_root.key_frames(copy)
        for i in range(len(reader)):
            reader.record(i, {})
