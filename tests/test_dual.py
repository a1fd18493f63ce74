"""DiMA-Dual: each head on the maximum of both ego features, rows of its own in the tables, one-line refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import checkpoints, driving, evaluation, weights
from dima_jax.data import fake_batch, sequences
from dima_jax.errors import UserError
from dima_jax.policy import Policy
from dima_jax.prediction_writer import Places


@pytest.fixture(scope="module")
def dual(joint_run):
    return evaluation.load_dual(joint_run.folder, checkpoints.load_student(joint_run.folder)[0])


def test_dual_is_the_maximum_of_both_features_through_each_head(joint_run, dual):
    """The features come from the pass of training, which reads text too; the last Linears are written out."""
    _, config, params, graph = joint_run
    batch = jax.tree.map(jnp.asarray, fake_batch.example(config))

    @jax.jit
    def both(params):
        output = weights.bind(graph, params)(batch, history=1, key=jax.random.key(0), is_training=False)
        return output.student, output.teacher.ego_feature, output.teacher.ego_offsets

    student, teacher_feature, teacher_offsets = both(params)
    feature = np.where(student.ego_feature > teacher_feature, student.ego_feature, teacher_feature)
    assert (feature != student.ego_feature).any() and (feature != teacher_feature).any()
    plans = dual(student)
    for name, last in (("student", "student/planner/waypoints/last"), ("teacher", "teacher/ego_head/out")):
        expected = feature @ np.asarray(params[f"{last}/kernel"]) + np.asarray(params[f"{last}/bias"])
        got = plans.pop(f"DiMA-Dual + LLM, {name}'s head")
        np.testing.assert_allclose(got, expected.reshape(got.shape), atol=1e-4)
        assert np.abs(got - student.ego_offsets).max() > 1e-2
    np.testing.assert_allclose(plans.pop("teacher alone (LLM)"), teacher_offsets, atol=1e-4)
    assert not plans


def test_dual_adds_rows_and_changes_none(joint_run, dual, tmp_path):
    policy = Policy.load(joint_run.folder)
    places = Places.beside(tmp_path / "scores.json")
    beside = evaluation.evaluate(policy, joint_run.config, "val", places, dual=dual)
    alone = [one.plans for one in driving.drive(policy, sequences.Drives(joint_run.config, "val"))]
    assert dual.teacher_weights == weights.count(weights.with_prefix(joint_run.params, "teacher/"))
    np.testing.assert_array_equal(beside.driven.plans["student"], [plans["student"] for plans in alone])
    extra = [name for name in beside.driven.plans if name != "student"]
    assert len(extra) == 3
    rows = beside.result["scores"]["stp3_vad"]["all frames"]
    assert rows["student"] != rows["DiMA-Dual + LLM, student's head"]
    assert {one["kind"] for one in beside.result["planners"] if one["name"] in extra} == {"prediction"}


def test_dual_needs_a_teacher(joint_run, tmp_path):
    folder, config, params, _ = joint_run
    checkpoints.save_student(tmp_path, weights.with_prefix(params, "student/"), config)
    with pytest.raises(UserError, match="holds a student alone; give the folder of a whole run"):
        evaluation.load_dual(tmp_path, config)
    config = config.copy_and_resolve_references()
    config.teacher.lora.alpha = 1.0
    with pytest.raises(UserError, match=r"teacher\.lora\.alpha was 16\.0, is 1\.0"):
        evaluation.load_dual(folder, config)
    config.teacher.enabled = False
    checkpoints.save_student(tmp_path / "stage2", weights.with_prefix(params, "student/"), config)
    with pytest.raises(UserError, match=r"trained without a teacher.*leave --dual out") as refusal:
        evaluation.load_dual(tmp_path / "stage2", config)
    assert "\n" not in str(refusal.value)
