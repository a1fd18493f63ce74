"""Real key frames all the way: record, loader, student (random weights), ONNX, picture. Nothing real is committed."""

import numpy as np
import pytest
from flax import nnx

from dima_jax import driving, export, onnx_export, report, variants, weights
from dima_jax.data import sequences
from dima_jax.jax_student import JaxStudent
from dima_jax.policy import Policy
from dima_jax.student import student as student_lib
from tests import realdata
from tests.mini import mini_config


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    frames = [realdata.mmdet3d_key_frame(), realdata.drivelm_key_frame()]
    config = mini_config(realdata.write_split(tmp_path_factory.mktemp("real"), "val", frames))
    config.data.update(image_scale=0.1, valid_shape=(90, 160), image_shape=(96, 160))
    return config


@pytest.fixture(scope="module")
def student(config):
    return JaxStudent(config, weights.split(student_lib.build(config, nnx.Rngs(0)))[1])


def test_real_frames_drive_student_and_onnx_alike_and_are_drawn(config, student, tmp_path):
    driven = list(driving.drive(Policy(student), sequences.Drives(config, "val")))
    assert [len(drive.frame.questions) > 0 for drive in driven] == [False, True]
    assert all(np.isfinite(drive.plans["student"]).all() for drive in driven)

    file = onnx_export.export_student(student, tmp_path / "student.onnx")
    frames = [drive.frame.frame for drive in driven]
    assert onnx_export.compare(student, file, frames)["waypoints_all"] <= export.TOLERANCE

    report.draw(driven[0], config.student.pc_range, tmp_path)
    picture = tmp_path / f"{driven[0].frame.scene}.png"
    assert picture.stat().st_size > 100_000


def test_a_blank_image_changes_the_plan(config, student):
    """The control of `--blank_images` is really another input."""
    rows = variants.chosen(blank_images=True, other_images=False, audit=False)
    driven = next(driving.drive(Policy(student), sequences.Drives(config, "val"), variants=rows))
    assert np.abs(driven.plans["student"] - driven.plans["student, blank images"]).max() > 1e-4
    assert isinstance(driven.frame, sequences.DriveFrame)
