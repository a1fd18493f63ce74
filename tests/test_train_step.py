"""The joint step: what learns from what. One compiled function serves all questions, by weights of the terms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import dima, optimizer, train_step, weights
from dima_jax.convert import llm_folder
from dima_jax.convert.rules import Target
from dima_jax.data import loader
from dima_jax.losses import dima_loss
from dima_jax.sharded_model import ShardedModel
from dima_jax.train_step import abstract_train_state
from tests.mini import mini_config

TEACHER_TERMS = (
    *(f"teacher_{name}" for name in ("imitation", "boundary", "collision", "direction", "agents")),
    "language",
    "reconstruction",
    "future",
    *(f"edit_{name}" for name in ("imitation", "boundary", "collision", "direction", "language")),
)
SCENE_ENCODER = ("student/image_encoder/", "student/bev_encoder/")


@pytest.fixture(scope="module")
def sharded():
    return ShardedModel(mini_config())


@pytest.fixture(scope="module")
def state(sharded):
    return optimizer.split_frozen(sharded.init_params(), sharded.config.optim.groups)


def confident(params, agents_on_the_ego=True):
    """Weights whose student sees cars, boundaries and dividers, and whose planners move: so every constraint bites.

    With the agents elsewhere, an edit leaves the recorded path alone, so the edited pass imitates it.
    """
    params = dict(params)
    for path, value in params.items():
        if "_head/classes/last/bias" in path:  # [layers, classes]
            params[path] = jnp.zeros_like(value).at[:, 0].set(3.0).at[:, 2].set(2.0)
        if path.startswith("student/agent_head/") and "/reference/" in path and agents_on_the_ego:
            params[path] = jnp.zeros_like(value)
        if value.shape == (36,):  # the planners' last bias: 0.4 m forward and a little sideways per step
            params[path] = jnp.tile(jnp.array([0.15, 0.4]), 18)
    return params


def terms_of(config):
    """The terms without auxiliary heads."""
    names = set(config.loss.keys()) - {"distill_temperature", "facts"}
    return {name for name in names if not name.startswith(("image_", "bev_", "group_"))}


@pytest.fixture(scope="module")
def gradients(sharded, state):
    """names of terms -> (means, gradients of their sum)."""
    initial, frozen = state
    batch = jax.tree.map(jnp.asarray, loader.example(sharded.config))
    batch = batch.replace(agents=batch.agents.replace(boxes=batch.agents.boxes.at[..., :2].multiply(0.2)))
    names = sorted(terms_of(sharded.config))

    @jax.jit
    def compute(params, shares, key):
        def objective(params):
            model = weights.bind(sharded.graph, {**params, **frozen})
            output = model(batch, history=sharded.config.data.history, key=key, is_training=True)
            _, means = dima_loss.total(
                train_step.loss_terms(output, batch, sharded.config), sharded.config.loss.to_dict()
            )
            return sum(shares[i] * means[name] for i, name in enumerate(names)), means

        return jax.grad(objective, has_aux=True)(params)

    def run(*terms):
        params = confident(initial, agents_on_the_ego="edit_imitation" not in terms)
        shares = jnp.array([float(name in terms) for name in names])
        for draw in range(8):  # edits are drawn: the first draw in which the terms bite
            found, means = compute(params, shares, jax.random.key(draw))
            if all(means[name] > 0.0 for name in names if name in terms):
                break
        return means, found

    return run


def test_a_base_from_a_folder_is_never_drawn(sharded, state, tmp_path):
    """Its place is kept as shapes until the folder is read, and every other weight is as beside a drawn base."""
    config = sharded.config.copy_and_resolve_references()
    config.teacher.weights = str(tmp_path)
    sizes = {key: value for key, value in config.teacher.llm.items() if key not in ("dtype", "remat")}
    writer = llm_folder.Writer(tmp_path, sizes, "float32")
    for i, (path, shape) in enumerate(writer.shapes.items()):
        for layer in range(shape[0]) if path.startswith("layers/") else [None]:
            slot = shape if layer is None else shape[1:]
            writer.write(Target(path, layer), np.full(slot, i + 0.25 * (layer or 0), np.float32))
    writer.close()
    abstract_llm = weights.split(dima.build(config, config.seed, init_llm=False))[1]
    assert all(
        isinstance(value, jax.ShapeDtypeStruct) == path.startswith("teacher/llm/")
        for path, value in abstract_llm.items()
    )
    loaded = ShardedModel(config).init_params()
    drawn = state[0] | state[1]
    assert loaded.keys() == drawn.keys()
    for path, value in loaded.items():
        if not path.startswith("teacher/llm/"):
            np.testing.assert_array_equal(value, drawn[path], err_msg=path)
    up = loaded["teacher/llm/layers/up/kernel"]
    number = list(writer.shapes).index("layers/up/kernel")
    np.testing.assert_array_equal(up[:, 0, 0], [number, number + 0.25])


@pytest.mark.parametrize("accumulate", [1, 2])
def test_moments_live_beside_their_weights(accumulate):
    config = mini_config()
    config.mesh.fsdp, config.optim.accumulate = 2, accumulate
    config.mesh.rules = (("student/bev_encoder/queries", ("fsdp",)), *config.mesh.rules)
    state, _ = abstract_train_state(ShardedModel(config), optimizer.build(config, steps_per_epoch=10))
    sharded = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.opt_state):
        of_queries = path[-1] == jax.tree_util.DictKey("student/bev_encoder/queries")
        sharded += of_queries
        assert leaf.sharding.spec == jax.sharding.PartitionSpec(*["fsdp"] * of_queries), path
    assert sharded == 2 + (accumulate > 1)


def norm(gradients, *prefixes):
    return float(sum(jnp.square(g).sum() for path, g in gradients.items() if path.startswith(prefixes)) ** 0.5)


@pytest.mark.parametrize("term", TEACHER_TERMS)
def test_every_teacher_term_trains_the_scene_encoder(term, gradients):
    means, found = gradients(term)
    assert float(means[term]) > 0.0, "the term does not bite, so the test would show nothing"
    for part in SCENE_ENCODER:
        assert norm(found, part) > 0.0


def test_distillation_trains_the_student_only(gradients):
    _, found = gradients("distill")
    assert norm(found, "student/planner/") > 0.0
    assert norm(found, "teacher/") == 0.0


def test_all_terms_are_there_and_finite(sharded, gradients):
    means, found = gradients(*terms_of(sharded.config) - {"edit_imitation"})
    assert set(means) == terms_of(sharded.config)
    assert all(np.isfinite(float(value)) for value in means.values())
    assert all(bool(jnp.isfinite(g).all()) for g in found.values())


def test_frozen_weights_are_the_llm_base(sharded, state):
    params, frozen = state
    assert all(path.startswith(("teacher/llm/", "student/image_encoder/")) for path in frozen)
    assert any(path.startswith("teacher/llm/") for path in frozen)
    assert not any(path.startswith("teacher/llm/") for path in params)
    assert any(path.startswith("teacher/lora/") for path in params)
