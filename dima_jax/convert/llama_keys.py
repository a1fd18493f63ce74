"""Which keys of a Hugging Face config.json a LLaMA's may have: any other one may change what the same tensors compute.

Models that look like a LLaMA keep on coming, so this is a list of what is known, not of what is refused. A known key
either is read (`llama_config.py`), or has the values under NEUTRAL with which it changes nothing, or never matters.

Source: transformers `models/llama`, `models/mistral`, `models/llava` and `configuration_utils.py`, of versions 4 and 5;
https://github.com/haotian-liu/LLaVA (`llava/model`).
"""

import re
import textwrap
from collections.abc import Mapping

from dima_jax.errors import UserError

ARCHITECTURES = (
    "LlamaForCausalLM",
    "LLaMAForCausalLM",  # the first conversions of LLaMA 1
    "LlamaModel",
    "MistralForCausalLM",
    "MistralModel",
    "LlavaForConditionalGeneration",
    "LlavaNextForConditionalGeneration",
    "LlavaLlamaForCausalLM",
    "LlavaMistralForCausalLM",
)
ROPE = ("rope_scaling", "rope_parameters")
READ = ("model_type", "text_config", "num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads")
READ += (
    "intermediate_size",
    "vocab_size",
    "rms_norm_eps",
    "head_dim",
    "tie_word_embeddings",
    "max_position_embeddings",
)
READ += ("sliding_window", "rope_theta")  # by llama_config.py
NEUTRAL = {  # keys that change what a LLaMA computes, and the values with which they do not; None never does
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "use_bias": (False,),
    "bias": (False,),
    "qkv_bias": (False,),
    "hidden_act": ("silu", "swish"),
    "hidden_activation": ("silu", "swish"),
    "partial_rotary_factor": (1,),
    "rotary_pct": (1,),
    "rope_interleaved": (False,),  # SmolLM2
    "embedding_multiplier": (1,),  # Granite
    "residual_multiplier": (1,),
    "logits_scaling": (1,),
    "scale_emb": (1,),  # MiniCPM
    "lm_head_multiplier": (1,),  # Falcon-H1
    "key_multiplier": (1,),
    "embedding_scale": (1,),
    "logit_scale": (1,),  # Cohere
    "use_qk_norm": (False,),
    "qk_norm": (False,),
    "qk_layernorm": (False,),
    "no_rope_layers": ([],),  # SmolLM3
    "attn_temperature_tuning": (False,),
    "use_parallel_residual": (False,),
    "parallel_attn": (False,),
    "alibi": (False,),
    "use_alibi": (False,),
    "use_sliding_window": (False,),  # Qwen2
    "use_mrope": (False,),
    "num_local_experts": (0, 1),  # Mixtral
    "num_experts": (0, 1),
    "n_routed_experts": (0,),
    "add_cross_attention": (False,),
    "is_decoder": (False, True),  # of transformers' other kinds of models
    "is_encoder_decoder": (False,),
    "tie_encoder_decoder": (False,),
    "pruned_heads": ({}, []),
}
HARMLESS = re.compile(  # of training, of generation, of files, of LLaVA's vision half
    r"_.*|.*version|.*_token|.*_token_ids?|.*_token_index|.*dropout|(torch_)?dtype|attn_implementation|architectures|"
    r"pretraining_tp|max_sequence_length|initializer_range|use_cache|is_llama_config|transformers\.js_config|unsloth_.*|"
    r"output_(attentions|hidden_states|scores|logits)|return_dict(_in_generate)?|torchscript|use_bfloat16|tf_legacy_loss|"
    r"finetuning_task|id2label|label2id|num_labels|problem_type|task_specific_params|prefix|tokenizer_.*|"
    r"(min|max)_(length|new_tokens)|do_sample|early_stopping|num_beams|num_beam_groups|diversity_penalty|temperature|"
    r"top_[kp]|typical_p|repetition_penalty|length_penalty|(encoder_)?no_repeat_ngram_size|bad_words_ids|"
    r"num_return_sequences|chunk_size_feed_forward|exponential_decay_length_penalty|(begin_)?suppress_tokens|"
    r"remove_invalid_values|generation_config|ignore_index|vision_.*|image_.*|(multimodal_projector|mm)_.*|projector_hidden_act|"
    r"(un)?freeze_.*|tune_.*|use_mm_proj|use_image_newline_parameter|has_no_defaults_at_init"
)
ROPE_KEYS = {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
LLAMA_3_KEYS = {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}
FULL = "full_attention"  # of `layer_types`: as in every layer of a LLaMA


def check(config: Mapping, prefix: str, name: str) -> None:
    """UserError, naming file and key, for one that may make another function of the same tensors.

    prefix: how the keys of this part are called in messages, e.g. "text_config.". name: the file.
    """
    architectures = config.get("architectures") or []
    for one in architectures if isinstance(architectures, list) else [architectures]:
        if one not in ARCHITECTURES:
            raise UserError(f"{name}: {prefix}architectures {short(one)} is not the LLaMA of teacher/llama.py")
    for key, value in config.items():
        if value is None or key in READ or HARMLESS.fullmatch(key):
            continue
        if key in ROPE:
            _check_rope(value, f"{prefix}{key}", name)
        elif key == "layer_types":
            others = [one for one in value if one != FULL] if isinstance(value, list) else [value]
            if others:
                raise UserError(f"{name}: {prefix}layer_types {short(others[0])} is not the LLaMA of teacher/llama.py")
        elif key in NEUTRAL:
            if value not in NEUTRAL[key]:
                what = f"biases ({prefix}{key}) are" if key.endswith("bias") else f"{prefix}{key} {short(value)} is"
                raise UserError(f"{name}: {what} not the LLaMA of teacher/llama.py; the model cannot be converted")
        else:
            raise UserError(
                f"{name}: {prefix}{key} {short(value)} is no key of a LLaMA, and may change what the model computes; if it "
                "does not, remove it from the file"
            )
    given = [config[key] for key in ROPE if config.get(key)]
    if len(given) == 2 and given[0] != given[1]:
        raise UserError(f"{name}: {prefix}rope_scaling and {prefix}rope_parameters differ; remove one of them")


def _check_rope(rope, where: str, name: str) -> None:
    if not isinstance(rope, Mapping):
        raise UserError(f"{name}: {where} {short(rope)} is no table of rotary scaling")
    kinds = {
        rope[key] if isinstance(rope[key], str) else short(rope[key]) for key in ("rope_type", "type") if rope.get(key)
    }
    for kind in sorted(kinds or {"default"}):
        if kind not in ("default", "llama3"):
            raise UserError(
                f"{name}: {where}: rope type {kind} is not the LLaMA of teacher/llama.py; default and llama3 are"
            )
    if len(kinds) == 2:
        raise UserError(f"{name}: {where} has type {short(rope['type'])} and rope_type {short(rope['rope_type'])}")
    known = ROPE_KEYS | (LLAMA_3_KEYS if kinds == {"llama3"} else {"original_max_position_embeddings"})
    for key, value in rope.items():
        if value is not None and key not in known:
            raise UserError(
                f"{name}: {where}.{key} {short(value)} is not of rope type {min(kinds, default='default')}, as "
                "teacher/llama.py computes it; the model cannot be converted"
            )


def short(value) -> str:
    """A value from a file as messages repeat it."""
    return textwrap.shorten(repr(value) if isinstance(value, str | dict | list) else str(value), 120)
