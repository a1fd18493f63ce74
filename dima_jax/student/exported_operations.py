"""JAX primitives that become one operation of an exported program; `onnx_lowering.py` has a rule for each.

Runtimes have a kernel for a softmax, and are slow at the five element-wise operations that JAX makes of one; jax2onnx's rule
for a scatter makes dozens of nodes. LayerNorm stays what JAX makes of it: onnxruntime's kernel is slower on a CPU.
"""

from collections.abc import Callable

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from jax.interpreters import mlir
from jaxtyping import Array, Float, Int

from dima_jax import sharding


def primitive(name: str, function: Callable, shape: Callable) -> jax.extend.core.Primitive:
    """A primitive that computes `function` of its operands, forward only. shape: (operands) to the result's shape; its type
    is that of the first operand.
    """
    made = jax.extend.core.Primitive(name)
    made.def_impl(jax.jit(function))
    made.def_abstract_eval(lambda *operands: jax.core.ShapedArray(shape(*operands), operands[0].dtype))
    mlir.register_lowering(made, mlir.lower_fun(function, multiple_results=False))
    return made


softmax_p = primitive("exported_softmax", jax.nn.softmax, lambda x: x.shape)
scatter_in_rows_p = primitive(
    "scatter_in_rows",
    lambda x, place: jnp.zeros_like(x).at[np.arange(len(x))[:, None], place].set(x, unique_indices=True),
    lambda x, place: x.shape,
)


def softmax(x: Float[Array, "*n S"]) -> Float[Array, "*n S"]:
    """Over the last axis; `jax.nn.softmax` in programs that are not exported."""
    return softmax_p.bind(x) if sharding.platform() == "onnx" else jax.nn.softmax(x)


def scatter_in_rows(x: Int[Array, "B Q"], place: Int[Array, "B Q"]) -> Int[Array, "B Q"]:
    """y with y[b, place[b, i]] = x[b, i]; each row of `place` has every place once."""
    return scatter_in_rows_p.bind(x, place)
