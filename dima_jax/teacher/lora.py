"""Low-rank updates of the LLM's linear layers (D4): y = x W + (alpha / rank) (x A) B, for every layer at once.

W is frozen, A and B train. B starts at zero, so an untrained LoRA is exactly the base. The weights of all layers are
stacked on a leading axis like the base's: `teacher/lora/q/a` [layers, in, rank], `teacher/lora/q/b` [layers, rank, out].
Source: Hu et al., LoRA (arXiv 2106.09685), section 4.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import nnx

PROJECTIONS = ("q", "k", "v", "o", "gate", "up", "down")


class LowRank(nnx.Module):
    """A [layers, in, rank], He-uniform as in the reference, and B [layers, rank, out], zero."""

    def __init__(self, layers: int, width_in: int, width_out: int, rank: int, *, rngs: nnx.Rngs):
        bound = (1.0 / width_in) ** 0.5
        shape = (layers, width_in, rank)
        self.a = nnx.Param(jax.random.uniform(rngs.params(), shape, minval=-bound, maxval=bound))
        self.b = nnx.Param(jnp.zeros((layers, rank, width_out)))


class Lora(nnx.Module):
    """One `LowRank` for each projection of the LLM, named as there; `scale` = alpha / rank.

    shapes: {projection: (in, out)} of the LLM (`Llama.shapes`).
    """

    def __init__(self, shapes: Mapping[str, tuple[int, int]], *, layers: int, rank: int, alpha: float, rngs: nnx.Rngs):
        self.scale = alpha / rank
        for name in PROJECTIONS:
            setattr(self, name, LowRank(layers, *shapes[name], rank, rngs=rngs))

    def stacked(self) -> dict[str, tuple[jax.Array, jax.Array]]:
        """{projection: (a, b times scale)}, leading axis = layer."""
        return {name: (getattr(self, name).a[...], getattr(self, name).b[...] * self.scale) for name in PROJECTIONS}


def project(
    x: jax.Array, kernels: Sequence[jax.Array], updates: Sequence[tuple[jax.Array, jax.Array]] | None
) -> list[jax.Array]:
    """x [n, in] times each kernel [in, out], plus each low-rank update (a, scaled b) of that layer, in x's dtype.

    The a's of one input are one product: on their own they are too thin to be fast.
    """
    outputs = [x @ kernel.astype(x.dtype) for kernel in kernels]
    if updates is None:
        return outputs
    a, b = zip(*updates, strict=True)
    low = jnp.split(x @ jnp.concatenate(a, axis=-1).astype(x.dtype), len(a), axis=-1)
    return [y + z @ up.astype(x.dtype) for y, z, up in zip(outputs, low, b, strict=True)]


def merge(params: Mapping[str, jax.Array], scale: float) -> dict[str, jax.Array]:
    """Weights of the teacher with every update added to its base kernel and B set to zero: the same function.

    params: `{path: array}` holding `.../llm/layers/<projection>/kernel` and `.../lora/<projection>/{a,b}`. The sum is
    formed in float32 and stored in the kernel's dtype, so merging a bfloat16 base rounds.
    """
    merged = dict(params)
    for path, b in params.items():
        root, found, name = path.rpartition("lora/")
        if not found or not name.endswith("/b"):
            continue
        projection = name.removesuffix("/b")
        kernel_path = f"{root}llm/layers/{projection}/kernel"
        kernel, a = params[kernel_path], params[f"{root}lora/{projection}/a"]
        update = scale * jnp.einsum("lir,lro->lio", a, b, precision="highest")
        merged[kernel_path] = (kernel.astype(jnp.float32) + update).astype(kernel.dtype)
        merged[path] = jnp.zeros_like(b)
    return merged
