"""Equal layers one after the other, as one module whose weights have a leading layer axis, traced once.

A program, its compilation and the optimizer then grow with the kinds of layers, not with the depth.
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
    with _as_made(states):
        return nnx.merge(graphs[0], jax.tree.map(lambda *leaves: jnp.stack(leaves), *states))


def scan_layers(step: Callable, carry: Any, layers: Any, xs: Any = None, *, remat: bool = False) -> tuple[Any, Any]:
    """(last carry, outputs with a leading layer axis) of `carry, output = step(carry, layer, x)` over the layers.

    layers: a stacked module, or a tuple of them. xs: pytree with a leading layer axis, one slice a layer, or None.
    remat: the backward pass runs a layer again from its carry instead of keeping what it computed.
    Constants stay constants, so that an exported product knows its weights: then the layers are written out.
    """
    graph, state = nnx.split(layers)
    if _traced(state):

        def body(carry, now):
            return step(carry, nnx.merge(graph, now[0]), now[1])

        return jax.lax.scan(jax.checkpoint(body, prevent_cse=False) if remat else body, carry, (state, xs))
    outputs = []
    for i in range(num_layers(layers)):
        with _as_made(state):
            layer = nnx.merge(graph, jax.tree.map(lambda leaf, i=i: leaf[i], state))
        carry, output = step(carry, layer, jax.tree.map(lambda x, i=i: x[i], xs))
        outputs.append(output)
    return carry, jax.tree.map(lambda *leaves: jnp.stack(leaves), *outputs)


def num_layers(layers: Any) -> int:
    """How many layers a stacked module holds."""
    return jax.tree.leaves(nnx.state(layers))[0].shape[0]


def _traced(state) -> bool:
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(state))


def _as_made(state):
    """Where constants are cut and joined at once, even while a function around them is traced."""
    return nullcontext() if _traced(state) else jax.ensure_compile_time_eval()
