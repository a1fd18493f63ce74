"""In which numbers a student computes (`student.dtype`): its weights are float32, its products float32 or bfloat16.

    with computing_in("bfloat16"):
        layer = linear(64, 64, rngs)             float32 weights, bfloat16 product and result

In bfloat16 are operands and results of convolutions and linear layers, and what lies between them: ReLU, dropout, max
pooling, the residuals of the image encoder, queries, keys and values. In float32 stay weights, gradients, optimizer and
losses; biases and norms; scores and softmax of attention; sums of bilinear samples; the residuals of the transformers,
and so the BEV and all tokens. Positions, CAN bus, sampling offsets, logits, boxes, lines and plans too: the layers that
read or make them are float32 throughout (`dtype=jnp.float32`).
"""

import contextlib
import contextvars

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

_PRODUCTS: contextvars.ContextVar[str] = contextvars.ContextVar("products", default="float32")


@contextlib.contextmanager
def computing_in(dtype: str):
    """Layers made inside compute in `dtype`, "float32" or "bfloat16", unless they are given another."""
    token = _PRODUCTS.set(dtype)
    try:
        yield
    finally:
        _PRODUCTS.reset(token)


def product_dtype() -> jnp.dtype:
    """The type of products of layers that are made now; float32 outside of `computing_in`."""
    return jnp.dtype(_PRODUCTS.get())


def _cast_operands(arrays: tuple, *, dtype) -> tuple:
    *operands, bias = arrays
    return *(x.astype(dtype) for x in operands), bias


class Linear(nnx.Linear):
    """Operands and result are of `dtype`. The bias is added in float32, and so is its gradient, a sum over all rows."""

    def __init__(self, *sizes: int, **options):
        super().__init__(*sizes, promote_dtype=_cast_operands, **options)

    def __call__(self, inputs: Float[Array, "... I"]) -> Float[Array, "... O"]:
        return super().__call__(inputs).astype(self.dtype)


class Conv(nnx.Conv):
    """As `Linear`."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, promote_dtype=_cast_operands, **options)

    def __call__(self, inputs: Float[Array, "n H W C"]) -> Float[Array, "n h w c"]:
        return super().__call__(inputs).astype(self.dtype)
