"""LLaMA against transformers: logits, hidden states, loss, embeddings as input, greedy continuation (golden/llama)."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dima_jax import weights
from dima_jax.convert import hf_llama, rules
from dima_jax.losses import language
from dima_jax.teacher import generate
from dima_jax.teacher.attention import prefix_attention
from dima_jax.teacher.llama import Llama, positions
from tests.golden.check import Check, close


def load(config: dict, state_dict: dict) -> Llama:
    """A float32 Llama with the weights of a transformers state dict."""
    graph, abstract = weights.split(
        nnx.eval_shape(lambda: Llama(**config, dtype="float32", remat=True, rngs=nnx.Rngs(0)))
    )
    params, _ = rules.to_params(hf_llama.llama_rules(state_dict), hf_llama.IGNORED, state_dict, abstract)
    return weights.bind(graph, {path: jnp.asarray(value) for path, value in params.items()})


def hidden_states(llm: Llama, x, mask):
    """[layers + 1, B, S, E] as transformers returns them: embeddings, each layer's output, the last one normed."""

    def attend(q, k, v, cache):
        del cache
        return prefix_attention(q, k, v, mask, 0), None

    graph, params = weights.split(llm)
    states = [x]
    for depth in range(1, llm.depth):
        first = {path: value[:depth] if path.startswith("layers/") else value for path, value in params.items()}
        states.append(weights.bind(graph, first).scan_layers(x, attend, positions(mask), None, None)[0])
    return jnp.stack([*states, llm(x, mask, prefix=0, lora=None)])


def check(folder: Path):
    for path in sorted(folder.glob("*.npz")):
        golden = dict(np.load(path))
        state_dict = {name[3:]: golden[name] for name in golden if name.startswith("sd/")}
        llm = load(hf_llama.llm_sizes(json.loads(str(golden["config_json"])), path.name), state_dict)
        yield path.name, _compare(llm, golden)


def _compare(llm: Llama, golden: dict) -> list:
    ids, mask = jnp.asarray(golden["input_ids"]), jnp.asarray(golden["attention_mask"] == 1)
    real = np.asarray(mask)
    states = jax.jit(lambda: hidden_states(llm, llm.embed_tokens(ids), mask))()
    logits = llm.logits(states[-1])
    term = language.next_token(logits, ids, jnp.asarray(golden["labels"] != -100))
    other = jax.jit(lambda x: llm(x, mask, prefix=0, lora=None))(jnp.asarray(golden["inputs_embeds"]))
    prompt, output = golden["greedy_prompt"], golden["greedy_output"]
    max_new_tokens = output.shape[1] - prompt.shape[1]
    tokens = jax.jit(
        lambda x: generate.greedy(
            llm, x, jnp.ones(prompt.shape, bool), prefix=0, max_new_tokens=max_new_tokens, end=-1, lora=None
        )
    )(llm.embed_tokens(jnp.asarray(prompt)))
    wrong = np.sum(np.asarray(tokens) != output[:, prompt.shape[1] :])
    every = np.broadcast_to(real, (len(states), *real.shape))
    return [
        close("hidden_states", states, golden["hidden_states"], 1e-4, every),
        close("logits", logits, golden["logits"], 1e-4, real),
        close("loss", term.sum / term.count, golden["loss"], 1e-5),
        close("embeds_last_hidden", other, golden["embeds_last_hidden"], 1e-4, real),
        close("embeds_logits", llm.logits(other), golden["embeds_logits"], 1e-4, real),
        Check("greedy tokens that differ", float(wrong), 0.0),
    ]
