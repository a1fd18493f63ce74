"""DiMA-Dual: each head on the maximum of both ego features, rows of its own in the tables, one-line refusals."""

import jax
import numpy as np
import pytest

from dima_jax import checkpoints, evaluate, optimizer, train_loop, weights
from dima_jax.data import fake_batch
from dima_jax.errors import UserError
from dima_jax.sharded_model import ShardedModel
from dima_jax.train_step import init_train_state
from tests import tiny_root
from tests.mini import mini_config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(folder of a joint run whose teacher is not what init draws, its config, all its weights, model structure)."""
    folder = tmp_path_factory.mktemp("dual")
    config = mini_config(tiny_root.write_records(tiny_root.make(folder / "root"), folder / "records"))
    model = ShardedModel(config, jax.devices()[:1])
    state, frozen = init_train_state(model, optimizer.build(config, steps_per_epoch=1))
    rng = np.random.default_rng(0)
    for path, value in weights.with_prefix(state.params, "teacher/").items():
        state.params[path] = np.asarray(value) + rng.normal(size=value.shape, scale=0.1).astype(np.float32)
    manager = checkpoints.open_manager(str(folder / "run"), keep=1)
    train_loop.save(manager, state, frozen, 0, config)
    manager.wait_until_finished()
    return folder / "run", config, state.params | frozen, model.graph


@pytest.fixture(scope="module")
def dual(run):
    return evaluate.load_dual(run[0], checkpoints.load_student(run[0])[0])


def test_dual_is_the_maximum_of_both_features_through_each_head(run, dual):
    """The features come from the pass of training, which reads text too; the last Linears are written out."""
    _, config, params, graph = run
    batch = fake_batch.example(config)

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


def test_dual_adds_rows_and_changes_none(run, dual, tmp_path, capsys):
    folder, config, _, _ = run
    params = checkpoints.load_student(folder)[1]
    alone, beside = (
        evaluate.evaluate(config, params, "val", blank=False, num_figures=0, folder=tmp_path, dual=given)
        for given in (None, dual)
    )
    assert "dual" not in alone and beside["dual"]["teacher_weights"] == weights.count(
        weights.with_prefix(run[2], "teacher/")
    )
    for subset, rows in alone["planning"].items():
        more = beside["planning"][subset]
        assert len(more) == len(rows) + 3
        np.testing.assert_equal({name: more[name] for name in rows}, rows)
        assert more["student"] != more["DiMA-Dual + LLM, student's head"]
    evaluate.print_tables(beside | {"split": "val", "seed": 0, "step": 0, "checkpoint": "run"})
    assert "planners with the LLM" in capsys.readouterr().out


def test_dual_needs_a_teacher(run, tmp_path):
    folder, config, params, _ = run
    checkpoints.save_student(tmp_path, weights.with_prefix(params, "student/"), config)
    with pytest.raises(UserError, match="holds a student alone; give the folder of a whole run"):
        evaluate.load_dual(tmp_path, config)
    config = config.copy_and_resolve_references()
    config.teacher.lora.alpha = 1.0
    with pytest.raises(UserError, match=r"teacher\.lora\.alpha was 16\.0, is 1\.0"):
        evaluate.load_dual(folder, config)
    config.teacher.enabled = False
    checkpoints.save_student(tmp_path / "stage2", weights.with_prefix(params, "student/"), config)
    with pytest.raises(UserError, match=r"trained without a teacher.*leave --dual out") as refusal:
        evaluate.load_dual(tmp_path / "stage2", config)
    assert "\n" not in str(refusal.value)
