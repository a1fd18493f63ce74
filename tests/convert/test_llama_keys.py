"""The keys of config.json: those of LLaMAs and LLaVAs as they are published, and any other, which is refused by name."""

import pytest

from dima_jax.convert import llama_keys
from dima_jax.errors import UserError

PUBLISHED = {  # keys beside the sizes, as the models have them
    "Vicuna": dict(
        _name_or_path="vicuna-7b-v1.5", architectures=["LlamaForCausalLM"], bos_token_id=1, hidden_act="silu",
        initializer_range=0.02, max_position_embeddings=4096, pad_token_id=0, pretraining_tp=1, rope_scaling=None,
        torch_dtype="float16", transformers_version="4.31.0", use_cache=True,
    ),
    "SmolLM2": dict(
        attention_bias=False, attention_dropout=0.0, eos_token_id=[2, 3], is_llama_config=True, mlp_bias=False,
        rope_interleaved=False, rope_theta=100000, **{"transformers.js_config": {"dtype": "q4"}},
    ),
    "LLaVA-1.5, by its authors": dict(
        freeze_mm_mlp_adapter=False, image_aspect_ratio="pad", image_grid_pinpoints=None, max_length=4096,
        mm_hidden_size=1024, mm_projector_type="mlp2x_gelu", mm_use_im_patch_token=False, mm_vision_select_layer=-2,
        mm_vision_tower="openai/clip-vit-large-patch14-336", tune_mm_mlp_adapter=False, unfreeze_mm_vision_tower=False,
        use_mm_proj=True,
    ),
    "LLaVA-1.6, by its authors": dict(
        image_crop_resolution=224, mm_patch_merge_type="spatial_unpad", mm_vision_tower_lr=2e-06, rope_theta=1e6,
        tokenizer_model_max_length=4096, tokenizer_padding_side="right",
    ),
    "LLaVA, by transformers": dict(
        ignore_index=-100, image_seq_length=576, image_token_index=32000, multimodal_projector_bias=True,
        projector_hidden_act="gelu", vision_config={"hidden_act": "quick_gelu"}, vision_feature_layer=-2,
    ),
}  # fmt: skip
OTHERS = [
    {"scale_depth": 1.4},  # MiniCPM
    {"attention_multiplier": 0.0078},  # Granite
    {"logits_scaling": 8.0},
    {"query_pre_attn_scalar": 256},  # Gemma
    {"final_logit_softcap": 30.0},
    {"clip_qkv": 8.0},  # OLMo
    {"no_rope_layer_interval": 4},  # SmolLM3
    {"activation_function": "gelu"},  # EXAONE
    {"norm_type": "layernorm"},
    {"use_rope": False},
    {"rotary_dim": 2},
    {"bskcn_1": [12, 20]},  # Solar Pro
    {"cla_share_factor": 2},  # Hunyuan
    {"lambda_std_dev": 0.1},  # DiffLlama
    {"sliding_window_size": 8},
    {"layer_types": ["full_attention", "sliding_attention"]},
    {"use_sliding_window": True},
    {"attention_out_bias": True},
    {"add_cross_attention": True},
    {"pruned_heads": {"0": [1]}},
    {"auto_map": {"AutoModelForCausalLM": "modeling_x.X"}},
    {"architectures": "GraniteForCausalLM"},
]
ROPES = [
    "linear",
    {"rope_type": "default", "type": "linear"},
    {"rope_type": "default", "type": "llama3"},
    {"rope_type": ["linear"]},
    {"factor": 4.0},
    {"rope_type": "llama3", "factor": 8.0, "attention_factor": 2.0},
    {"full_attention": {"rope_type": "default"}, "sliding_attention": {"rope_type": "linear", "factor": 8.0}},
]


@pytest.mark.parametrize("model", PUBLISHED)
def test_published_keys_are_known(model):
    llama_keys.check(PUBLISHED[model], "", "config.json")


def test_all_that_transformers_writes_is_known():
    from transformers import LlamaConfig, LlavaConfig, LlavaNextConfig, MistralConfig

    for kind in (LlamaConfig, MistralConfig, LlavaConfig, LlavaNextConfig):
        llama_keys.check(kind().to_dict(), "", "config.json")


@pytest.mark.parametrize("change", OTHERS, ids=lambda change: next(iter(change)))
def test_another_key_is_refused_by_name(change):
    key = next(iter(change))
    with pytest.raises(UserError, match=rf"^config\.json: .*text_config\.{key}\b") as refused:
        llama_keys.check(change, "text_config.", "config.json")
    assert "\n" not in str(refused.value)


def test_null_changes_nothing():
    llama_keys.check({next(iter(change)): None for change in OTHERS} | {"rope_scaling": None}, "", "config.json")


@pytest.mark.parametrize("rope", ROPES, ids=str)
@pytest.mark.parametrize("key", llama_keys.ROPE)
def test_another_rotary_embedding_is_refused(key, rope):
    with pytest.raises(UserError, match=rf"^config\.json: {key}") as refused:
        llama_keys.check({key: rope}, "", "config.json")
    assert "\n" not in str(refused.value)


def test_two_rotary_embeddings_are_refused():
    ropes = {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}, "rope_parameters": {"rope_type": "default"}}
    with pytest.raises(UserError, match="rope_scaling and rope_parameters differ"):
        llama_keys.check(ropes, "", "config.json")
