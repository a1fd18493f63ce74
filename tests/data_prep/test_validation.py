"""The checks of records: nothing in good ones, and each kind of problem where it is."""

import shutil

import numpy as np
import pytest

from data_prep import validation
from dima_jax.data import records
from tests import tiny_root


def test_validate_finds_nothing_in_a_good_set(built, capsys):
    assert validation.validate(str(built)) == []
    assert "train: 11 key frames of 1 scenes, 0 problems" in capsys.readouterr().out


def test_validate_names_what_is_wrong(built, tmp_path):
    folder = shutil.copytree(built, tmp_path / "records")
    path = folder / records.shard_name("train", 0, 1)
    data = bytearray(path.read_bytes())
    data[records.walk(path)[3].offset + 500] ^= 1
    path.write_bytes(data)
    (problem,) = validation.validate(str(folder))
    assert "corrupt record of scene-0061, sample smp_0011" in problem


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda f: f["ego2global"].__setitem__((0, 0), 2.0), "ego2global is no rigid motion"),
        (lambda f: f["agents"]["boxes"].__setitem__((0, 0), np.nan), "has an impossible box"),
        (lambda f: f["agents"]["boxes"].__setitem__((0, 7), 99), "moves at 99 m/s"),
        (lambda f: f["agents"]["future_offsets"].__setitem__(~f["agents"]["future_mask"], 1), "goes on after it ended"),
        (lambda f: f["map"]["vertices"].__setitem__((0, 0), 90.0), "a map line leaves its patch"),
        (lambda f: f["cameras"]["images"].__setitem__(2, b"\xff\xd8"), "not a JPEG file"),
        (lambda f: f["cameras"]["intrinsics"].__setitem__((1, 0, 2), 800.0), "intrinsics do not fit"),
        (lambda f: f["qa"].update(questions=["<c1,CAM_UP,1,2>?"], answers=["No."]), "CAM_UP,1,2> names no camera"),
        (
            lambda f: f["qa"].update(questions=["<c5,CAM_FRONT_RIGHT,2343.0,298.0>?"], answers=["No."]),
            "<c5,CAM_FRONT_RIGHT,2343.0,298.0> is outside of the image of 1600 x 900",
        ),
    ],
)
def test_validate_checks_each_frame(dataset, spoil, problem):
    record = tiny_root.key_frames(dataset).record(8, {})
    assert list(validation._frame_problems(record)) == []
    spoil(record)
    assert problem in "\n".join(validation._frame_problems(record))
