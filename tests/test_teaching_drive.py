"""What is kept is what the teacher of the run says in evaluation; a command that was stopped goes on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import driving, evaluation, teaching_drive
from dima_jax.data import sequences
from dima_jax.data.records import Records
from dima_jax.errors import UserError
from dima_jax.jax_student import without_prefix
from dima_jax.policy import Policy
from dima_jax.teacher_cache import TeacherCache
from dima_jax.vector import planning
from tests import runs
from tests.vector import mini as vector_mini


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


@pytest.mark.parametrize("has_llm", [False, True], ids=["privileged student", "LLM"])
def test_a_run_of_vector_mode_says_what_it_plans(joint_run, has_llm, tmp_path):
    """All frames at once in the study's way, frame by frame here; a student that sees images may learn from either."""
    config = vector_mini.vector_config(joint_run.config.data.path, future=True, velocity=True, jitter=0.3)
    config.teacher.enabled = has_llm
    run = runs.joint(config, tmp_path)
    cache = teaching_drive.write(run.folder, config, "train", tmp_path / "taught")
    records = Records(config.data.path, "train")
    taught = cache.load(records, joint_run.config.student)
    frames = jax.tree.map(jnp.asarray, planning.recorded_frames(config, "train")[1])
    key = jax.random.key(config.seed, impl="threefry2x32")
    params = jax.tree.map(jnp.asarray, run.params)
    said = planning.taught(run.graph, params, frames, key)
    np.testing.assert_allclose(taught.ego_feature, said.ego_feature, atol=1e-5)
    np.testing.assert_allclose(taught.ego_offsets, said.ego_offsets, atol=1e-5)
    plans = planning.plans(vector_mini.student(config)[0], without_prefix(params), frames, key)
    chosen = np.cumsum(np.einsum("brft,br->bft", taught.ego_offsets, frames.command), axis=1)
    assert np.allclose(chosen, plans, atol=1e-4) != has_llm


def test_another_noise_is_another_teacher(joint_run, tmp_path):
    config = vector_mini.vector_config(joint_run.config.data.path, jitter=0.3)
    config.teacher.enabled = False
    run = runs.joint(config, tmp_path)
    teaching_drive.write(run.folder, config, "val", tmp_path / "taught")
    config.vector.jitter = 0.1
    with pytest.raises(UserError, match="another config; give another --out"):
        teaching_drive.write(run.folder, config, "val", tmp_path / "taught")


def test_needs_a_run_with_a_teacher(student_run, tmp_path):
    with pytest.raises(UserError, match="holds a student alone"):
        teaching_drive.write(student_run.folder, student_run.config, "val", tmp_path / "taught")
    assert not (tmp_path / "taught").exists()
