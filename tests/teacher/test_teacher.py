"""The teacher as a whole: what it returns, where gradients go and where they stop, masking in one pass or two."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax import weights
from dima_jax.losses import distill, language, surrogate
from dima_jax.teacher.build import build_teacher
from dima_jax.types import Term

TERMS = ("ego", "agents", "language", "reconstruction", "future", "edit", "edit_language", "distill")


def call(graph, params, tokens, scene, batch, key, is_training=True):
    model = weights.bind(graph, params)
    return model(tokens, scene, batch.text, batch.edit_text, batch.command, batch.ego, key=key, is_training=is_training)


def terms_of(output, tokens, scene, batch, config) -> dict[str, Term]:
    """One scalar for each thing the teacher is taught; paths and futures stand for their plan losses."""
    shape, grid = config.student.bev_shape, config.teacher.adapter.bev_grid

    def squares(x):
        return Term(jnp.sum(x**2), jnp.float32(1))

    bevs = jnp.stack([tokens.bev[:, ::-1], tokens.bev * 0.5], axis=1)
    return {
        "ego": squares(output.ego_offsets),
        "agents": squares(output.agent_future_offsets),
        "language": language.next_token(output.text_logits, batch.text.tokens, batch.text.answer_mask),
        "reconstruction": surrogate.reconstruction(
            output.bev_reconstruction, tokens.bev, output.bev_masked, shape, grid
        ),
        "future": surrogate.future(
            output.bev_future,
            bevs,
            batch.frame_to_current[:, -2:],
            batch.frame_mask[:, -2:],
            shape,
            grid,
            config.student.pc_range,
        ),
        "edit": squares(output.edit.ego_offsets),
        "edit_language": language.next_token(output.edit.text_logits, output.edit.tokens, output.edit.answer_mask),
        "distill": distill.distillation(
            distill.Ego(output.ego_feature, output.ego_offsets),
            distill.Ego(scene.ego_feature, scene.ego_offsets),
            batch.command,
            batch.ego,
            form="kl",
            temperature=1.0,
            gate=False,
        ),
    }


@pytest.fixture(scope="module")
def gradient(teacher, scene, batch, tiny_config):
    """jitted (weight of each term [8], key) -> ((gradient of the scene tokens, of the teacher's params), output)."""
    graph, params = teacher

    def objective(tokens, params, share, key):
        output = call(graph, params, tokens, scene, batch, key)
        terms = terms_of(output, tokens, scene, batch, tiny_config)
        return sum(share[i] * terms[name].sum / terms[name].count for i, name in enumerate(TERMS)), output

    compiled = jax.jit(jax.grad(objective, argnums=(0, 1), has_aux=True))
    return lambda share, key: compiled(scene.tokens, params, share, key)


@pytest.fixture(scope="module")
def gradients(gradient):
    """{term: (gradient of the scene tokens, of the teacher's params)}, each term alone."""
    return {name: gradient(jnp.eye(len(TERMS))[i], jax.random.key(0))[0] for i, name in enumerate(TERMS)}


@pytest.fixture(scope="module")
def forward(gradient):
    """key -> TeacherOutput in training."""
    return lambda key: gradient(jnp.ones(len(TERMS)), key)[1]


@pytest.mark.parametrize("term", [name for name in TERMS if name != "distill"])
def test_every_term_teaches_the_scene_encoder(gradients, term):
    """D11: each teacher term alone reaches all four token types, and the LoRA."""
    tokens, params = gradients[term]
    for name in ("bev", "agents", "map", "ego"):
        gradient = np.asarray(getattr(tokens, name))
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, name
    assert np.abs(params["lora/q/a"]).max() > 0


def test_distillation_does_not_teach_the_teacher(gradients):
    """D6: with only distillation on, no weight of the teacher moves, nor the scene through it."""
    tokens, params = gradients["distill"]
    assert all(not np.asarray(x).any() for x in jax.tree.leaves((tokens, params)))


def test_surrogate_targets_carry_no_gradient(scene, batch, tiny_config):
    """D7, D9: with the teacher's output held fixed, nothing reaches the BEV."""
    shape, grid = tiny_config.student.bev_shape, tiny_config.teacher.adapter.bev_grid

    def total(bev):
        prediction = jnp.ones((4, 16, 32))
        twice = jnp.stack([bev, bev], axis=1)
        to_current = jnp.tile(jnp.eye(4), (4, 2, 1, 1))
        one = surrogate.reconstruction(prediction, bev, jnp.ones((4, 16), bool), shape, grid)
        two = surrogate.future(
            prediction[:, None] * jnp.ones((1, 2, 1, 1)), twice, to_current, jnp.ones((4, 2), bool), shape, grid,
            tiny_config.student.pc_range,
        )  # fmt: skip
        return one.sum + two.sum

    assert not np.asarray(jax.jit(jax.grad(total))(scene.tokens.bev)).any()


def test_edited_samples_are_the_first(forward, tiny_config):
    output = forward(jax.random.key(0))
    share = math.ceil(tiny_config.teacher.edit_share * 4)
    assert output.edit.ego_offsets.shape == (share, 3, 6, 2)
    assert output.edit.agent_centers.shape == (share, 13, 2)
    assert output.text_logits.shape == (4, tiny_config.data.max_text, 259) and output.text_logits.dtype == jnp.float32
    assert output.bev_future.shape == (4, 2, 16, 32)
    assert output.edit.edited.all() and output.edit.answer_mask.any(axis=1).all()


@pytest.fixture(scope="module")
def two_passes(tiny_config, teacher, scene, batch):
    """jitted (key, is_training) -> TeacherOutput of a teacher with a second, masked pass and no edited sample (D8)."""
    config = tiny_config.copy_and_resolve_references()
    config.teacher.separate_mask_pass = True
    config.teacher.edit_share = 0.0
    graph, _ = weights.split(nnx.eval_shape(lambda: build_teacher(config, nnx.Rngs(0))))

    def run(key, is_training):
        output = call(graph, teacher[1], scene.tokens, scene, batch, key, is_training)
        return output.replace(agent_future_offsets=None, text_logits=None, bev_future=None)

    return jax.jit(run, static_argnums=1)


def test_no_masking_outside_training(two_passes):
    output = two_passes(jax.random.key(0), False)
    assert not output.bev_masked.any()
    np.testing.assert_allclose(output.ego_feature, two_passes(jax.random.key(0), True).ego_feature, atol=1e-5)


def test_separate_mask_pass_leaves_the_plan_alone(two_passes, forward):
    """D8: with a second pass only the reconstruction depends on the mask; with one pass the plan does too."""
    first, second = (two_passes(jax.random.key(i), True) for i in range(2))
    assert first.edit.ego_offsets.shape[0] == 0
    np.testing.assert_array_equal(first.ego_feature, second.ego_feature)
    assert float(jnp.abs(first.bev_reconstruction - second.bev_reconstruction).max()) > 1e-4
    one = [forward(jax.random.key(i)).ego_feature for i in range(2)]
    assert float(jnp.abs(one[0] - one[1]).max()) > 1e-4


def test_an_answer_begins_with_the_likeliest_token_of_the_training_pass(teacher, scene, batch):
    """The first token of an answer is the argmax of the training pass at the prompt's end."""
    model = weights.bind(*teacher)
    prompt = jax.tree.map(lambda x: x[:, :16], batch.text)

    def both():
        _, logits = model.run_llm(model.read_scene(scene.tokens, jnp.zeros((4, 16), bool)), prompt.tokens, prompt.mask)
        return model.generate(scene.tokens, prompt, max_new_tokens=2, end=2), logits[:, -1].argmax(axis=-1)

    tokens, first = jax.jit(both)()
    np.testing.assert_array_equal(tokens[:, 0], first)
