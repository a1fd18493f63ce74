"""What is kept is what the teacher of the run says in evaluation; a command that was stopped goes on."""

import numpy as np
import pytest

from dima_jax import driving, evaluation, teaching_drive
from dima_jax.data import sequences
from dima_jax.errors import UserError
from dima_jax.policy import Policy
from dima_jax.teacher_cache import TeacherCache


def test_keeps_what_the_teacher_plans_in_evaluation(joint_run, tmp_path, monkeypatch):
    config = joint_run.config
    cache = teaching_drive.write(joint_run.folder, config, "val", tmp_path / "taught")
    drives = sequences.Drives(config, "val")
    taught = cache.load(drives.records, config.student)
    dual, policy = evaluation.load_dual(joint_run.folder, config), Policy.load(joint_run.folder, config)
    for i, one in enumerate(driving.drive(policy, drives, dual=dual)):
        path = driving.path_of(taught.ego_offsets[None, i], one.frame.frame.command[0].argmax())
        np.testing.assert_allclose(path, one.plans["teacher alone (LLM)"], atol=1e-5)
    last = joint_run.params["teacher/ego_head/out/kernel"], joint_run.params["teacher/ego_head/out/bias"]
    offsets = taught.ego_feature @ np.asarray(last[0]) + np.asarray(last[1])
    np.testing.assert_allclose(offsets.reshape(taught.ego_offsets.shape), taught.ego_offsets, atol=1e-4)

    scene = sorted((tmp_path / "taught").glob("*.npz"))[0]
    others = {path: path.stat().st_mtime_ns for path in (tmp_path / "taught").glob("*.npz") if path != scene}
    before = scene.read_bytes()
    scene.unlink()
    teaching_drive.write(joint_run.folder, config, "val", tmp_path / "taught")
    assert scene.read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in others} == others


def test_two_commands_share_the_scenes(joint_run, tmp_path):
    for part in (0, 1):
        teaching_drive.write(joint_run.folder, joint_run.config, "train", tmp_path, part=part, parts=2)
    records = sequences.Drives(joint_run.config, "train").records
    assert len(TeacherCache(tmp_path).load(records, joint_run.config.student).ego_feature) == len(records)


def test_needs_a_run_with_a_teacher(student_run, tmp_path):
    with pytest.raises(UserError, match="holds a student alone"):
        teaching_drive.write(student_run.folder, student_run.config, "val", tmp_path / "taught")
    assert not (tmp_path / "taught").exists()
