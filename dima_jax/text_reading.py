"""Keeps what a frozen LLM makes of the recorded questions and answers of each key frame (`teacher_cache.py`), as Orion-Lite does.

The text of a frame (`data/frame_text.py`) is read by the LLM alone, without a scene and without LoRA. The feature is its last
state after the final norm, the mean over the tokens of the text: the last token of a causal LLM foretells what comes next,
while the mean keeps something of every answer. There is no plan.

b texts that are read at once.
"""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int
from ml_collections import ConfigDict

from dima_jax import scene_shards, weights
from dima_jax.convert import llm_folder
from dima_jax.data.frame_text import FrameTexts
from dima_jax.data.prompts import tokenizer_of_llm
from dima_jax.data.records import Records
from dima_jax.errors import UserError
from dima_jax.progress import Progress, waiting
from dima_jax.scoring import npz_file
from dima_jax.teacher.llama import Llama
from dima_jax.teacher_cache import Taught, TeacherCache


def write(
    config: ConfigDict,
    split: str,
    out: str | Path,
    *,
    tokens: int = 64,
    random: int | None = None,
    batch: int = 8,
    part: int = 0,
    parts: int = 1,
) -> TeacherCache:
    """Writes the scenes that `out` lacks, of them every `parts`-th from number `part` on.

    config: groups `teacher` and `data`. tokens: of a frame's text at most. random: a seed, for weights drawn from it instead
    of those of `teacher.weights`. batch: texts that are read at once; it changes no number. UserError for records, weights or
    a tokenizer that are missing, damaged or do not fit, and if `out` holds something else.
    """
    records = Records(config.data.path, split)
    if not len(records):
        raise UserError(f"split {split!r} of {config.data.path} has no frames")
    tokenizer = tokenizer_of_llm(config)
    graph, params = llm(config, tokens, random)
    cache = TeacherCache(out)
    cache.open(source(config, params, tokens, records))
    mine = scene_shards.share(scene_shards.scenes_of(records), part, parts)
    left = cache.left(mine, records.samples)
    if not left:
        return cache
    with waiting("choosing questions"):
        texts = FrameTexts(records, tokenizer, tokens)
    reader = Reader(feature_function(graph, params), batch)
    frames = sum(len(scene.numbers) for scene in mine)
    done = frames - sum(len(scene.numbers) for scene in left)
    with Progress(frames, "frame", name=split, initial=done, first="compiling for the first scene") as progress:
        for scene in left:
            read = reader.read([texts.tokens(number)[:2] for number in scene.numbers])
            cache.write(scene, records.samples, Taught(read, None))
            progress.advance(len(scene.numbers))
    return cache


class Reader:
    """Reads texts, each once: neighboring frames often say the same."""

    def __init__(self, features: Callable, batch: int):
        self._features, self._batch = features, batch
        self._known: dict[bytes, np.ndarray] = {}

    def read(self, texts: list[tuple[np.ndarray, np.ndarray]]) -> Float[np.ndarray, "n E"]:
        """texts: (tokens [S], mask [S]) of each."""
        keys = [tokens.tobytes() + mask.tobytes() for tokens, mask in texts]
        new = list({key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}.items())
        for start in range(0, len(new), self._batch):
            now = new[start : start + self._batch]
            filled = now + now[:1] * (self._batch - len(now))
            rows = [np.stack(arrays) for arrays in zip(*(text for _, text in filled), strict=True)]
            found = np.asarray(self._features(*rows))
            self._known |= {key: row for (key, _), row in zip(now, found, strict=False)}
        return np.stack([self._known[key] for key in keys])


def llm(config: ConfigDict, tokens: int, random: int | None) -> tuple[nnx.GraphDef, weights.Params]:
    """(structure, weights) of the LLM: those of `teacher.weights`, or drawn from the seed `random`."""
    sizes, folder = config.teacher.llm, config.teacher.weights
    try:
        graph, abstract = weights.split(nnx.eval_shape(lambda: Llama(**sizes, rngs=nnx.Rngs(0))))
    except ValueError as error:
        raise UserError(f"config.teacher.llm: {error}") from None
    if random is not None:
        return graph, weights.split(Llama(**sizes, rngs=nnx.Rngs(random)))[1]
    llm_folder.check_config(folder, sizes, tokens)
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return graph, llm_folder.load(folder, abstract, dict.fromkeys(abstract, place))


def feature_function(graph: nnx.GraphDef, params: weights.Params) -> Callable:
    """(tokens, mask) -> the mean state of each text, float32."""

    @jax.jit
    def features(params, tokens: Int[Array, "b S"], mask: Bool[Array, "b S"]) -> Float[Array, "b E"]:
        model = weights.bind(graph, params)
        states = model(model.embed_tokens(tokens), mask, prefix=0, lora=None).astype(jnp.float32)
        return states.mean(1, where=mask[..., None])

    return lambda tokens, mask: features(params, tokens, mask)


def source(config: ConfigDict, params: weights.Params, tokens: int, records: Records) -> dict:
    """What the numbers hang on: the LLM, the texts that it reads, and the records."""
    llm_sizes = {key: config.teacher.llm[key] for key in sorted(config.teacher.llm) if key != "remat"}
    tokenizer = Path(config.teacher.tokenizer, "tokenizer.json").read_bytes() if config.teacher.tokenizer else b""
    return {
        "plan": False,
        "llm": npz_file.content_hash({path: np.asarray(value) for path, value in params.items()}),
        "sizes": llm_sizes,
        "tokenizer": npz_file.content_hash({"file": np.frombuffer(tokenizer, np.uint8)}),
        "tokens": tokens,
        "data": records.data_hash,
        "split": records.split,
    }
