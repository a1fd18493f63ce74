"""A GGUF file: names, order of rows, sizes and tokenizer of llama.cpp."""

import numpy as np
import pytest

from dima_jax.convert import gguf_llama
from dima_jax.convert.llama_command import convert_llama
from dima_jax.errors import UserError
from tests.convert.llama_files import HF, build, checkpoint, load, permute, write_gguf

pytest.importorskip("gguf")


def test_every_weight_arrives(tmp_path):
    source = checkpoint()
    sizes = convert_llama(write_gguf(tmp_path / "tiny.gguf", source), tmp_path / "out", "float32")
    assert sizes == dict(
        layers=3, width=16, heads=4, kv_heads=2, ffn_width=24, vocab=20, rope_theta=10000.0, rms_eps=1e-5, tied=False
    )
    params = load(tmp_path / "out", build(sizes)[1])
    matrices = {"self_attn": "qkvo", "mlp": ("gate", "up", "down")}
    for block, names in matrices.items():
        for name in names:
            expected = source[f"model.layers.1.{block}.{name}_proj.weight"].T
            np.testing.assert_array_equal(params[f"layers/{name}/kernel"][1], expected, err_msg=name)
    for ours, name in (("attn_norm", "input_layernorm"), ("ffn_norm", "post_attention_layernorm")):
        np.testing.assert_array_equal(params[f"layers/{ours}/scale"][2], source[f"model.layers.2.{name}.weight"])
    for ours, name in (("embed/table", "model.embed_tokens"), ("norm/scale", "model.norm"), ("head/table", "lm_head")):
        np.testing.assert_array_equal(params[ours], source[f"{name}.weight"])

    from dima_jax.data.prompts import FolderTokenizer

    tokenizer = FolderTokenizer(str(tmp_path / "out"))
    assert tokenizer.encode("cab a") == [3, 18, 19, 1] and tokenizer.eos == 0
    assert tokenizer.decode([3, 18, 19, 1, 0]) == "cab a"


def test_a_tied_model_has_no_output_head(tmp_path):
    source = checkpoint()
    del source["lm_head.weight"]
    sizes = convert_llama(write_gguf(tmp_path / "tied.gguf", source), tmp_path / "out", "float32")
    assert sizes["tied"] and "head/table" not in load(tmp_path / "out", build(sizes)[1])


def test_a_missing_tensor_is_named_as_the_file_would(tmp_path):
    source = checkpoint()
    del source["model.layers.1.self_attn.o_proj.weight"]
    with pytest.raises(UserError, match=r"x\.gguf: missing key 'blk\.1\.attn_output\.weight'"):
        convert_llama(write_gguf(tmp_path / "x.gguf", source), tmp_path / "out", "float32")


def test_a_bias_is_refused(tmp_path):
    source = checkpoint() | {"blk.0.attn_q.bias": np.zeros(16, np.float32)}
    with pytest.raises(UserError, match=r"unknown key 'blk\.0\.attn_q\.bias'"):
        convert_llama(write_gguf(tmp_path / "x.gguf", source), tmp_path / "out", "float32")


def test_another_scaled_rotary_embedding_is_refused(tmp_path):
    """A divisor for each frequency that is not LLaMA 3's, or a scaling by name."""
    source = checkpoint() | {"rope_freqs.weight": np.float32([1, 8])}
    for file in (
        write_gguf(tmp_path / "a.gguf", source),
        write_gguf(tmp_path / "b.gguf", checkpoint(), scaling="linear"),
    ):
        with pytest.raises(UserError, match="scaled rotary embedding"):
            convert_llama(file, tmp_path / "out", "float32")


def test_the_rotary_scaling_of_llama_3_is_found(tmp_path):
    config = dict(HF, num_attention_heads=1, num_key_value_heads=1, rope_theta=500000.0)
    scaling = (32.0, 1.0, 4.0, 8192.0)
    divisors = gguf_llama.llama_3_divisors(16, 500000.0, scaling).astype(np.float32)
    assert divisors[0] == 1 and divisors[-1] == 32 and 1 < divisors[4] < 32
    source = {
        key: np.tile(value, (2, 1)) if "k_proj" in key or "v_proj" in key else value
        for key, value in checkpoint().items()
    }
    file = write_gguf(tmp_path / "a.gguf", source | {"rope_freqs.weight": divisors}, config=config)
    assert convert_llama(file, tmp_path / "out", "float32")["rope_scaling"] == scaling


def test_llama_1_and_2_lack_fields(tmp_path):
    """No rope base, no kv heads, no padding token; the tokenizer is SentencePiece's."""
    config = dict(HF, num_key_value_heads=4)
    source = {
        key: np.tile(value, (2, 1)) if "k_proj" in key or "v_proj" in key else value
        for key, value in checkpoint().items()
    }
    file = write_gguf(tmp_path / "a.gguf", source, tokenizer="spm", config=config)
    sizes = convert_llama(file, tmp_path / "out", "float32")
    assert (sizes["rope_theta"], sizes["kv_heads"]) == (10000.0, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.add_expert_count(8), "llama.expert_count 8"),
        (lambda w: w.add_key_length(8), "llama.attention.key_length 8"),
        (lambda w: w.add_rope_dimension_count(2), "llama.rope.dimension_count 2"),
        (lambda w: w.add_logit_scale(16.0), "llama.logit_scale 16"),
        (lambda w: w.add_sliding_window(64), "sliding_window 64"),
        (lambda w: w.add_uint16("split.count", 3), "split.count 3"),
        (lambda w: w.add_float32("llama.rope.scaling.attn_factor", 2.0), "llama.rope.scaling.attn_factor 2"),
        (lambda w: w.add_float32("llama.attention.output_scale", 0.1), "llama.attention.output_scale 0.1"),
        (lambda w: w.add_uint32("llama.no_rope_layer_step", 4), "llama.no_rope_layer_step 4 is no field of a LLaMA"),
        (lambda w: w.add_string("llama.hidden_act", "gelu"), "llama.hidden_act 'gelu' is no field of a LLaMA"),
        (lambda w: w.add_string("llama.attention.sliding_window", "8"), "sliding_window is 8; it must be a positive"),
        (lambda w: w.add_array("llama.attention.sliding_window", [8]), "sliding_window is .8.; it must be a positive"),
    ],
)
def test_other_models_are_refused_by_field(tmp_path, change, message):
    with pytest.raises(UserError, match=rf"x\.gguf: .*{message}"):
        convert_llama(write_gguf(tmp_path / "x.gguf", checkpoint(), change=change), tmp_path / "out", "float32")


def test_fields_that_change_nothing_are_allowed(tmp_path):
    def change(writer):
        writer.add_context_length(4096)
        writer.add_vocab_size(20)
        writer.add_rope_scaling_orig_ctx_len(4096)
        writer.add_rope_scaling_attn_factors(1.0)
        writer.add_expert_used_count(0)
        writer.add_tensor_data_layout("Meta AI original pth")
        writer.add_sliding_window(0)

    convert_llama(write_gguf(tmp_path / "x.gguf", checkpoint(), change=change), tmp_path / "out", "float32")


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        gguf_llama.GgufLlama(tmp_path / "absent.gguf")
    (tmp_path / "bad.gguf").write_bytes(b"not a gguf file at all, sorry")
    with pytest.raises(UserError, match="cannot be read as GGUF"):
        gguf_llama.GgufLlama(tmp_path / "bad.gguf")


def test_unpermute_undoes_llama_cpp():
    rows = np.arange(48.0).reshape(16, 3)
    np.testing.assert_array_equal(gguf_llama.unpermute(permute(rows, 2), 2), rows)
