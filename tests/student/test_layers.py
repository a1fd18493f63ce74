"""Dropout keys, of which no two layers share one; attention and MLP against their plain formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import sharding
from dima_jax.student import layers


def test_no_two_parts_share_a_key():
    first, second, third = layers.split_dropout_keys(layers.make_dropout_keys(jax.random.key(0)), 3)
    parts = [*layers.split_dropout_keys(first, 2), *layers.dropout_keys_per_layer(second, 6), third]
    data = np.concatenate([np.asarray(jax.random.key_data(part)) for part in parts])
    assert len(np.unique(data, axis=0)) == len(data) > 900


def test_parts_drop_different_places():
    parts = layers.split_dropout_keys(layers.make_dropout_keys(jax.random.key(0)), 2)
    left, right = (np.asarray(layers.dropout(jnp.ones(10_000), 0.1, part)) for part in parts)
    assert set(np.unique(left)) == {0.0, np.float32(1 / 0.9)}
    np.testing.assert_allclose([(left == 0).mean(), ((left == 0) & (right == 0)).mean()], [0.1, 0.01], atol=0.01)


def test_too_few_keys_are_an_error():
    (part, *_) = layers.dropout_keys_per_layer(layers.make_dropout_keys(jax.random.key(0)), 500)
    with pytest.raises(ValueError, match="2 PRNG keys for 3 layers: raise NUM_DROPOUT_KEYS"):
        layers.split_dropout_keys(part, 3)


def test_without_keys_nothing_is_dropped():
    assert layers.split_dropout_keys(layers.make_dropout_keys(None), 2) == [None, None]
    assert layers.dropout_keys_per_layer(None, 6) is None
    np.testing.assert_array_equal(layers.dropout(jnp.ones(3), 0.9, None), jnp.ones(3))


def random(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.fixture(scope="module")
def attention():
    return layers.Attention(8, 2, 0.5, layers.InitRngs(jax.random.key(0)))


@pytest.mark.parametrize("block", [100, 7, 3])  # one block; two blocks, the last shorter; five blocks
def test_attention_is_the_plain_formula_whatever_the_blocks(attention, monkeypatch, block):
    monkeypatch.setattr(layers, "QUERY_BLOCK", block)
    query, key, value = random(0, 2, 13, 8), random(1, 2, 5, 8), random(2, 2, 5, 8)
    q, k, v = attention.q(query), attention.k(key), attention.v(value)
    heads = []
    for channels in (slice(0, 4), slice(4, 8)):
        scores = q[..., channels] @ k[..., channels].swapaxes(1, 2) / np.sqrt(4)
        heads.append(jax.nn.softmax(scores, axis=-1) @ v[..., channels])
    expected = attention.o(jnp.concatenate(heads, axis=-1))
    np.testing.assert_allclose(attention(query, key, value), expected, atol=1e-5)


def test_blocks_are_no_loop_in_exported_programs(attention, monkeypatch):
    monkeypatch.setattr(layers, "QUERY_BLOCK", 4)
    query, key = random(0, 2, 13, 8), random(1, 2, 5, 8)
    assert "scan" in str(jax.make_jaxpr(lambda query: attention(query, key, key))(query))
    expected = attention(query, key, key)
    with sharding.tracing_for("onnx"):
        assert "scan" not in str(jax.make_jaxpr(lambda query: attention(query, key, key))(query))
        np.testing.assert_allclose(attention(query, key, key), expected, atol=1e-6)


def test_blocks_of_queries_drop_different_weights(attention, monkeypatch):
    monkeypatch.setattr(layers, "QUERY_BLOCK", 4)
    same_query = jnp.broadcast_to(random(0, 1, 1, 8), (1, 8, 8))
    keys, _ = layers.split_dropout_keys(layers.make_dropout_keys(jax.random.key(0)), 2)
    q = attention.split_heads(same_query)

    def attend(q, dropout_keys):
        return layers.dropout(q, 0.5, dropout_keys)

    out = np.asarray(layers.map_query_blocks(attend, q, keys))
    assert out.shape == (1, 8, 2, 4)
    assert (out[:, :4] != out[:, 4:]).any()


def test_masked_scores_are_not_attended_to(attention):
    scores, v = random(0, 1, 2, 3, 5), random(1, 1, 5, 2, 4)
    masked = jnp.where(jnp.arange(5) < 3, scores, -jnp.inf)
    expected = attention.attend(scores[..., :3], v[:, :3], None)
    np.testing.assert_allclose(attention.attend(masked, v, None), expected, atol=1e-5)


def test_an_mlp_is_its_layers_in_order():
    mlp, x = layers.Mlp((3, 4, 5, 2), layers.InitRngs(jax.random.key(0)), norm=True), random(0, 6, 3)
    hidden = x
    for layer, norm in zip(mlp.layers, mlp.norms, strict=True):
        hidden = jax.nn.relu(norm(layer(hidden)))
    np.testing.assert_allclose(mlp.features(x), hidden, atol=1e-6)
    np.testing.assert_allclose(mlp(x), mlp.last(hidden), atol=1e-6)


def test_initial_weights_lie_within_pytorchs_bounds():
    rngs = layers.InitRngs(jax.random.key(0))
    linear = layers.linear(16, 1000, rngs)
    for leaf in (linear.kernel[...], linear.bias[...]):
        assert 0.24 < float(jnp.abs(leaf).max()) <= 0.25  # 1 / sqrt(16)
    packed = layers.Attention(64, 2, 0.0, rngs).q.kernel[...]
    bound = np.sqrt(6 / (64 + 3 * 64))  # Xavier of [3 * 64, 64]
    assert 0.98 * bound < float(jnp.abs(packed).max()) <= bound
