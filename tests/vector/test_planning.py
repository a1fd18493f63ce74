"""Plans of recorded frames in vector mode: what scoring reads, for one seed or many."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import dima, weights
from dima_jax.data import loader, sequences
from dima_jax.errors import UserError
from dima_jax.losses import dima_loss
from dima_jax.scoring import predictions, token_lists
from dima_jax.vector import planning
from tests import tiny_root
from tests.vector import mini
from tests.vector.mini import KEY

NOISE = dict(agent_dropout=0.2, line_dropout=0.2, jitter=0.3, range_noise=0.02)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vector")
    return mini.vector_config(tiny_root.write_records(tiny_root.make(folder / "root"), folder / "records"), **NOISE)


@pytest.fixture(scope="module")
def recorded(config):
    return planning.recorded_frames(config, "val")


def test_recorded_frames_are_those_of_evaluation(config, recorded):
    tokens, frames = recorded
    for i, frame in enumerate(sequences.iterate_scenes(config, "val")):
        assert tokens[i] == frame.sample_token and frames.index[i] == i
        np.testing.assert_array_equal(frames.command[i], frame.frame.command[0])
        np.testing.assert_array_equal(frames.can_bus[i, 0, 3:17], frame.frame.can_bus[0, 3:17])
        np.testing.assert_array_equal(
            frames.agents.boxes[i, : frame.agents.mask.sum()], frame.agents.boxes[frame.agents.mask]
        )
        points = frame.map.points[frame.map.mask]
        np.testing.assert_array_equal(frames.map.points[i, frames.map.mask[i]], points[:, :1])
        np.testing.assert_array_equal(frames.ego.future_offsets[i], frame.ego.future_offsets[0])
    assert len(tokens) == i + 1 and frames.images.shape[:3] == (len(tokens), 1, 0)


def test_the_frame_before_is_known_where_training_knows_it(config):
    with_history = config.copy_and_resolve_references()
    with_history.data.history = 1
    _, frames = planning.recorded_frames(with_history, "val")
    for i, frame in enumerate(sequences.iterate_scenes(config, "val")):
        np.testing.assert_array_equal(frames.can_bus[i], frame.frame.can_bus)
    assert frames.can_bus[:, 0, :2].any() and not planning.recorded_frames(config, "val")[1].can_bus[:, 0, :2].any()


def test_a_split_without_records_is_named(config):
    with pytest.raises(UserError, match="absent"):
        planning.recorded_frames(config, "absent")


def test_scoring_reads_what_is_planned(config, recorded, tmp_path):
    tokens, frames = recorded
    graph, params = mini.student(config)
    waypoints = jax.jit(lambda frames: planning.plans(graph, params, frames, KEY))(frames)
    output = weights.bind(graph, params)(jax.tree.map(jnp.asarray, frames), history=0, key=KEY)
    for i, command in enumerate(frames.command.argmax(-1)):
        np.testing.assert_allclose(waypoints[i], output.ego_offsets[i, command].cumsum(0), atol=1e-5)
    predictions.write(
        tmp_path / "plans.npz", tokens, planning.arrays(waypoints), {"planner": "vector", "frame": "lidar"}
    )
    read = predictions.load(tmp_path / "plans.npz")
    assert read.tokens == tokens and read.frame == "lidar"
    np.testing.assert_array_equal(read.plans, np.asarray(waypoints, np.float64))


def test_two_seeds_at_once_are_two_runs(config):
    """Plans, losses and gradients of two students in one program are those of each alone."""
    batch = mini.example(config)
    graph, first = mini.student(config)
    second = mini.student(config, seed=1)[1]
    keys = jax.random.split(KEY, 2)
    loss_weights, pc_range = config.loss.to_dict(), tuple(config.student.pc_range)

    def learn(params, key):
        def loss(params):
            output = weights.bind(graph, params)(batch, history=0, key=key, is_training=True)
            matches = dima_loss.match(output, batch, loss_weights)
            terms = dima_loss.student_terms(output, batch, matches, loss_weights, pc_range)
            return dima_loss.total(terms, loss_weights)[0]

        return planning.plans(graph, params, batch, key), *jax.value_and_grad(loss)(params)

    together = jax.jit(jax.vmap(learn))(jax.tree.map(lambda *x: jnp.stack(x), first, second), keys)
    alone = jax.jit(learn)
    for seed, params in enumerate((first, second)):
        for both, one in zip(jax.tree.leaves(together), jax.tree.leaves(alone(params, keys[seed])), strict=True):
            np.testing.assert_allclose(both[seed], one, atol=2e-5, rtol=1e-3)
    assert np.abs(together[0][0] - together[0][1]).max() > 1e-2


def test_training_reads_facts_and_no_path_that_is_held_out(config, tmp_path):
    config = config.copy_and_resolve_references()
    tokens, plain = planning.recorded_frames(config, "train")
    path = tmp_path / "tokens.json"
    content = {"format": token_lists.FORMAT, "version": token_lists.VERSION, "tokens": {"some": tokens[1:3]}}
    path.write_text(json.dumps(content))
    config.data.hold_out_paths, config.auxiliary.facts = (f"{path}:some",), True
    _, frames = planning.recorded_frames(config, "train")
    assert not frames.ego.future_mask[1:3].any() and not frames.ego.future_offsets[1:3].any()
    np.testing.assert_array_equal(
        np.delete(frames.ego.future_mask, [1, 2], 0), np.delete(plain.ego.future_mask, [1, 2], 0)
    )
    order = loader.TrainWindows(config)
    for window in map(order.sample, range(len(tokens))):
        for one, other in ((window.ego, frames.ego), (window.facts, frames.facts)):
            for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
                np.testing.assert_array_equal(a, b[window.index])
    assert plain.facts is None is planning.recorded_frames(config, "val")[1].facts


def test_the_teachers_own_plan_is_that_of_its_ego_head(config):
    model = dima.build(config, seed=0)
    graph, params = weights.split(model)
    batch = mini.example(config)
    found = jax.jit(lambda batch: planning.teacher_plans(graph, params, batch, KEY))(batch)
    student = weights.bind(graph, params).student(batch, history=0, key=KEY)
    output = jax.jit(lambda *inputs: model.teacher(*inputs, key=KEY, is_training=False))(
        student.tokens, student, batch.text, batch.edit_text, batch.command, batch.ego
    )
    for i, command in enumerate(np.argmax(batch.command, axis=-1)):
        np.testing.assert_allclose(found[i], output.ego_offsets[i, command].cumsum(0), atol=1e-4)
    assert np.abs(found - planning.plans(*weights.split(model.student), batch, KEY)).max() > 1e-3
    alone = weights.split(dima.DiMA(model.student, None))
    with pytest.raises(ValueError, match="no teacher"):
        planning.teacher_plans(*alone, batch, KEY)
