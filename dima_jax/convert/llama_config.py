"""Sizes from a Hugging Face config.json, for models whose arithmetic is that of `teacher/llama.py`, and no others.

Many models have a LLaMA's tensor names and other arithmetic, so what is accepted is listed: the model types here, the
classes and keys in `llama_keys.py`. What a config leaves out is filled in by transformers.

Source: transformers `models/llama`, `models/mistral`, `models/llava` (configuration and modeling),
https://github.com/haotian-liu/LLaVA (`llava/model/language_model`).
"""

import copy
import os
import sys
from collections.abc import Mapping

from dima_jax.convert import llama_keys
from dima_jax.convert.llama_keys import short
from dima_jax.errors import UserError

TEXT_TYPES = {"llama": "llama", "mistral": "mistral"}  # model_type: transformers' type of the language model
TEXT_TYPES |= {"llava_llama": "llama", "llava_mistral": "mistral"}  # LLaVA as its authors published it, config flat
WRAPPERS = (
    "llava",
    "llava_next",
)  # transformers' LLaVA, the language model's config under "text_config"; v1.5 also flat
SIZES = {  # ours: theirs
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "ffn_width": "intermediate_size",
    "vocab": "vocab_size",
}
REQUIRED = (*(key for key in SIZES.values() if key != "num_key_value_heads"), "rms_norm_eps")
OPTIONAL = ("num_key_value_heads", "head_dim", "hidden_act", "attention_bias", "mlp_bias", "tie_word_embeddings")
OPTIONAL += ("rope_theta", "rope_scaling", "rope_parameters", "max_position_embeddings", "sliding_window")
NULLABLE = ("num_key_value_heads", "sliding_window")  # null says: as many as heads, no window
SHORTEST_WINDOW = 1024  # positions; the scene and the text of configs/base.py take fewer


def llm_sizes(config: Mapping, name: str) -> dict:
    """`config.teacher.llm`'s sizes from a Hugging Face config.json (a LLaVA's: its `text_config`).

    name: the file, for messages. `rope_scaling` is among the sizes only where the model has one. Raises UserError, naming
    the file and the key, for a model that is no LLaMA and for a size that is missing or makes no sense.
    """
    text, prefix, model_type = _text_config(config, name)
    llama_keys.check(config, "", name)
    if prefix:
        llama_keys.check(text, prefix, name)
    for key in REQUIRED:
        if key in text:
            _positive(text, key, float if key == "rms_norm_eps" else int, prefix, name)
        elif not prefix:
            raise UserError(f"{name}: has no {key}; fetch the model's config.json again")
    given = {key: text[key] for key in (*REQUIRED, *OPTIONAL) if key in text}
    given = {key: value for key, value in given.items() if value is not None or key in NULLABLE}
    whole = _filled(given, model_type, prefix, name)
    sizes = {ours: _positive(whole, theirs, int, prefix, name) for ours, theirs in SIZES.items()}
    width, heads, kv_heads = sizes["width"], sizes["heads"], sizes["kv_heads"]
    if whole["head_dim"] * heads != width or whole["head_dim"] % 2 or heads % kv_heads:
        raise UserError(
            f"{name}: {prefix}head width {whole['head_dim']} with hidden_size {width}, num_attention_heads {heads} and "
            f"num_key_value_heads {kv_heads} is not the LLaMA of teacher/llama.py, whose heads fill its width evenly"
        )
    rope = whole["rope_parameters"]
    tied = (group.get("tie_word_embeddings") for group in (text, config, whole))
    sizes |= dict(
        rope_theta=float(_positive(rope, "rope_theta", float, prefix, name)),
        rms_eps=float(_positive(whole, "rms_norm_eps", float, prefix, name)),
        tied=bool(next(value for value in tied if value is not None)),
    )
    scaling = _rope_scaling(rope, prefix, name)
    return sizes if scaling is None else sizes | {"rope_scaling": scaling}


