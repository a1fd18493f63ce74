"""The sum of all terms: by hand, and for decoders that have layer counts of their own."""

import jax
import jax.numpy as jnp
import numpy as np

from dima_jax.data import fake_batch
from dima_jax.losses import dima_loss
from dima_jax.types import EgoTargets, StudentOutput, TeacherOutput, Term
from tests.mini import mini_config

LAYERS = {"agent_logits": 0, "agent_codes": 0, "map_logits": 1, "map_points": 1}  # which of the two counts
PER_LAYER = (("agent_class", "agent_box"), ("map_class", "map_points", "map_direction"))  # terms of the two decoders


def random_output(config, agent_layers: int, map_layers: int) -> StudentOutput:
    s, b, rng = config.student, config.data.batch_size, np.random.default_rng(0)

    def normal(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    return StudentOutput(
        tokens=None,
        agent_logits=normal(agent_layers, b, s.num_agents, 10),
        agent_codes=normal(agent_layers, b, s.num_agents, 10),
        agent_future_offsets=normal(b, s.num_agents, s.num_modes, s.num_future, 2),
        agent_mode_logits=normal(b, s.num_agents, s.num_modes),
        map_logits=normal(map_layers, b, s.num_map, 3),
        map_points=jax.nn.sigmoid(normal(map_layers, b, s.num_map, s.num_points, 2)),
        ego_offsets=normal(b, s.num_commands, s.num_future, 2),
        ego_feature=None,
    )


def test_total_weighs_the_means_and_an_empty_term_is_zero():
    terms = {"a": Term(jnp.float32(6.0), jnp.float32(4.0)), "b": Term(jnp.float32(0.0), jnp.float32(0.0))}
    loss, means = dima_loss.total(terms, {"a": 2.0, "b": 5.0, "c": 7.0})
    assert float(loss) == 3.0
    assert {name: float(mean) for name, mean in means.items()} == {"a": 1.5, "b": 0.0}


def test_each_decoder_adds_up_its_own_layers():
    config, layers = mini_config(), (3, 2)
    batch, loss_weights, pc_range = fake_batch.example(config), config.loss.to_dict(), config.student.pc_range

    @jax.jit
    def loss_of(output, batch):
        matches = dima_loss.match(output, batch, loss_weights)
        terms = dima_loss.student_terms(output, batch, matches, loss_weights, pc_range)
        return dima_loss.total(terms, loss_weights)

    def means(output):
        return loss_of(output, batch)

    output = random_output(config, *layers)
    gradient, whole = jax.grad(means, has_aux=True)(output)
    for name in LAYERS:
        of_layer = np.abs(getattr(gradient, name)).sum(axis=(1, 2, 3))
        assert np.isfinite(of_layer).all()
        assert (of_layer > 0).all(), f"a layer of {name} has no loss"

    def one_layer(agent_layer: int, map_layer: int):
        index = agent_layer, map_layer
        fields = {name: getattr(output, name)[index[which]][None] for name, which in LAYERS.items()}
        return means(output.replace(**fields))[1]

    by_layer = [[one_layer(i, 0) for i in range(layers[0])], [one_layer(0, i) for i in range(layers[1])]]
    for names, found in zip(PER_LAYER, by_layer, strict=True):
        for name in names:
            np.testing.assert_allclose(whole[name], sum(means[name] for means in found), rtol=1e-5)


def test_the_logged_l2_is_the_mean_over_known_steps():
    """Against numpy, on a batch of which some steps of one sample are unknown."""
    config, rng = mini_config(), np.random.default_rng(0)
    student = random_output(config, 1, 1)
    teacher = TeacherOutput(**dict.fromkeys(TeacherOutput.__dataclass_fields__)).replace(
        ego_offsets=jnp.asarray(rng.normal(size=student.ego_offsets.shape), jnp.float32)
    )
    batch, known = fake_batch.example(config), np.arange(6) < np.array([[6], [2]])
    recorded = rng.normal(size=(2, 6, 2)).astype(np.float32)

    def targets(known):
        return EgoTargets(jnp.asarray(recorded), jnp.asarray(known), jnp.zeros((2, 2, 2)))

    batch = jax.tree.map(jnp.asarray, batch.replace(command=np.eye(3, dtype=np.float32)[[0, 2]], ego=targets(known)))
    found = dima_loss.plan_errors(student, teacher, batch)
    for name, output in (("l2_student", student), ("l2_teacher", teacher)):
        plans = np.cumsum(np.asarray(output.ego_offsets)[np.arange(2), [0, 2]], axis=1)
        distances = np.sqrt(((plans - np.cumsum(recorded, axis=1)) ** 2).sum(-1))
        np.testing.assert_allclose(found.pop(name), distances[known].mean(), rtol=1e-5)
    assert not found and dima_loss.plan_errors(student, None, batch).keys() == {"l2_student"}
    assert np.isnan(dima_loss.plan_errors(student, None, batch.replace(ego=targets(known & False)))["l2_student"])


def test_a_cached_teacher_teaches_as_one_in_memory_would():
    config = mini_config()
    config.distill.cache, config.teacher.enabled, config.distill.form = "taught", False, "plan"
    batch, loss_weights = jax.tree.map(jnp.asarray, fake_batch.example(config)), config.loss.to_dict()
    output = random_output(config, 1, 1).replace(
        ego_feature=jnp.zeros((config.data.batch_size, 2 * config.student.width))
    )
    how = dict(form="plan", gate=False)
    terms = dima_loss.distill_terms(output, batch.taught, batch, loss_weights, **how)
    command = np.asarray(batch.command).argmax(1)
    rows = np.arange(config.data.batch_size)
    difference = np.asarray(output.ego_offsets)[rows, command] - batch.taught.ego_offsets[rows, command]
    assert set(terms) == {"distill"}
    np.testing.assert_allclose(terms["distill"].sum, np.abs(difference).mean((1, 2)).sum(), rtol=1e-5)
    gradient = jax.grad(
        lambda taught: dima_loss.distill_terms(output, taught, batch, loss_weights, **how)["distill"].sum
    )
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(gradient(batch.taught)))
    assert dima_loss.distill_terms(output, batch.taught, batch, loss_weights | {"distill": 0.0}, **how) == {}
