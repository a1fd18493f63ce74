"""The JAX side of `benchmarks.teacher`: `Llama` with `Lora`, jitted. Started by it, not by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks.serve import read_task, serve
from dima_jax import weights
from dima_jax.losses.language import next_token
from dima_jax.teacher.llama import Llama
from dima_jax.teacher.lora import Lora


class LoraLlama(nnx.Module):
    """A base and its updates, as the teacher holds them."""

    def __init__(self, sizes: dict, rank: int, alpha: float, rngs: nnx.Rngs):
        self.llm = Llama(**sizes, dtype="float32", remat=False, rngs=rngs)
        self.lora = Lora(self.llm.shapes, layers=sizes["layers"], rank=rank, alpha=alpha, rngs=rngs)

    def __call__(self, tokens):
        states = self.llm(self.llm.embed_tokens(tokens), jnp.ones(tokens.shape, bool), prefix=0, lora=self.lora)
        return self.llm.logits(states)


def main() -> None:
    task, arrays = read_task()
    graph, abstract = weights.split(
        nnx.eval_shape(lambda: LoraLlama(task["sizes"], task["rank"], task["alpha"], nnx.Rngs(0)))
    )
    tokens = jnp.asarray(arrays["tokens"])
    params = {path: jnp.asarray(arrays.pop(path)) for path in abstract}
    frozen, lora = weights.with_prefix(params, "llm/"), weights.with_prefix(params, "lora/")
    if task["part"] == "forward":
        forward = jax.jit(lambda params, tokens: weights.bind(graph, params)(tokens))
        serve(lambda: jax.block_until_ready(forward(params, tokens)), lambda y: np.asarray(y[-1, -1, :32]).tolist())
    else:
        del params
        train(graph, frozen, lora, tokens)


def train(graph, frozen, lora, tokens) -> None:
    optimizer = optax.adamw(1e-3, weight_decay=0.01)
    state = lora, jax.jit(optimizer.init)(lora)

    def step(state, frozen, tokens):
        def objective(lora):
            logits = weights.bind(graph, {**frozen, **lora})(tokens)
            total, count = next_token(logits, tokens, jnp.ones(tokens.shape, bool))
            return total / count

        loss, gradients = jax.value_and_grad(objective)(state[0])
        updates, opt_state = optimizer.update(gradients, state[1], state[0])
        return (optax.apply_updates(state[0], updates), opt_state), loss

    step = jax.jit(step, donate_argnums=0)

    def call():
        nonlocal state
        state, loss = step(state, frozen, tokens)
        return jax.block_until_ready(loss)

    serve(call, lambda loss: [float(loss)])


if __name__ == "__main__":
    main()
