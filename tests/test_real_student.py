"""Real key frames all the way: record, loader, student (random weights), ONNX, picture. Nothing real is committed."""

import numpy as np
import pytest
from flax import nnx

from dima_jax import evaluate, export, weights
from dima_jax.data import sequences
from dima_jax.student import student as student_lib
from tests import realdata
from tests.mini import mini_config


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    frames = [realdata.mmdet3d_key_frame(), realdata.drivelm_key_frame()]
    config = mini_config(realdata.write_split(tmp_path_factory.mktemp("real"), "val", frames))
    config.data.update(image_scale=0.1, valid_shape=(90, 160), image_shape=(96, 160))
    return config


def test_real_frames_drive_student_and_onnx_alike_and_are_drawn(config, tmp_path):
    student = student_lib.build(config, nnx.Rngs(0))
    _, params = weights.split(student)
    params = {f"student/{path}": value for path, value in params.items()}
    driven = list(evaluate.run_students(config, params, "val", {"student": lambda images: images}))
    assert [len(drive.frame.questions) > 0 for drive in driven] == [False, True]
    assert all(np.isfinite(drive.plans["student"]).all() for drive in driven)

    file = export.export_student(student, config, tmp_path / "student.onnx")
    frames = [drive.frame.frame for drive in driven]
    assert export.compare(student, config, file, frames)["waypoints_all"] <= export.TOLERANCE

    evaluate.draw(driven[0], config, tmp_path)
    picture = tmp_path / f"{driven[0].frame.scene}.png"
    assert picture.stat().st_size > 100_000


def test_a_blank_image_changes_the_plan(config):
    """The control of `--blank_images` is really another input."""
    student = student_lib.build(config, nnx.Rngs(0))
    params = {f"student/{path}": value for path, value in weights.split(student)[1].items()}
    changes = {"student": lambda images: images, "student, blank images": np.zeros_like}
    drive = next(iter(evaluate.run_students(config, params, "val", changes)))
    assert np.abs(drive.plans["student"] - drive.plans["student, blank images"]).max() > 1e-4
    assert isinstance(drive.frame, sequences.DriveFrame)
