"""LoRA: an untrained one is the base, a merged one is the same function, one linear layer by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax import weights
from dima_jax.teacher.lora import Lora, merge, project
from tests.teacher.conftest import LENGTH, PREFIX, embeddings


@pytest.fixture(scope="module")
def base_states(llm):
    """jitted (embeddings, mask) -> states of the base alone."""
    return jax.jit(lambda x, mask: llm(x, mask, prefix=PREFIX, lora=None))


def test_lora_with_zero_b_is_the_base(llm, llm_states, base_states, teacher):
    zero = {path: jnp.zeros_like(v) if path.endswith("/b") else v for path, v in teacher[1].items()}
    x, mask = embeddings(llm.width), jnp.ones((2, LENGTH), bool)
    np.testing.assert_allclose(llm_states(zero, x, mask), base_states(x, mask), atol=1e-6)


def test_a_fresh_lora_has_zero_b_and_drawn_a(llm):
    """What a run starts with is what the test above tests."""
    fresh = Lora(llm.shapes, layers=llm.depth, rank=2, alpha=4.0, rngs=nnx.Rngs(0))
    for path, value in weights.split(fresh)[1].items():
        assert bool(value.any()) == path.endswith("/a"), path


def test_merged_lora_is_the_same_function(llm, lora, llm_states, base_states, teacher):
    x, mask = embeddings(llm.width), jnp.ones((2, LENGTH), bool)
    merged = merge(teacher[1], lora.scale)
    assert not any(merged[path].any() for path in merged if path.startswith("lora/") and path.endswith("/b"))
    before = llm_states(teacher[1], x, mask)
    np.testing.assert_allclose(llm_states(merged, x, mask), before, atol=1e-5)
    assert float(jnp.abs(before - base_states(x, mask)).max()) > 1e-2  # LoRA did act


def test_projections_by_hand():
    """Two layers on one input: 2 x and 3 x, plus updates that read one coordinate each."""
    x = jnp.array([[1.0, 2.0]])
    kernels = [2.0 * jnp.eye(2), 3.0 * jnp.eye(2)]
    first = (jnp.array([[1.0], [0.0]]), jnp.array([[10.0, 0.0]]))  # 10 x0, added to the first output
    second = (jnp.array([[0.0], [1.0]]), jnp.array([[0.0, 100.0]]))  # 100 x1, added to the second
    np.testing.assert_array_equal(project(x, kernels, None), [[[2.0, 4.0]], [[3.0, 6.0]]])
    np.testing.assert_array_equal(project(x, kernels, [first, second]), [[[12.0, 4.0]], [[3.0, 206.0]]])


def test_updates_are_scaled_by_alpha_over_rank():
    shapes = dict.fromkeys(("q", "k", "v", "o", "gate", "up", "down"), (4, 6))
    lora = Lora(shapes, layers=3, rank=2, alpha=8.0, rngs=nnx.Rngs(0))
    lora.up.b[...] = jnp.ones((3, 2, 6))
    a, b = lora.updates()["up"]
    assert a.shape == (3, 4, 2) and float(jnp.abs(a).max()) <= 0.5  # 1 / sqrt(4)
    np.testing.assert_array_equal(b, np.full((3, 2, 6), 4.0))
