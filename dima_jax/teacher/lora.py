"""LoRA: low-rank updates of the LLM's linear layers, y = x W + (alpha / rank) (x A) B (decision D4).

W is frozen, A and B are trained. B is initialized with zeros, so the untrained model equals the base. Weights of all
layers are stacked on a leading axis like the base's: `teacher/lora/q/a` [layers, in, rank] and `teacher/lora/q/b`
[layers, rank, out]; i and o below are the inputs and outputs of a linear layer.

Decision: docs/decisions.md#d4. Source: Hu et al., LoRA (arXiv 2106.09685), section 4, and `loralib/layers.py`.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

PROJECTIONS = ("q", "k", "v", "o", "gate", "up", "down")  # the linear layers of a decoder layer


class LowRank(nnx.Module):
    """The update of one linear layer in every decoder layer: a [layers, in, rank] and b [layers, rank, out].

    a is uniform within 1 / sqrt(in), as loralib's `kaiming_uniform_(a=sqrt(5))`; b is zero.
    """

    def __init__(self, layers: int, width_in: int, width_out: int, rank: int, *, rngs: nnx.Rngs):
        bound = (1.0 / width_in) ** 0.5
        shape = (layers, width_in, rank)
        self.a = nnx.Param(jax.random.uniform(rngs.params(), shape, minval=-bound, maxval=bound))
        self.b = nnx.Param(jnp.zeros((layers, rank, width_out)))


class Lora(nnx.Module):
    """One `LowRank` for each of PROJECTIONS, as an attribute of the same name. scale: alpha / rank.

    shapes: {projection: (in, out)} of the LLM (`Llama.shapes`).
    """

    def __init__(self, shapes: Mapping[str, tuple[int, int]], *, layers: int, rank: int, alpha: float, rngs: nnx.Rngs):
        self.scale = alpha / rank
        for name in PROJECTIONS:
            setattr(self, name, LowRank(layers, *shapes[name], rank, rngs=rngs))

    def updates(self) -> dict[str, tuple[Float[Array, "layers _ rank"], Float[Array, "layers rank _"]]]:
        """{projection: (a, b times `scale`)} of all layers."""
        return {name: (getattr(self, name).a[...], getattr(self, name).b[...] * self.scale) for name in PROJECTIONS}


def project(
    x: Float[Array, "n i"],
    kernels: Sequence[Float[Array, "i _"]],
    updates: Sequence[tuple[Float[Array, "i rank"], Float[Array, "rank _"]]] | None,
) -> list[Float[Array, "n _"]]:
    """x through each kernel, plus x through the update (a, scaled b) of each kernel, in x's dtype.

    The products with all a's are computed as one, because each alone is too narrow to be fast.
    """
    outputs = [x @ kernel.astype(x.dtype) for kernel in kernels]
    if updates is None:
        return outputs
    a, b = zip(*updates, strict=True)
    low = jnp.split(x @ jnp.concatenate(a, axis=-1).astype(x.dtype), len(a), axis=-1)
    return [y + z @ up.astype(x.dtype) for y, z, up in zip(outputs, low, b, strict=True)]


def merge(params: Mapping[str, jax.Array], scale: float) -> dict[str, jax.Array]:
    """The same function without LoRA: every update added to its base kernel, and every b set to zero.

    params: {path: array} with `.../llm/layers/<projection>/kernel` and `.../lora/<projection>/{a,b}`; other weights are
    returned as they are. scale: `Lora.scale`. The sum is computed in float32 and stored in the kernel's dtype, so merging
    into a bfloat16 base rounds.
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
