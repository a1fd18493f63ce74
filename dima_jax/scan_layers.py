"""Layers of the same structure as one module: its weights have a leading layer axis, and it is traced once.

So neither the program, nor its compilation time, nor the optimizer's number of arrays grows with the number of layers.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


def stack_layers(layers: Sequence[nnx.Module]) -> nnx.Module:
    """One module with the layers' weights stacked: the weight `kernel` [I, O] of each becomes `kernel` [layers, I, O].

    ValueError if the layers differ in structure.
    """
    graphs, states = zip(*map(nnx.split, layers), strict=True)
    if any(graph != graphs[0] for graph in graphs):
        raise ValueError("layers of different structure cannot be stacked")
    with _concrete(states):
        return nnx.merge(graphs[0], jax.tree.map(lambda *leaves: jnp.stack(leaves), *states))


def scan_layers(step: Callable, carry: Any, layers: Any, xs: Any = None, *, remat: bool = False) -> tuple[Any, Any]:
    """Runs `carry, output = step(carry, layer, x)` for every layer: (last carry, outputs with a leading layer axis).

    layers: a stacked module, or a tuple of them. xs: pytree with a leading layer axis, one slice per layer, or None.
    remat: the backward pass recomputes a layer from its carry instead of keeping its activations.

    Traced weights are scanned. Constant weights are sliced, and the layers unrolled: so an exported program holds
    constant weights, which its runtime can pack.
    """
    graph, state = nnx.split(layers)
    if _is_traced(state):

        def body(carry, state_and_x):
            state, x = state_and_x
            return step(carry, nnx.merge(graph, state), x)

        return jax.lax.scan(jax.checkpoint(body, prevent_cse=False) if remat else body, carry, (state, xs))
    outputs = []
    for i in range(num_layers(layers)):
        with _concrete(state):
            layer = nnx.merge(graph, jax.tree.map(lambda leaf, i=i: leaf[i], state))
        carry, output = step(carry, layer, jax.tree.map(lambda x, i=i: x[i], xs))
        outputs.append(output)
    return carry, jax.tree.map(lambda *leaves: jnp.stack(leaves), *outputs)


def num_layers(layers: Any) -> int:
    """The number of layers of a stacked module, or of each module of a tuple."""
    return jax.tree.leaves(nnx.state(layers))[0].shape[0]


def _is_traced(state) -> bool:
    """Whether any weight is a tracer, not a constant."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(state))


def _concrete(state):
    """A context in which operations on constant weights run immediately, even while an outer function is traced."""
    return nullcontext() if _is_traced(state) else jax.ensure_compile_time_eval()