def window(config: Mapping, name: str) -> int | None:
    """The sliding window of a Hugging Face config, positions; None: every position attends to all before it.

    Raises UserError for one that is shorter than the text of configs/base.py, which would be felt.
    """
    text, prefix, model_type = _text_config(config, name)
    given = {"sliding_window": text["sliding_window"]} if "sliding_window" in text else {}
    positions = _filled(given, model_type, prefix, name).get("sliding_window")
    if (
        positions is not None
        and _positive({"sliding_window": positions}, "sliding_window", int, prefix, name) < SHORTEST_WINDOW
    ):
        raise UserError(
            f"{name}: {prefix}sliding_window {positions} is not the LLaMA of teacher/llama.py, which attends to the whole "
            f"text; null, or {SHORTEST_WINDOW} and more, can be converted"
        )
    return positions


def _text_config(config: Mapping, name: str) -> tuple[Mapping, str, str]:
    """(the language model's part of a config, how its keys are called in messages, transformers' type of it)."""
    if not isinstance(config, Mapping):
        raise UserError(f"{name}: is not a JSON object; fetch the model's config.json again")
    kind = config.get("model_type", "llama")  # a config.json of before there were model types
    prefix, text = "", config
    if isinstance(kind, str) and kind in WRAPPERS:
        if "text_config" in config:
            prefix, text = "text_config.", config["text_config"]
            if not isinstance(text, Mapping):
                raise UserError(f"{name}: text_config is {short(text)} and not the config of a language model")
            kind = text.get("model_type", "llama")  # as transformers does
        else:
            kind = "llava_llama"
    if not isinstance(kind, str) or kind not in TEXT_TYPES:
        raise UserError(
            f"{name}: {prefix}model_type {short(kind)} is not the LLaMA of teacher/llama.py; what is read: "
            f"{', '.join((*TEXT_TYPES, *WRAPPERS))}"
        )
    return text, prefix, TEXT_TYPES[kind]


def _filled(text: dict, model_type: str, prefix: str, name: str) -> dict:
    """The config with all that it leaves out, by transformers' class for it."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # it says that PyTorch was not found, which is not needed
    from transformers import LlamaConfig, MistralConfig

    try:
        whole = {"llama": LlamaConfig, "mistral": MistralConfig}[model_type](
            **copy.deepcopy(text)
        )  # it writes into them
    except Exception as error:  # huggingface_hub's validation has error classes of its own
        raise UserError(
            f"{name}: {prefix}values are not those of a {model_type}: {short(error.__cause__ or error)}"
        ) from error
    return whole.to_dict()


def _positive(config: Mapping, key: str, kind: type, prefix: str, name: str):
    value = config.get(key)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    right = is_number and 0 < value <= sys.float_info.max  # JSON has integers that are no float
    if not right or (kind is int and not isinstance(value, int)):
        raise UserError(
            f"{name}: {prefix}{key} is {short(value)}; it must be a positive {'integer' if kind is int else 'number'}"
        )
    return value


def _rope_scaling(rope: Mapping, prefix: str, name: str) -> tuple[float, ...] | None:
    """`teacher.llm.rope_scaling` of transformers' `rope_parameters`."""
    if rope.get("partial_rotary_factor") not in (None, 1):
        raise UserError(
            f"{name}: {prefix}partial_rotary_factor {short(rope['partial_rotary_factor'])} is not the LLaMA of teacher/llama.py"
        )
    if rope.get("rope_type", "default") == "default":
        return None
    keys = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    scaling = tuple(float(_positive(rope, key, float, f"{prefix}rope_scaling.", name)) for key in keys)
    if scaling[0] < 1 or scaling[1] >= scaling[2]:
        raise UserError(
            f"{name}: {prefix}rope_scaling has factor {scaling[0]:g}, low_freq_factor {scaling[1]:g}, high_freq_factor "
            f"{scaling[2]:g}; factor must be 1 or more and low_freq_factor the smaller of the two"
        )
    return scaling
