"""Where the weights of a Hugging Face LLaMA go: the table, the config's translation, and the reader of safetensors.

A LLaMA stores matrices as [out, in], one per layer; ours are [layers, in, out] (`teacher/llama.py`). The language half
of LLaVA-v1.5 is found under its prefixes; its vision tower and projector are skipped by name, anything else unknown is
refused. Nothing is read before the keys and shapes of the whole checkpoint are checked against the LLM.

Source: transformers `models/llama/modeling_llama.py`, `models/llava/modeling_llava.py`.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dima_jax.errors import UserError

TABLE = (  # (key, path); a key with a layer number fills one row of the stacked weight
    (r"model\.embed_tokens\.weight", "embed/table"),
    (r"model\.layers\.(\d+)\.self_attn\.(q|k|v|o)_proj\.weight", r"layers/\2/kernel"),
    (r"model\.layers\.(\d+)\.mlp\.(gate|up|down)_proj\.weight", r"layers/\2/kernel"),
    (r"model\.layers\.(\d+)\.input_layernorm\.weight", "layers/attn_norm/scale"),
    (r"model\.layers\.(\d+)\.post_attention_layernorm\.weight", "layers/ffn_norm/scale"),
    (r"model\.norm\.weight", "norm/scale"),
    (r"lm_head\.weight", "head/table"),
)
IGNORED = (  # not part of the language model, or derived from the config
    r".*\.rotary_emb\.inv_freq",
    r"(model\.)?vision_tower\..*",
    r"(model\.)?(mm_projector|multi_modal_projector)\..*",
    r"model\.image_newline",
)


class Place(NamedTuple):
    """Where a source tensor goes: path below `teacher/llm`, layer (None = not stacked), and whether to transpose."""

    path: str
    layer: int | None
    transpose: bool


def locate(key: str) -> Place | None:
    """The place of a checkpoint key; None if it is ignored. Raises UserError on an unknown key."""
    if any(re.fullmatch(pattern, key) for pattern in IGNORED):
        return None
    plain = re.sub(r"^(language_model\.model\.|model\.language_model\.)", "model.", key)
    plain = re.sub(r"^language_model\.lm_head\.", "lm_head.", plain)
    for pattern, path in TABLE:
        match = re.fullmatch(pattern, plain)
        if match:
            layer = int(match[1]) if match.groups() else None
            return Place(match.expand(path), layer, path.endswith("kernel"))
    raise UserError(f"{key}: not a weight of a LLaMA; is this the right checkpoint?")


def check(source: Mapping[str, tuple[int, ...]], target: Mapping[str, tuple[int, ...]], name: str) -> dict[str, Place]:
    """{key: place} when every key has one place and every slot of the target is filled once, with the right shape.

    source: {checkpoint key: shape}. target: {path below teacher/llm: shape}. name: the checkpoint, for the message.
    Raises UserError naming the first missing, unexpected or misshapen key.
    """
    places, filled = {}, {}
    for key, shape in source.items():
        place = locate(key)
        if place is None:
            continue
        places[key] = place
        want = target.get(place.path)
        if want is None or (place.layer is not None and place.layer >= want[0]):
            raise UserError(f"{name}: {key} has no place in this LLM; compare its config with config.teacher.llm")
        want = want if place.layer is None else want[1:]
        got = tuple(reversed(shape)) if place.transpose else tuple(shape)
        if got != tuple(want):
            raise UserError(f"{name}: {key} has shape {tuple(shape)}, this LLM needs {tuple(want)} at {place.path}")
        if (place.path, place.layer) in filled:
            raise UserError(f"{name}: {key} and {filled[place.path, place.layer]} are the same weight")
        filled[place.path, place.layer] = key
    for path, shape in target.items():
        for layer in range(shape[0]) if path.startswith("layers/") else [None]:
            if (path, layer) not in filled:
                raise UserError(f"{name}: no tensor for {path}" + ("" if layer is None else f", layer {layer}"))
    return places


def place(
    tensors: Iterable[tuple[str, np.ndarray]], places: Mapping[str, Place], write: Callable[[Place, np.ndarray], None]
) -> None:
    """Hands every placed tensor, transposed to ours, to `write`, one at a time."""
    for key, value in tensors:
        if key in places:
            write(places[key], value.T if places[key].transpose else value)
        del value  # before the next one is read


def llm_config(config: Mapping, name: str) -> dict:
    """`config.teacher.llm`'s sizes from a Hugging Face config.json (a LLaVA's: its `text_config`).

    Raises UserError when the model is not a plain LLaMA (scaled rotary, biases, odd head width).
    """
    config = config.get("text_config", config)
    rope = config.get("rope_parameters") or {}
    scaling = config.get("rope_scaling") or {}
    kind = rope.get("rope_type") or scaling.get("rope_type") or scaling.get("type") or "default"
    heads = config["num_attention_heads"]
    head_width = config.get("head_dim") or config["hidden_size"] // heads
    refused = {
        f"rope type {kind}": kind != "default",
        "biases": config.get("attention_bias") or config.get("mlp_bias"),
        f"activation {config.get('hidden_act')}": config.get("hidden_act", "silu") != "silu",
        f"head width {head_width}": head_width * heads != config["hidden_size"],
    }
    for reason, holds in refused.items():
        if holds:
            raise UserError(f"{name}: {reason} is not the LLaMA of teacher/llama.py")
    return dict(
        layers=config["num_hidden_layers"],
        width=config["hidden_size"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        ffn_width=config["intermediate_size"],
        vocab=config["vocab_size"],
        rope_theta=float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0),  # 10000: LLaMA 1's, unwritten
        rms_eps=float(config["rms_norm_eps"]),
        tied=bool(config.get("tie_word_embeddings", False)),
    )


def read_config(folder: Path) -> dict:
    """`llm_config` of `folder/config.json`. Raises UserError when there is none."""
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"{path}: no such file; --source must be a Hugging Face folder or a .gguf file")
    return llm_config(json.loads(path.read_text()), str(path))
