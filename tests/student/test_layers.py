"""Dropout's keys: made at once, shared out so that no two layers draw alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.student import layers


def test_no_key_is_shared_out_twice():
    first, second, third = layers.split_dropout_keys(layers.make_dropout_keys(jax.random.key(0)), 3)
    parts = [*layers.split_dropout_keys(first, 2), *layers.dropout_keys_per_layer(second, 6), third]
    data = np.concatenate([np.asarray(jax.random.key_data(part)) for part in parts])
    assert len(np.unique(data, axis=0)) == len(data) > 900


def test_parts_of_a_bunch_drop_different_places():
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
