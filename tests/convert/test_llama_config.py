"""config.json: sizes with transformers' defaults, and models that only look like a LLaMA."""

import json

import pytest

from dima_jax.convert.llama_config import llm_sizes, window
from dima_jax.errors import UserError
from tests.convert.llama_files import HF

SIZES = dict(
    layers=3, width=16, heads=4, kv_heads=2, ffn_width=24, vocab=20, rope_theta=10000.0, rms_eps=1e-5, tied=False
)
LLAMA_3 = dict(
    rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192
)
LLAVA_15 = dict(  # as llava-hf publishes it: only what differs from the defaults
    architectures=["LlavaForConditionalGeneration"],
    model_type="llava",
    image_token_index=32000,
    tie_word_embeddings=False,
    text_config=dict(
        architectures=["LlamaForCausalLM"],
        model_type="llama",
        max_position_embeddings=4096,
        rms_norm_eps=1e-05,
        vocab_size=32064,
    ),
)


def test_the_published_config_of_llava_names_almost_nothing():
    assert llm_sizes(LLAVA_15, "config.json") == dict(
        layers=32, width=4096, heads=32, kv_heads=32, ffn_width=11008, vocab=32064, rope_theta=10000.0, rms_eps=1e-5,
        tied=False,
    )  # fmt: skip


def test_defaults_are_those_of_the_language_model():
    text = dict(model_type="mistral", vocab_size=32064, rms_norm_eps=1e-5, rope_theta=1e6, sliding_window=None)
    sizes = llm_sizes({"model_type": "llava_next", "text_config": text}, "config.json")
    assert (sizes["kv_heads"], sizes["ffn_width"], sizes["rope_theta"]) == (8, 14336, 1e6)


@pytest.mark.parametrize(
    ("change", "sizes"),
    [
        ({}, {}),
        ({"model_type": "llava_llama", "architectures": ["LlavaLlamaForCausalLM"], "mm_hidden_size": 1024}, {}),
        ({"model_type": "mistral", "sliding_window": 4096}, {}),
        ({"num_key_value_heads": None}, {"kv_heads": 4}),
        ({"rope_theta": None}, {}),
        ({"tie_word_embeddings": True}, {"tied": True}),
        ({"rope_scaling": LLAMA_3}, {"rope_scaling": (8.0, 1.0, 4.0, 8192.0)}),
        ({"rope_parameters": {**LLAMA_3, "rope_theta": 5e5}}, {"rope_scaling": (8.0, 1.0, 4.0, 8192.0), "rope_theta": 5e5}),
        ({"embedding_multiplier": 1.0, "attention_bias": False, "head_dim": 4, "hidden_act": "silu"}, {}),
    ],
)  # fmt: skip
def test_llamas_are_read(change, sizes):
    config = {**HF, **change}
    assert llm_sizes(config, "config.json") == SIZES | sizes
    assert json.dumps(config) == json.dumps({**HF, **change})  # transformers writes into what it is given


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "granite"}, "model_type 'granite'"),
        ({"model_type": ["llama"]}, "model_type"),
        ({"architectures": ["GraniteForCausalLM"]}, "architectures 'GraniteForCausalLM'"),
        ({"embedding_multiplier": 12.0}, "embedding_multiplier 12.0"),
        ({"residual_multiplier": 0.22}, "residual_multiplier 0.22"),
        ({"logits_scaling": 16.0}, "logits_scaling"),
        ({"attention_multiplier": 0.0078}, "attention_multiplier"),
        ({"scale_emb": 12}, "scale_emb"),
        ({"final_logit_softcapping": 30.0}, "final_logit_softcapping"),
        ({"attention_bias": True}, r"biases \(attention_bias\)"),
        ({"mlp_bias": True}, r"biases \(mlp_bias\)"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"head_dim": 8}, "head width 8"),
        ({"num_key_value_heads": 3}, "num_key_value_heads 3"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ({"rope_scaling": {"type": "linear", "factor": 4.0}}, "rope type linear"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope type yarn"),
        ({"rope_scaling": {**LLAMA_3, "low_freq_factor": 5.0}}, "low_freq_factor 5"),
        ({"rope_scaling": {**LLAMA_3, "factor": "8"}}, "factor"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "high_freq_factor"),
        ({"rope_scaling": "llama3"}, "rope"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"num_local_experts": 8}, "num_local_experts 8"),
        ({"rope_theta": -1.0}, "rope_theta is -1.0"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0"),
        ({"hidden_size": "16"}, "hidden_size is '16'"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps is nan"),
        ({"hidden_size": 10**400}, r"hidden_size is \[\.\.\.\]"),
    ],
)  # fmt: skip
def test_others_are_refused_by_file_and_key(change, message):
    with pytest.raises(UserError, match=rf"^config\.json: .*{message}") as refused:
        llm_sizes({**HF, **change}, "config.json")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("key", ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "rms_norm_eps"])  # fmt: skip
def test_a_size_that_is_lacking_or_null_is_named(key):
    with pytest.raises(UserError, match=rf"config\.json: {key} is None"):
        llm_sizes({**HF, key: None}, "config.json")
    with pytest.raises(UserError, match=rf"config\.json: text_config\.{key} is None"):
        llm_sizes({"model_type": "llava", "text_config": {**HF, key: None}}, "config.json")
    with pytest.raises(UserError, match=rf"config\.json: has no {key}"):
        llm_sizes({name: value for name, value in HF.items() if name != key}, "config.json")


@pytest.mark.parametrize("config", [[], None, {"model_type": "llava", "text_config": None}, {"model_type": "llava", "text_config": {"model_type": "qwen2"}}])  # fmt: skip
def test_what_is_no_config_of_a_llama_is_refused(config):
    with pytest.raises(UserError, match=r"config\.json: "):
        llm_sizes(config, "config.json")


def test_a_window_that_would_be_felt_is_refused():
    mistral = {**HF, "model_type": "mistral"}
    assert window(HF, "config.json") is None
    assert window({**mistral, "sliding_window": None}, "config.json") is None
    assert window(mistral, "config.json") == 4096  # transformers' default
    with pytest.raises(UserError, match=r"config\.json: sliding_window 128"):
        window({**mistral, "sliding_window": 128}, "config.json")
