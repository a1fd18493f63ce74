"""Operations that are whole in exported programs."""

import jax
import jax.numpy as jnp
import numpy as np

from dima_jax import sharding
from dima_jax.student.exported_operations import softmax, softmax_p
from dima_jax.student.layers import softmax_weighted_mean


def operations(function, *arguments) -> set[str]:
    return {equation.primitive.name for equation in jax.make_jaxpr(function)(*arguments).eqns}


def test_a_softmax_is_one_operation_of_exports_alone():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5)), jnp.float32)
    assert softmax_p.name not in operations(lambda x: softmax(x), x)
    with sharding.tracing_for("onnx"):
        assert operations(lambda x: softmax(x), x) == {softmax_p.name}
        np.testing.assert_allclose(softmax(x), jax.nn.softmax(x), rtol=1e-6)


def test_attention_is_the_same_in_exports():
    rng = np.random.default_rng(0)
    scores = jnp.asarray(rng.normal(size=(2, 3, 4, 6)), jnp.float32).at[0, 0, 0, :3].set(-jnp.inf)
    v = jnp.asarray(rng.normal(size=(2, 6, 3, 5)), jnp.float32)
    expected = softmax_weighted_mean(scores, v, 0.0, None)
    with sharding.tracing_for("onnx"):
        assert softmax_p.name in operations(lambda s: softmax_weighted_mean(s, v, 0.0, None), scores)
        np.testing.assert_allclose(softmax_weighted_mean(scores, v, 0.0, None), expected, atol=1e-6)
