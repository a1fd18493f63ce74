"""The student of vector mode: what its plan hangs on and what it does not, and what each of the teacher's terms teaches it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import optimizer, predictions, train_step, weights
from dima_jax.constants import MAP_CLASSES
from dima_jax.losses import dima_loss
from dima_jax.sharded_model import ShardedModel
from tests.vector import mini
from tests.vector.mini import KEY

TEACHER_TERMS = (
    *(f"teacher_{name}" for name in ("imitation", "boundary", "collision", "direction", "agents")),
    *("language", "reconstruction", "distill"),
    *(f"edit_{name}" for name in ("imitation", "boundary", "collision", "direction", "language")),
)


@pytest.fixture(scope="module")
def config():
    return mini.vector_config()


@pytest.fixture(scope="module")
def batch(config):
    return mini.example(config)


@pytest.fixture(scope="module")
def run(config):
    """A compiled batch -> StudentOutput without noise."""
    graph, params = mini.student(config)
    return jax.jit(lambda batch: weights.bind(graph, params)(batch, history=0, key=KEY))


@pytest.fixture(scope="module")
def output(run, batch):
    return run(batch)


def same(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def changed(tree, key=1):
    """Every array with other numbers of its kind."""
    rng = np.random.default_rng(key)

    def one(x):
        return ~x if x.dtype == bool else (x + rng.integers(1, 3, x.shape)).astype(x.dtype)

    return jax.tree.map(one, tree)


def test_in_bfloat16_it_multiplies_but_is_told_and_answers_in_float32(config, batch):
    config = config.copy_and_resolve_references()
    config.student.dtype = "bfloat16"
    graph, params = mini.student(config)
    run = jax.make_jaxpr(lambda batch: weights.bind(graph, params)(batch, history=0, key=KEY), return_shape=True)
    jaxpr, output = run(batch)
    assert "bf16[" in str(jaxpr)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(output)} == {"float32"}
    read = weights.bind(graph, params)
    for encoder in (read.agent_state, read.point_state, read.ego_status):
        assert all(layer.dtype == jnp.float32 for layer in (*encoder.layers, encoder.last))


def test_no_future_reaches_the_student(run, batch, output):
    agents = batch.agents
    names = ("future_offsets", "future_mask", "future_yaw", "category")
    agents = agents.replace(**{name: changed(getattr(agents, name)) for name in names})
    agents = agents.replace(boxes=agents.boxes.at[..., 7:].add(5.0))  # velocities know the next frame
    later = ("ego", "text", "edit_text", "frame_to_current", "frame_mask")
    later = {name: changed(getattr(batch, name)) for name in later}
    same(run(batch.replace(agents=agents, **later)), output)


def test_the_teacher_is_told_the_ego_status_and_the_command(batch, output):
    np.testing.assert_array_equal(output.tokens.can_bus, batch.can_bus[:, 0])
    np.testing.assert_array_equal(output.tokens.command, batch.command)


def test_velocities_reach_it_where_the_config_says_so(batch):
    graph, params = mini.student(mini.vector_config(velocity=True))
    run = jax.jit(lambda batch: weights.bind(graph, params)(batch, history=0, key=KEY).ego_offsets)
    faster = batch.agents.replace(boxes=batch.agents.boxes.at[..., 7:].add(5.0))
    assert np.abs(run(batch) - run(batch.replace(agents=faster))).max() > 1e-5


def test_the_privileged_plan_by_where_agents_go_where_it_is_known(batch):
    graph, params = mini.student(mini.vector_config(future=True))
    run = jax.jit(lambda batch: weights.bind(graph, params)(batch, history=0, key=KEY).ego_offsets)
    agents, before = batch.agents, run(batch)
    later = agents.replace(future_offsets=agents.future_offsets + 1.0)
    assert np.abs(run(batch.replace(agents=later)) - before).max() > 1e-5
    unknown = jnp.where(agents.future_mask[..., None], agents.future_offsets, 7.0)
    same(run(batch.replace(agents=agents.replace(future_offsets=unknown))), before)


def test_what_is_masked_changes_nothing(run, batch, output):
    agents, lines = batch.agents, batch.map
    assert not agents.mask.all() and not lines.mask.all()
    boxes = jnp.where(agents.mask[..., None], agents.boxes, jnp.nan)
    points = jnp.where(lines.mask[..., None, None, None], lines.points, 7.0)
    filled = batch.replace(
        agents=agents.replace(boxes=boxes, labels=jnp.where(agents.mask, agents.labels, 3)),
        map=lines.replace(points=points, labels=jnp.where(lines.mask, lines.labels, 2)),
    )
    again = run(filled)
    same(again.tokens, output.tokens)
    same(
        (again.ego_offsets, again.ego_feature, again.agent_logits),
        (output.ego_offsets, output.ego_feature, output.agent_logits),
    )


def test_the_order_of_agents_and_lines_changes_nothing(run, batch, output):
    def shuffled(tree, count):
        order = np.random.default_rng(0).permutation(count)
        return jax.tree.map(lambda x: x[:, order], tree), order

    agents, order = shuffled(batch.agents, batch.agents.mask.shape[1])
    lines, _ = shuffled(batch.map, batch.map.mask.shape[1])
    again = run(batch.replace(agents=agents, map=lines))
    np.testing.assert_allclose(again.ego_offsets, output.ego_offsets, atol=1e-5)
    np.testing.assert_allclose(again.tokens.bev, output.tokens.bev, atol=1e-5)
    np.testing.assert_allclose(again.agent_future_offsets, output.agent_future_offsets[:, order], atol=1e-5)


@pytest.mark.parametrize("part", ["agents", "map", "can_bus"])
def test_the_plan_hangs_on_what_is_told(run, batch, output, part):
    told = {
        "agents": batch.agents.replace(boxes=batch.agents.boxes.at[..., :2].multiply(0.5)),
        "map": batch.map.replace(points=0.5 * batch.map.points),
        "can_bus": batch.can_bus.at[..., 13].add(5.0),
    }
    again = run(batch.replace(**{part: told[part]}))
    assert np.abs(again.ego_offsets - output.ego_offsets).max() > 1e-4
    assert np.abs(again.tokens.bev - output.tokens.bev).max() > 1e-3
    assert (np.abs(again.tokens.ego - output.tokens.ego).max() > 1e-3) == (part == "can_bus")


def test_what_is_told_counts_as_found(output, batch, config):
    found = predictions.decode(output, config.student.pc_range)
    np.testing.assert_array_equal(predictions.is_agent(found, 0.5), batch.agents.mask)
    np.testing.assert_array_equal(found.map_scores.max(-1) > 0.5, batch.map.mask)
    np.testing.assert_allclose(
        found.agent_boxes[..., :6][batch.agents.mask], batch.agents.boxes[..., :6][batch.agents.mask], atol=1e-4
    )
    np.testing.assert_array_equal(
        found.agent_scores.argmax(-1)[batch.agents.mask], batch.agents.labels[batch.agents.mask]
    )


def test_noise_comes_from_the_key_and_the_frame(batch):
    config = mini.vector_config(agent_dropout=0.3, line_dropout=0.3, jitter=0.5, range_noise=0.05)
    graph, params = mini.student(config)

    @jax.jit
    def plan(batch, key):
        return weights.bind(graph, params)(batch, history=0, key=key).ego_offsets

    first = plan(batch, KEY)
    np.testing.assert_array_equal(plan(batch, KEY), first)
    assert (plan(batch, jax.random.fold_in(KEY, 1)) != first).any()
    swapped = jax.tree.map(lambda x: x[::-1], batch)
    np.testing.assert_allclose(plan(swapped, KEY)[::-1], first, atol=1e-5)
    elsewhere = batch.replace(index=batch.index + 10)
    assert (plan(elsewhere, KEY) != first).any()


@pytest.fixture(scope="module")
def sharded(config):
    config = config.copy_and_resolve_references()
    config.vector.update(agent_dropout=0.1, line_dropout=0.1, jitter=0.2, range_noise=0.02)
    return ShardedModel(config)


def crowded(batch):
    """Cars around the ego, a boundary on its right and a divider that it does not follow."""
    agents, lines = batch.agents, batch.map
    boxes = agents.boxes.at[..., :2].multiply(0.2)
    for i, center in enumerate([(0.5, 2.0), (-1.0, 3.0), (0.0, -2.0)]):
        boxes = boxes.at[:, i].set(jnp.array([*center, -0.9, 1.9, 4.6, 1.7, 0.0, 0.0, 0.0]))
    mask = agents.mask.at[:, :3].set(True)
    agents = agents.replace(boxes=boxes, labels=jnp.zeros_like(agents.labels), mask=mask)
    along = jnp.linspace(-10.0, 20.0, lines.points.shape[-2])
    boundary, divider = jnp.stack([jnp.full_like(along, 1.4), along], -1), jnp.stack([-along, 0.5 * along], -1)
    points = lines.points.at[:, 0, 0].set(boundary).at[:, 1, 0].set(divider)
    labels = jnp.zeros_like(lines.labels).at[:, 0].set(MAP_CLASSES.index("boundary"))
    lines = lines.replace(points=points, labels=labels, mask=lines.mask.at[:, :2].set(True))
    return batch.replace(agents=agents, map=lines)


def moving(params):
    """Planners whose plans move, so that the constraints bite."""
    return {
        path: jnp.tile(jnp.array([0.15, 0.4]), 18) if value.shape == (36,) else value for path, value in params.items()
    }


@pytest.fixture(scope="module")
def gradients(sharded, batch):
    """term -> (mean, gradients of that term for the student)."""
    trained, frozen = optimizer.split_frozen(moving(sharded.init_params()), sharded.config.optim.groups)
    config = sharded.config

    @jax.jit
    def compute(share, batch, key):
        def objective(params):
            output = weights.bind(sharded.graph, params | frozen)(batch, history=0, key=key, is_training=True)
            terms = train_step.loss_terms(output, batch, config)
            _, means = dima_loss.total(terms, config.loss.to_dict())
            return sum(share.get(name, 0.0) * mean for name, mean in means.items()), means

        return jax.grad(objective, has_aux=True)(trained)

    def run(term):
        share = {name: jnp.float32(name == term) for name in TEACHER_TERMS}
        batches = (crowded(batch), batch)  # away from the agents an edit leaves the recorded path alone
        for draw in range(8):  # edits are drawn: the first draw in which the term bites
            found, means = compute(share, batches[term == "edit_imitation"], jax.random.fold_in(KEY, draw))
            if means[term] > 0.0:
                break
        return means, weights.with_prefix(found, "student/")

    return run


@pytest.mark.parametrize("term", TEACHER_TERMS)
def test_every_term_of_the_teacher_teaches_the_student(gradients, term):
    means, found = gradients(term)
    assert means[term] > 0.0 and "future" not in means
    assert all(np.isfinite(value).all() for value in found.values())
    assert any(np.abs(value).max() > 0.0 for value in found.values())


def test_a_teacher_that_reads_constants_leaves_the_student_alone(config, batch):
    """`teacher.shapes_student=False`: of the teacher's terms none reaches the student, and distillation still does."""
    config = config.copy_and_resolve_references()
    config.teacher.shapes_student = False
    model = ShardedModel(config)
    trained, frozen = optimizer.split_frozen(moving(model.init_params()), config.optim.groups)

    @jax.jit
    def gradients(share, batch):
        def objective(params):
            output = weights.bind(model.graph, params | frozen)(batch, history=0, key=KEY, is_training=True)
            _, means = dima_loss.total(train_step.loss_terms(output, batch, config), config.loss.to_dict())
            return sum(share[name] * means[name] for name in share)

        return jax.grad(objective)(trained)

    share = {name: jnp.float32(name != "distill") for name in (*TEACHER_TERMS, "distill")}
    found = gradients(share, crowded(batch))
    moves = {path for path, value in found.items() if np.abs(value).max() > 0.0}
    assert moves and all(path.startswith("teacher/") for path in moves)
    found = gradients({name: 1.0 - value for name, value in share.items()}, crowded(batch))
    assert any(np.abs(value).max() > 0.0 for path, value in found.items() if path.startswith("student/planner/"))


