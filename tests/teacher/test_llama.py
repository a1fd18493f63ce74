"""The LLM: who sees whom, LoRA, generation, and the sizes and sharding of the real ones. Parity: golden/llama."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax import weights
from dima_jax.configs import base
from dima_jax.teacher import generate, lora
from dima_jax.teacher import teacher as teacher_lib
from dima_jax.teacher.llama import Llama

PREFIX, LENGTH = 5, 12


@pytest.fixture(scope="module")
def llm(teacher):
    return weights.bind(*teacher).llm


@pytest.fixture(scope="module")
def update(teacher):
    return weights.bind(*teacher).lora


@pytest.fixture(scope="module")
def run(teacher):
    """jitted (params, embeddings, mask) -> states, with LoRA."""

    def states(params, x, mask):
        model = weights.bind(teacher[0], params)
        return model.llm(x, mask, prefix=PREFIX, lora=model.lora)

    return jax.jit(states)


@pytest.fixture(scope="module")
def states(run, teacher):
    return functools.partial(run, teacher[1])


@pytest.fixture(scope="module")
def base_states(llm):
    """jitted (embeddings, mask) -> states of the base alone."""
    return jax.jit(lambda x, mask: llm(x, mask, prefix=PREFIX, lora=None))


def embeddings(llm, seed=0, rows=2):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(rows, LENGTH, llm.width)), jnp.float32)


@pytest.mark.parametrize(
    ("changed", "seen_by"),
    [
        (0, range(LENGTH)),  # scene: seen by the whole scene and all text
        (PREFIX - 1, range(LENGTH)),
        (PREFIX, range(PREFIX, LENGTH)),  # text: seen from there on
        (9, range(9, LENGTH)),
    ],
)
def test_scene_is_bidirectional_and_text_causal(llm, states, changed, seen_by):
    x, mask = embeddings(llm), jnp.ones((2, LENGTH), bool)
    difference = jnp.abs(states(x.at[:, changed].add(1.0), mask) - states(x, mask)).max(axis=(0, 2))
    moved = {int(i) for i in jnp.flatnonzero(difference > 1e-5)}
    assert moved == set(seen_by)


def test_padding_is_not_seen(llm, states):
    x = embeddings(llm)
    mask = jnp.arange(LENGTH)[None] < jnp.array([[LENGTH], [8]])
    clean, other = states(x, mask), states(x.at[1, 8:].add(3.0), mask)
    np.testing.assert_array_equal(clean[1, :8], other[1, :8])


def test_lora_with_zero_b_is_the_base(llm, run, base_states, teacher):
    zero = {path: jnp.zeros_like(v) if path.endswith("/b") else v for path, v in teacher[1].items()}
    x, mask = embeddings(llm), jnp.ones((2, LENGTH), bool)
    np.testing.assert_allclose(run(zero, x, mask), base_states(x, mask), atol=1e-6)


def test_a_fresh_lora_has_zero_b_and_drawn_a(llm):
    """What a run starts with is what the test above tests."""
    fresh = lora.Lora(llm.shapes, layers=llm.depth, rank=2, alpha=4.0, rngs=nnx.Rngs(0))
    for path, value in weights.split(fresh)[1].items():
        assert bool(value.any()) == path.endswith("/a"), path


def test_merged_lora_is_the_same_function(llm, update, run, base_states, teacher):
    x, mask = embeddings(llm), jnp.ones((2, LENGTH), bool)
    merged = lora.merge(teacher[1], update.scale)
    assert not any(merged[path].any() for path in merged if path.startswith("lora/") and path.endswith("/b"))
    before = run(teacher[1], x, mask)
    np.testing.assert_allclose(run(merged, x, mask), before, atol=1e-5)
    assert float(jnp.abs(before - base_states(x, mask)).max()) > 1e-2  # LoRA did act


def test_cached_generation_is_rereading(llm, update):
    """Greedy with the cache equals running the whole sequence again for every token, in rows of unequal length."""
    lengths, max_new_tokens = (LENGTH, 8), 5
    x = embeddings(llm, seed=1)
    mask = jnp.arange(LENGTH)[None] < jnp.array(lengths)[:, None]
    tokens = jax.jit(
        lambda: generate.greedy(llm, x, mask, prefix=PREFIX, max_new_tokens=max_new_tokens, end=-1, lora=update)
    )()
    reread = jax.jit(lambda x, mask: llm.logits(llm(x, mask, prefix=PREFIX, lora=update)))
    for row, length in enumerate(lengths):
        sequence = jnp.zeros((1, LENGTH + max_new_tokens, llm.width)).at[:, :length].set(x[row, :length])
        for i in range(max_new_tokens):
            logits = reread(sequence, jnp.arange(LENGTH + max_new_tokens)[None] < length + i)
            expected = int(logits[0, length + i - 1].argmax())
            assert int(tokens[row, i]) == expected
            sequence = sequence.at[0, length + i].set(llm.embed_tokens(jnp.array(expected)))


def test_after_the_end_a_row_repeats_it(llm, update):
    x, mask = embeddings(llm, seed=1), jnp.ones((2, LENGTH), bool)
    answer = jax.jit(lambda end: generate.greedy(llm, x, mask, prefix=PREFIX, max_new_tokens=5, end=end, lora=update))
    free = answer(-1)
    end = int(free[0, 1])
    first = int(jnp.argmax(free[0] == end))
    stopped = answer(end)
    np.testing.assert_array_equal(stopped[0, :first], free[0, :first])
    assert bool(jnp.all(stopped[0, first:] == end))


def test_bfloat16_base_with_remat(teacher, tiny_config, states):
    """The same function within bfloat16's precision; logits are float32; LoRA's gradient is finite and not zero."""
    sizes = {**tiny_config.teacher.llm, "dtype": "bfloat16", "remat": True}
    graph, abstract = weights.split(nnx.eval_shape(lambda: Llama(**sizes, rngs=nnx.Rngs(0))))
    half = weights.bind(graph, {path: teacher[1][f"llm/{path}"].astype(v.dtype) for path, v in abstract.items()})
    x, mask = embeddings(half), jnp.ones((2, LENGTH), bool)

    def total(params):
        y = half(x, mask, prefix=PREFIX, lora=weights.bind(teacher[0], params).lora)
        return half.logits(y).mean(), y

    (mean, y), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(teacher[1])
    assert y.dtype == jnp.bfloat16 and mean.dtype == jnp.float32
    assert float(jnp.abs(y.astype(jnp.float32) - states(x, mask)).mean()) < 0.05
    reached = gradient["lora/down/b"]
    assert reached.dtype == jnp.float32 and np.isfinite(reached).all() and np.abs(reached).max() > 0


def test_full_size_teacher_by_shape():
    """LLaVA-v1.5-7B's language model: 6,738,415,616 weights, 40 million of LoRA; each has a mesh rule and a group."""
    config = base.get_config()
    build = lambda: teacher_lib.build(config, config.student.width, nnx.Rngs(0))  # noqa: E731
    params = {f"teacher/{path}": value for path, value in weights.split(nnx.eval_shape(build))[1].items()}
    assert weights.count(weights.with_prefix(params, "teacher/llm/")) == 6_738_415_616
    assert weights.count(weights.with_prefix(params, "teacher/lora/")) == 39_976_960
    assert {str(v.dtype) for p, v in params.items() if p.startswith("teacher/llm/") and "scale" not in p} == {
        "bfloat16"
    }
    assert {str(v.dtype) for p, v in params.items() if not p.startswith("teacher/llm/")} == {"float32"}
    rules = weights.match(config.mesh.rules, params)
    large = {path for path, value in params.items() if np.prod(value.shape) > 1e8}
    assert large and all("fsdp" in rules[path] for path in large)
    groups = weights.match(config.optim.groups, params)
    assert {path for path, value in groups.items() if value == 0.0} == set(weights.with_prefix(params, "teacher/llm/"))


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
