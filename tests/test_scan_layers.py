"""Equal layers as one module: the same numbers, gradients and constants as one after the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax import weights
from dima_jax.scan_layers import num_layers, scan_layers, stack_layers


def layers():
    rngs = nnx.Rngs(0)
    return [nnx.Linear(3, 3, rngs=rngs) for _ in range(4)]


def step(x, layer, shift):
    x = jnp.tanh(layer(x)) + shift
    return x, x.sum()


def one_by_one(linears, x, shifts):
    sums = []
    for layer, shift in zip(linears, shifts, strict=True):
        x, total = step(x, layer, shift)
        sums.append(total)
    return x, jnp.stack(sums)


@pytest.mark.parametrize("traced", [True, False])
def test_the_same_as_one_after_the_other(traced):
    x, shifts = jnp.linspace(-1, 1, 6).reshape(2, 3), jnp.arange(4.0)
    graph, params = weights.split(stack_layers(layers()))

    def run(params):
        return scan_layers(step, x, weights.bind(graph, params), shifts)

    found = (jax.jit(run) if traced else run)(params)
    for got, want in zip(found, one_by_one(layers(), x, shifts), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-6)


def test_weights_have_a_layer_axis_and_each_row_its_own_gradient():
    x, linears = jnp.ones((2, 3)), layers()
    graph, params = weights.split(stack_layers(linears))
    assert {path: value.shape for path, value in params.items()} == {"kernel": (4, 3, 3), "bias": (4, 3)}
    assert num_layers(stack_layers(linears)) == 4
    for i, layer in enumerate(linears):
        np.testing.assert_array_equal(params["kernel"][i], layer.kernel[...])
    gradient = jax.grad(lambda w: scan_layers(step, x, weights.bind(graph, w), jnp.zeros(4))[0].sum())(params)["kernel"]
    assert len({float(jnp.abs(row).sum()) for row in gradient}) == 4
    assert (jnp.abs(gradient).sum(axis=(1, 2)) > 0).all()


def test_one_trace_whatever_the_depth_but_constants_stay_constants():
    x, shifts = jnp.ones((2, 3)), jnp.zeros(4)
    graph, params = weights.split(stack_layers(layers()))
    traced = jax.make_jaxpr(lambda w: scan_layers(step, x, weights.bind(graph, w), shifts))(params)
    assert [e.primitive.name for e in traced.eqns].count("scan") == 1
    constant = jax.make_jaxpr(lambda x: scan_layers(step, x, weights.bind(graph, params), shifts))(x)
    names = [e.primitive.name for e in constant.eqns]
    assert "scan" not in names
    assert names.count("dot_general") == 4
    kernels = [e.invars[1] for e in constant.eqns if e.primitive.name == "dot_general"]
    assert all(kernel in constant.jaxpr.constvars for kernel in kernels)


def test_different_layers_are_refused():
    rngs = nnx.Rngs(0)
    with pytest.raises(ValueError, match="different structure"):
        stack_layers([nnx.Linear(3, 3, rngs=rngs), nnx.Linear(3, 3, use_bias=False, rngs=rngs)])


def test_remat_keeps_the_gradient_and_less_memory():
    x, (graph, params) = jnp.ones((50, 3)), weights.split(stack_layers(layers()))

    def kept(remat):
        def run(params):
            return scan_layers(step, x, weights.bind(graph, params), jnp.zeros(4), remat=remat)[0].sum()

        _, pull = jax.vjp(run, params)
        return pull(jnp.float32(1)), sum(leaf.size for leaf in jax.tree.leaves(pull))

    (gradient, size), (again, smaller) = kept(False), kept(True)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), gradient, again)
    assert smaller < size