def test_a_real_step_learns_without_images(sharded, batch):
    config = sharded.config
    optim = optimizer.build(config, 10)
    state, frozen = train_step.init_train_state(sharded, optim)
    before = {path: np.asarray(value) for path, value in state.params.items()}
    state, log = train_step.make_train_step(sharded, optim)(state, frozen, batch, KEY)
    assert batch.images.shape[2] == 0 and all(np.isfinite(value) for value in log.values())
    assert log["loss/total"] > 0.0 and "loss/future" not in log
    still = {path for path, value in state.params.items() if np.array_equal(value, before[path])}
    assert not [path for path in still if path.startswith("student/")]


def test_facts_teach_the_scene_tokens_without_a_teacher(config):
    config = config.copy_and_resolve_references()
    config.teacher.enabled, config.auxiliary.facts = False, True
    batch = mini.example(config)
    model = ShardedModel(config)
    trained, frozen = optimizer.split_frozen(model.init_params(), config.optim.groups)
    head = {path: value for path, value in trained.items() if path.startswith("auxiliary/")}
    assert set(trained) - set(head) == {path for path in trained if path.startswith("student/")}
    trained |= {"auxiliary/facts/weights": 0.1 * jnp.ones_like(head["auxiliary/facts/weights"])}

    @jax.jit
    def compute(params):
        def objective(params):
            output = weights.bind(model.graph, params | frozen)(batch, history=0, key=KEY, is_training=True)
            return dima_loss.total(train_step.loss_terms(output, batch, config), config.loss.to_dict())[1]["facts"]

        return jax.value_and_grad(objective)(params)

    loss, found = compute(trained)
    assert 0.0 < loss < 10.0
    for part in ("agent_state", "motion_head", "point_state", "bev", "ego_status", "planner/ego_query"):
        assert any(np.abs(value).max() > 0.0 for path, value in found.items() if path.startswith(f"student/{part}")), (
            part
        )
    assert not np.abs(found["student/planner/waypoints/last/kernel"]).any()
