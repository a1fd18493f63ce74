"""The flat dict of weights: there and back, matching by path."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax import weights
from dima_jax.errors import UserError


class Toy(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(2, 3, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(3, 3, rngs=rngs) for _ in range(2)])
        self.query = nnx.Param(jnp.ones(3))

    def __call__(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = layer(x)
        return x + self.query


def test_paths_are_attribute_chains_and_bind_inverts_split():
    model = Toy(nnx.Rngs(0))
    graph, flat = weights.split(model)
    assert set(flat) == {"first/kernel", "first/bias", "query"} | {
        f"layers/{i}/{name}" for i in range(2) for name in ("kernel", "bias")
    }
    x = jnp.ones((4, 2))
    np.testing.assert_array_equal(jax.jit(lambda p: weights.bind(graph, p)(x))(flat), model(x))
    assert weights.count(flat) == 6 + 3 + 2 * 12 + 3


def test_first_rule_wins_and_every_path_needs_one():
    assert weights.match((("a/.*", 1), ("a/b", 2), (".*", 3)), ["a/b", "c"]) == {"a/b": 1, "c": 3}
    with pytest.raises(UserError, match="'c'"):
        weights.match((("a/.*", 1),), ["a/b", "c"])
