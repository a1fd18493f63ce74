"""The LLM: attention mask, rotary embedding and norm by hand, precision, sizes. Parity: golden/llama."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax import weights
from dima_jax.teacher import llama
from dima_jax.teacher.llama import Llama
from tests.teacher.conftest import LENGTH, PREFIX, embeddings


@pytest.fixture(scope="module")
def states(llm_states, teacher):
    return functools.partial(llm_states, teacher[1])


@pytest.mark.parametrize(
    ("changed", "reached"),
    [
        (0, range(LENGTH)),  # scene: reaches the whole scene and all text
        (PREFIX - 1, range(LENGTH)),
        (PREFIX, range(PREFIX, LENGTH)),  # text: reaches itself and later text
        (9, range(9, LENGTH)),
    ],
)
def test_scene_is_bidirectional_and_text_causal(llm, states, changed, reached):
    x, mask = embeddings(llm.width), jnp.ones((2, LENGTH), bool)
    difference = jnp.abs(states(x.at[:, changed].add(1.0), mask) - states(x, mask)).max(axis=(0, 2))
    moved = {int(i) for i in jnp.flatnonzero(difference > 1e-5)}
    assert moved == set(reached)


def test_rotary_embedding_by_hand():
    """Head width 4 and theta 4: at position 2 the angles are 2 and 1; halves of the head turn together."""
    angles = llama.rope_angles(jnp.array([[0, 2]]), 4, 4.0)
    np.testing.assert_allclose(angles, [[[0.0, 0.0], [2.0, 1.0]]])
    x = jnp.array([1.0, 0.0, 0.0, 1.0])  # pairs (component 0, 2) = (1, 0) and (1, 3) = (0, 1)
    turned = llama.rotate(jnp.tile(x, (1, 2, 1, 1)), jnp.cos(angles)[:, :, None], jnp.sin(angles)[:, :, None])[0, :, 0]
    np.testing.assert_allclose(turned[0], x)
    np.testing.assert_allclose(turned[1], [np.cos(2), -np.sin(1), np.sin(2), np.cos(1)], rtol=1e-6)


# transformers' ROPE_INIT_FUNCTIONS["llama3"]: head width 128, theta 500000, (factor, 1, 4, 8192); every seventh of 64
LLAMA_3_FREQUENCIES = {
    8.0: [1.00000000e00, 2.38053814e-01, 5.66696189e-02, 1.34904198e-02, 3.21144611e-03, 9.55621217e-05, 2.27489290e-05, 5.41546933e-06, 1.28917316e-06, 3.06892588e-07],
    32.0: [1.00000000e00, 2.38053814e-01, 5.66696189e-02, 1.34904198e-02, 3.21144611e-03, 2.38905304e-05, 5.68723226e-06, 1.35386733e-06, 3.22293289e-07, 7.67231469e-08],
}  # fmt: skip


@pytest.mark.parametrize("factor", LLAMA_3_FREQUENCIES)
def test_the_rotary_scaling_of_llama_3(factor):
    frequencies = llama.rope_frequencies(128, 500000.0, (factor, 1.0, 4.0, 8192.0))
    np.testing.assert_allclose(frequencies[::7], LLAMA_3_FREQUENCIES[factor], rtol=1e-5)
    plain = llama.rope_frequencies(128, 500000.0)
    between = (frequencies < plain * 0.999) & (frequencies > plain / factor * 1.001)
    assert between.sum() == 6  # of transformers' as well: wavelengths between 2048 and 8192 positions
    np.testing.assert_array_equal(frequencies[:29], plain[:29])


@pytest.mark.parametrize("scaling", [(8.0,), (0.5, 1.0, 4.0, 64.0), (8.0, 4.0, 1.0, 64.0), (8.0, 1.0, 4.0, 0.0)])  # fmt: skip
def test_a_rotary_scaling_of_another_form_is_refused(scaling):
    with pytest.raises(ValueError, match="rope_scaling"):
        Llama(
            layers=1, width=64, heads=4, kv_heads=1, ffn_width=8, vocab=8, rope_theta=1e4, rms_eps=1e-5, tied=True,
            dtype="float32", remat=False, rope_scaling=scaling, rngs=nnx.Rngs(0),
        )  # fmt: skip


def test_rms_norm_by_hand():
    """The root mean square of 3, 4 and two zeros is 2.5."""
    y = llama.rms_norm(jnp.array([[3.0, 4.0, 0.0, 0.0]]), jnp.array([1.0, 2.0, 1.0, 1.0]), 0.0)
    np.testing.assert_allclose(y, [[1.2, 3.2, 0.0, 0.0]], rtol=1e-6)


def test_padding_is_not_attended_to(llm, states):
    x = embeddings(llm.width)
    mask = jnp.arange(LENGTH)[None] < jnp.array([[LENGTH], [8]])
    clean, other = states(x, mask), states(x.at[1, 8:].add(3.0), mask)
    np.testing.assert_array_equal(clean[1, :8], other[1, :8])


def test_bfloat16_base_with_remat(teacher, tiny_config, states):
    """The same function within bfloat16's precision; logits are float32; LoRA's gradient is finite and not zero."""
    sizes = {**tiny_config.teacher.llm, "dtype": "bfloat16", "remat": True}
    graph, abstract = weights.split(nnx.eval_shape(lambda: Llama(**sizes, rngs=nnx.Rngs(0))))
    half = weights.bind(graph, {path: teacher[1][f"llm/{path}"].astype(v.dtype) for path, v in abstract.items()})
    x, mask = embeddings(half.width), jnp.ones((2, LENGTH), bool)

    def total(params):
        y = half(x, mask, prefix=PREFIX, lora=weights.bind(teacher[0], params).lora)
        return half.logits(y).mean(), y

    (mean, y), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(teacher[1])
    assert y.dtype == jnp.bfloat16 and mean.dtype == jnp.float32
    assert float(jnp.abs(y.astype(jnp.float32) - states(x, mask)).mean()) < 0.05
    reached = gradient["lora/down/b"]
    assert reached.dtype == jnp.float32 and np.isfinite(reached).all() and np.abs(reached).max() > 0


def test_smollm2_size_by_shape():
    sizes = dict(layers=30, width=576, heads=9, kv_heads=3, ffn_width=1536, vocab=49152)
    make = lambda: Llama(  # noqa: E731
        **sizes, rope_theta=1e5, rms_eps=1e-5, tied=True, dtype="float32", remat=True, rngs=nnx.Rngs(0)
    )
    assert weights.count(weights.split(nnx.eval_shape(make))[1]) == 134_515_008


def test_heads_must_divide():
    with pytest.raises(ValueError, match="heads 3"):
        Llama(
            layers=1, width=64, heads=3, kv_heads=1, ffn_width=8, vocab=8, rope_theta=1e4, rms_eps=1e-5, tied=True,
            dtype="float32", remat=False, rngs=nnx.Rngs(0),
        )  # fmt: skip
