"""Equal layers one after the other, traced once: a program grows with the kinds of layers, not with the depth.

Each layer keeps weights of its own (`layers/0/...`, `layers/1/...`: the paths of checkpoints and of the public weights);
they are stacked where the layers run, which copies a few megabytes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


def over_layers(step: Callable, carry: Any, layers: Sequence[Any], xs: Any = None) -> tuple[Any, Any]:
    """(last carry, outputs with a leading layer axis) of `carry, output = step(carry, layer, x)` over the layers.

    layers: modules, or tuples of modules, of equal structure and shapes; ValueError if not. xs: pytree with a leading
    layer axis, one slice for each layer, or None. Weights that are constants stay so (an exported product of constants
    is packed once): then the layers are written out.
    """
    graphs, states = zip(*(nnx.split(layer) for layer in layers), strict=True)
    if any(graph != graphs[0] for graph in graphs):
        raise ValueError("layers of different structure cannot share one trace")
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(states)):
        states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        return jax.lax.scan(lambda carry, now: step(carry, nnx.merge(graphs[0], now[0]), now[1]), carry, (states, xs))
    outputs = []
    for i, layer in enumerate(layers):
        carry, output = step(carry, layer, jax.tree.map(lambda x, i=i: x[i], xs))
        outputs.append(output)
    return carry, jax.tree.map(lambda *leaves: jnp.stack(leaves), *outputs)
