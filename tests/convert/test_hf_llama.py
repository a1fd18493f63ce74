"""A Hugging Face folder: LLaVA-v1.5's key names, strictness, and configs that are no plain LLaMA."""

import json

import numpy as np
import pytest

from dima_jax.convert import hf_llama, rules
from dima_jax.convert.llama_command import convert_llama
from dima_jax.convert.llm_folder import shapes_of
from dima_jax.errors import UserError
from tests.convert.llama_files import HF, build, checkpoint, edit, load

DECODER = "language_model.model."


def test_every_weight_of_llava_arrives(llava, tmp_path):
    sizes = convert_llama(llava, tmp_path / "out", "float32")
    assert sizes == dict(
        layers=3, width=16, heads=4, kv_heads=2, ffn_width=24, vocab=20, rope_theta=10000.0, rms_eps=1e-5, tied=False
    )
    params = load(tmp_path / "out", build(sizes)[1])
    source = checkpoint()
    for name, ours in (("self_attn.k_proj", "k"), ("mlp.down_proj", "down")):
        for i in range(3):
            np.testing.assert_array_equal(
                params[f"layers/{ours}/kernel"][i], source[f"model.layers.{i}.{name}.weight"].T
            )
    np.testing.assert_array_equal(
        params["layers/ffn_norm/scale"][2], source["model.layers.2.post_attention_layernorm.weight"]
    )
    np.testing.assert_array_equal(params["head/table"], source["lm_head.weight"])
    assert not (tmp_path / "out" / "tokenizer.json").exists()  # its own is none


@pytest.mark.parametrize("decoder, head", hf_llama.LAYOUTS)
@pytest.mark.parametrize("tied", [False, True])
def test_every_layout_sets_every_weight(decoder, head, tied):
    source = {key.replace("model.", decoder, 1): x for key, x in checkpoint().items() if key != "lm_head.weight"}
    if not tied:
        source[f"{head}lm_head.weight"] = checkpoint()["lm_head.weight"]
    source["model.vision_tower.patch.weight"] = source["model.image_newline"] = np.zeros(3, np.float32)
    _, abstract = build(hf_llama.llm_sizes({**HF, "tie_word_embeddings": tied}, "config.json"))
    params, assignments = rules.to_params(hf_llama.llama_rules(source), hf_llama.IGNORED, source, abstract)
    np.testing.assert_array_equal(params["layers/gate/kernel"][1], source[f"{decoder}layers.1.mlp.gate_proj.weight"].T)
    assert assignments.ignored == ("model.vision_tower.patch.weight", "model.image_newline")
    assert ("head/table" in params) is not tied


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(f"{DECODER}layers.0.input_layernorm.weight"), r"missing key 'language_model\.model\.layers\.0\.input_layernorm\.weight' of the weight 'layers/attn_norm/scale\[0\]'"),
        (lambda t: t.update({f"{DECODER}layers.0.self_attn.q_proj.bias": np.zeros(16, np.float32)}), r"unknown key .*q_proj\.bias"),
        (lambda t: t.update({"language_model.lm_head.weight": np.zeros((20, 8), np.float32)}), r"lm_head\.weight' has shape \(20, 8\) where \(20, 16\)"),
        (lambda t: t.update({f"{DECODER}layers.1.self_attn.k_proj.weight": np.zeros((16, 8), np.float32)}), r"k_proj\.weight' has shape \(16, 8\) where \(8, 16\)"),
        (lambda t: t.update({f"{DECODER}layers.3.mlp.up_proj.weight": np.zeros((24, 16), np.float32)}), r"extra key .*layers\.3\.mlp\.up_proj\.weight"),
        (lambda t: t.update({f"{DECODER}layers.00.mlp.up_proj.weight": np.zeros((24, 16), np.float32)}), r"up_proj\.weight' sets the weight 'layers/up/kernel\[0\]' a second time"),
        (lambda t: t.update({"lm_head.weight": np.zeros((20, 16), np.float32)}), "unknown key 'lm_head.weight'"),
    ],
)  # fmt: skip
def test_a_wrong_checkpoint_is_refused_by_name(llava, tmp_path, change, message):
    edit(llava / "model-00001-of-00002.safetensors", change)
    with pytest.raises(UserError, match=rf"^{llava}: .*{message}"):
        convert_llama(llava, tmp_path / "out", "float32")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"rope_scaling": {"type": "linear"}}, "rope type linear"), ({"attention_bias": True}, "biases"), ({"head_dim": 8}, "head width 8")],
)  # fmt: skip
def test_other_models_are_refused(llava, tmp_path, change, message):
    (llava / "config.json").write_text(json.dumps({**HF, **change}))
    with pytest.raises(UserError, match=message):
        convert_llama(llava, tmp_path / "out", "float32")


def test_a_folder_without_config_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"config\.json: no such file"):
        convert_llama(tmp_path, tmp_path / "out", "float32")


def test_the_rules_lead_to_the_llm_of_the_teacher():
    """Three places name the LLM's weights: the module, the folder on disk, and the rules."""
    sizes = hf_llama.llm_sizes(HF, "config.json")
    shapes = {path: tuple(value.shape) for path, value in build(sizes)[1].items()}
    assert shapes_of(sizes) == shapes
    blank = {path: np.zeros(shape, np.float32) for path, shape in shapes.items()}
    assert rules.to_state_dict(hf_llama.llama_rules([]), blank).keys() == checkpoint().keys()
