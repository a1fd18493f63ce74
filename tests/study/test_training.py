"""A seed of an arm is a run of training; seeds do not touch each other; what a teacher said is what the student is given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax import optimizer, train_step, weights
from dima_jax.convert import llm_folder
from dima_jax.convert.rules import Target
from dima_jax.data import loader
from dima_jax.errors import UserError
from dima_jax.interrupts import StopOnSignal
from dima_jax.sharded_model import ShardedModel
from dima_jax.study import frames, training
from dima_jax.study.plan import config_of
from dima_jax.teacher.llama import Llama
from dima_jax.types import TaughtEgo
from dima_jax.vector import planning
from tests import tiny_root
from tests.study import mini


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    return mini.plan(tiny_root.write_records(tiny_root.make(folder / "root"), folder / "records"))


@pytest.fixture(scope="module")
def data(plan):
    config = config_of(plan, plan.arm("alone"))
    train, val = (frames.windows(config, split)[1] for split in ("train", "val"))
    return training.Data(train, None, val)


def trained(plan, data, name, taught=None, *, teaches=False, seeds=mini.SEEDS, **changes):
    config = config_of(plan, plan.arm(name))
    config.update_from_flattened_dict(changes)
    with StopOnSignal() as stop:
        return training.train(config, seeds, data, taught, teaches=teaches, name=name, stop=stop)


@pytest.fixture(scope="module")
def alone(plan, data):
    return trained(plan, data, "alone")


@pytest.fixture(scope="module")
def privileged(plan, data):
    return trained(plan, data, "privileged", teaches=True)


def test_a_seed_is_what_training_with_that_seed_is(plan, data, alone):
    """Same weights, same windows, same keys: the losses of every step, and the plans of the student that comes out."""
    config = config_of(plan, plan.arm("alone"))
    config.seed = 1
    config.data.cameras = ()
    model, windows = ShardedModel(config, jax.devices()[:1]), loader.TrainWindows(config)
    optim = optimizer.build(config, len(windows.records) // mini.BATCH)
    state, frozen = train_step.init_train_state(model, optim)
    step, logs = train_step.make_train_step(model, optim), []
    for i in range(mini.STEPS):
        state, log = step(state, frozen, windows.batch(mini.BATCH * i, mini.BATCH), jax.random.key(1))
        logs.append(jax.device_get(log))
    for curve, name in training.CURVES.items():
        if name in logs[0]:
            np.testing.assert_allclose(alone.curves[curve][1], [log[name] for log in logs], rtol=2e-4, err_msg=curve)
    student = weights.with_prefix({**state.params, **frozen}, "student/")
    params = {path.removeprefix("student/"): value for path, value in student.items()}
    graph = mini_graph(config)
    plans = planning.plans(graph, params, jax.tree.map(jnp.asarray, data.val), jax.random.key(1))
    np.testing.assert_allclose(alone.plans[1], plans, atol=2e-3)
    assert alone.curves.keys() == {"loss", "plan_loss", "l2_student"}


def mini_graph(config):
    from flax import nnx

    from dima_jax import students

    return weights.split(nnx.eval_shape(lambda: students.build(config, nnx.Rngs(0))))[0]


def test_a_seed_alone_is_the_seed_among_others(plan, data, alone):
    one = trained(plan, data, "alone", seeds=1)
    np.testing.assert_allclose(one.plans[0], alone.plans[0], atol=1e-4)
    assert np.abs(alone.plans[0] - alone.plans[1]).max() > 1e-2


def test_what_is_taught_changes_the_student_and_is_compared_with_the_truth(plan, data, alone, privileged):
    taught = trained(plan, data, "taught", privileged.taught)
    assert np.abs(taught.plans - alone.plans).max() > 1e-4
    assert taught.curves["loss"][0, 0] > taught.curves["plan_loss"][0, 0]
    said, batch = privileged.taught, data.train
    assert said.ego_feature.shape == (2, len(batch.index), 64)
    rows = frames.order(len(batch.index), 1, mini.STEPS, mini.BATCH, 1).rows[0]
    offsets = np.einsum("brft,br->bft", said.ego_offsets[1][rows], batch.command[rows])
    far = np.linalg.norm(np.cumsum(offsets - batch.ego.future_offsets[rows], axis=1), axis=-1)
    expected = far[batch.ego.future_mask[rows]].mean()
    np.testing.assert_allclose(taught.curves["l2_teacher"][1, 0], expected, rtol=1e-4)


def test_a_teacher_that_plans_nothing_teaches_by_its_feature(plan, data, alone):
    feature = np.random.default_rng(0).normal(size=(2, len(data.train.index), 64)).astype(np.float32)
    taught = trained(plan, data, "taught", TaughtEgo(feature, None))
    assert np.abs(taught.plans - alone.plans).max() > 1e-4 and "l2_teacher" not in taught.curves


@pytest.fixture
def with_folder(plan, tmp_path):
    """The config of an arm whose LLM is read from a folder."""
    config = config_of(plan, mini.Arm("joint", "With an LLM.", {"teacher.weights": str(tmp_path)}))
    sizes = {key: value for key, value in config.teacher.llm.items() if key not in ("dtype", "remat", "rope_scaling")}
    writer = llm_folder.Writer(tmp_path, sizes, "float32")
    for path, value in weights.split(Llama(**config.teacher.llm, rngs=nnx.Rngs(5)))[1].items():
        writer.write(Target(path, None), np.asarray(value))
    writer.close()
    config.train.max_steps = 1
    return config


def test_a_frozen_base_that_is_read_is_kept_once(plan, data, with_folder, monkeypatch):
    """Whether each seed has its own or all share one, the same is learned."""
    config = with_folder
    _, own, base = training.starts(config, 2)
    assert base and all(path.startswith("teacher/llm/") for path in base)
    assert not own.keys() & base.keys() and any(path.startswith("teacher/lora/") for path in own)
    layers = config.teacher.llm.layers
    assert len(base["teacher/llm/layers/q/kernel"]) == layers and own["teacher/lora/q/a"].shape[:2] == (2, layers)
    words = frames.words(config, "train", 2)
    found = []
    for _ in range(2):
        with StopOnSignal() as stop:
            options = dict(teaches=True, llm_drives=False, name="joint", stop=stop)
            found.append(training.train(config, 2, data._replace(words=words), None, **options))
        monkeypatch.setattr(training, "shared_base", lambda *_: {})
    assert found[0].llm_plans is None
    np.testing.assert_allclose(found[0].plans, found[1].plans, atol=1e-5)
    np.testing.assert_allclose(found[0].taught.ego_feature, found[1].taught.ego_feature, atol=1e-4)


def test_a_base_that_is_drawn_or_trained_is_each_seeds_own(with_folder):
    config = with_folder
    config.optim.groups = ((".*", 1.0),)
    params = {"teacher/llm/layers/q/kernel": 0, "student/x": 1}
    assert training.shared_base(config, params) == {}
    config.optim.groups, config.teacher.weights = (("teacher/llm/.*", 0.0), (".*", 1.0)), ""
    assert training.shared_base(config, params) == {}


def test_an_llm_teaches_in_the_same_program(plan, data, privileged):
    joint = mini.plan(plan.data, arms=(*plan.arms, mini.Arm("joint", "With an LLM.")))
    config = config_of(joint, joint.arm("joint"))
    config.train.max_steps = 1
    words = frames.words(config, "train", 2)
    with StopOnSignal() as stop:
        found = training.train(config, 1, data._replace(words=words), None, teaches=True, name="joint", stop=stop)
    assert found.curves["l2_teacher"].shape == (1, 1) and np.isfinite(found.plans).all()
    assert found.taught.ego_feature.shape[1:] == privileged.taught.ego_feature.shape[1:]
    assert found.llm_plans.shape == found.plans.shape and np.abs(found.llm_plans - found.plans).max() > 1e-3


def test_a_loss_that_is_not_finite_is_named(plan, data):
    with pytest.raises(UserError, match=r"alone, seed 0: the loss is not finite by step \d; lower optim.learning_rate"):
        trained(plan, data, "alone", **{"optim.learning_rate": 1e30, "optim.clip_norm": 1e30, "optim.warmup_steps": 0})


def test_a_signal_ends_an_arm(plan, data):
    stop = StopOnSignal()
    stop.requested = True
    config = config_of(plan, plan.arm("alone"))
    assert training.train(config, 2, data, None, teaches=False, name="alone", stop=stop) is None


def test_too_few_frames_are_refused(plan, data):
    with pytest.raises(UserError, match="11 training frames, fewer than the plan's batch=12"):
        trained(plan, data, "alone", **{"data.batch_size": 12})


def test_parts_are_joined_again(data):
    parts = training.parts(data.val)
    assert parts.index.shape == (1, training.AT_ONCE)
    both = jnp.stack([parts.can_bus, parts.can_bus + 1.0])
    np.testing.assert_array_equal(training.joined(both, 11)[1], data.val.can_bus + 1.0)


@pytest.mark.parametrize(("steps", "part"), [(1, 1), (40, 1), (100, 2), (800, 20), (4000, 100), (97, 1)])
def test_parts_of_a_run_are_equal(steps, part):
    assert training.part_of(steps) == part


def test_curves_are_short():
    logs = [{"loss": np.array([1.0, 2.0]) * step} for step in range(97)]
    found = training.curves(logs)["loss"]
    assert found.shape == (2, training.POINTS) and found[0, 0] == 1.0 and found[1, -1] == pytest.approx(2 * 95.5)


def test_devices_share_the_seeds_evenly():
    assert training.seed_mesh(8).size == min(8, len(jax.devices()))
    assert training.seed_mesh(3).size == 3 and training.seed_mesh(7).size == 7 and training.seed_mesh(11).size == 1
