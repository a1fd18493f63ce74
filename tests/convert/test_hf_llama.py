"""The LLM's way in: a sharded checkpoint with LLaVA-v1.5's key names (small widths), and a GGUF file."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file

from dima_jax import weights
from dima_jax.convert import gguf_llama, llm_folder
from dima_jax.convert.llama_command import convert
from dima_jax.errors import UserError
from dima_jax.teacher.llama import Llama

HF = dict(
    hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
    vocab_size=20, rms_norm_eps=1e-5, rope_theta=10000.0, hidden_act="silu",
)  # fmt: skip
LAYER = {
    "self_attn.q_proj": (16, 16),
    "self_attn.k_proj": (8, 16),
    "self_attn.v_proj": (8, 16),
    "self_attn.o_proj": (16, 16),
    "mlp.gate_proj": (24, 16),
    "mlp.up_proj": (24, 16),
    "mlp.down_proj": (16, 24),
    "input_layernorm": (16,),
    "post_attention_layernorm": (16,),
}


def checkpoint() -> dict[str, np.ndarray]:
    """A plain LLaMA's state dict."""
    rng = np.random.default_rng(0)
    shapes = {f"model.layers.{i}.{name}.weight": shape for i in range(3) for name, shape in LAYER.items()}
    shapes |= {"model.embed_tokens.weight": (20, 16), "lm_head.weight": (20, 16), "model.norm.weight": (16,)}
    return {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}


@pytest.fixture
def llava(tmp_path):
    """Two safetensors files with the language half under LLaVA's prefix, and a vision half to skip."""
    folder = tmp_path / "llava"
    folder.mkdir()
    tensors = {f"language_model.{key}": value for key, value in checkpoint().items()}
    keys = sorted(tensors)
    save_file({key: tensors[key] for key in keys[::2]}, folder / "model-00001-of-00002.safetensors")
    second = {key: tensors[key] for key in keys[1::2]}
    second["vision_tower.vision_model.embeddings.class_embedding"] = np.zeros(4, np.float32)
    second["multi_modal_projector.linear_1.weight"] = np.zeros((2, 2), np.float32)
    save_file(second, folder / "model-00002-of-00002.safetensors")
    (folder / "config.json").write_text(json.dumps({"text_config": HF}))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def build(sizes, dtype="float32"):
    return weights.split(nnx.eval_shape(lambda: Llama(**sizes, dtype=dtype, remat=False, rngs=nnx.Rngs(0))))


def load(folder, abstract):
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return llm_folder.load(folder, abstract, dict.fromkeys(abstract, here))


def test_every_weight_of_llava_arrives(llava, tmp_path):
    sizes = convert(str(llava), str(tmp_path / "out"), "float32")
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
    assert (tmp_path / "out" / "tokenizer.json").read_text() == "{}"


def test_shards_and_bfloat16(llava, tmp_path):
    """Each of eight devices reads its own part; norms stay float32."""
    sizes = convert(str(llava), str(tmp_path / "out"), "bfloat16")
    _, abstract = build(sizes, "bfloat16")
    mesh = jax.make_mesh((8,), ("fsdp",))
    spec = {path: jax.P(None, "fsdp") if "kernel" in path else jax.P() for path in abstract}
    shardings = {path: jax.sharding.NamedSharding(mesh, spec[path]) for path in abstract}
    params = llm_folder.load(tmp_path / "out", abstract, shardings)
    gate = params["layers/gate/kernel"]
    assert gate.dtype == jnp.bfloat16 and gate.addressable_shards[0].data.shape == (3, 2, 24)
    source = np.stack([checkpoint()[f"model.layers.{i}.mlp.gate_proj.weight"].T for i in range(3)])
    np.testing.assert_array_equal(gate, source.astype(jnp.bfloat16))
    assert params["norm/scale"].dtype == jnp.float32


def change(folder, edit):
    file = folder / "model-00001-of-00002.safetensors"
    tensors = load_file(file)
    edit(tensors)
    save_file(tensors, file)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.pop("language_model.model.layers.0.input_layernorm.weight"), "no tensor for layers/attn_norm/scale, layer 0"),
        (lambda t: t.update({"language_model.model.layers.0.self_attn.q_proj.bias": np.zeros(16, np.float32)}), "q_proj.bias: not a weight"),
        (lambda t: t.update({"language_model.lm_head.weight": np.zeros((20, 8), np.float32)}), r"lm_head.weight has shape \(20, 8\)"),
        (lambda t: t.update({"language_model.model.layers.3.mlp.up_proj.weight": np.zeros((24, 16), np.float32)}), "layers.3.mlp.up_proj.weight has no place"),
        (lambda t: t.update({"lm_head.weight": np.zeros((20, 16), np.float32)}), "are the same weight"),
    ],
)  # fmt: skip
def test_a_wrong_checkpoint_is_refused_by_name(llava, tmp_path, edit, message):
    change(llava, edit)
    with pytest.raises(UserError, match=message):
        convert(str(llava), str(tmp_path / "out"), "float32")
    assert not (tmp_path / "out" / "llm.json").exists()


def test_bad_files_are_refused(llava, tmp_path):
    first = llava / "model-00001-of-00002.safetensors"
    first.write_bytes(first.read_bytes()[:-8])
    with pytest.raises(UserError, match="cut short"):
        convert(str(llava), str(tmp_path / "out"), "float32")
    with pytest.raises(UserError, match=r"config\.json: no such file"):
        convert(str(tmp_path), str(tmp_path / "out"), "float32")
    with pytest.raises(UserError, match="no such file"):
        convert(str(tmp_path / "absent.gguf"), str(tmp_path / "out"), "float32")
    (tmp_path / "bad.gguf").write_bytes(b"not a gguf file at all, sorry")
    with pytest.raises(UserError, match="cannot be read as GGUF"):
        convert(str(tmp_path / "bad.gguf"), str(tmp_path / "out"), "float32")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"rope_scaling": {"type": "linear"}}, "rope type linear"), ({"attention_bias": True}, "biases"), ({"head_dim": 8}, "head width 8")],
)  # fmt: skip
def test_other_models_are_refused(llava, tmp_path, change, message):
    (llava / "config.json").write_text(json.dumps({**HF, **change}))
    with pytest.raises(UserError, match=message):
        convert(str(llava), str(tmp_path / "out"), "float32")


def test_a_folder_of_another_size_is_refused(llava, tmp_path):
    sizes = convert(str(llava), str(tmp_path / "out"), "float32")
    with pytest.raises(UserError, match=r"embed/table does not fit .* vocab=20"):
        load(tmp_path / "out", {"embed/table": jax.ShapeDtypeStruct((21, 16), jnp.float32)})
    with pytest.raises(UserError, match="head/table has no place"):
        load(tmp_path / "out", build({**sizes, "tied": True})[1])
    file = tmp_path / "out" / "norm.scale.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"norm\.scale\.bin: missing or cut short"):
        load(tmp_path / "out", build(sizes)[1])
    with pytest.raises(UserError, match="convert llama"):
        load(tmp_path, build(sizes)[1])


def permute(rows, heads):
    """llama.cpp's reordering of q and k rows."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def test_gguf(tmp_path):
    """The same weights through a GGUF file: names, row order, sizes and tokenizer."""
    gguf = pytest.importorskip("gguf")
    path, source = tmp_path / "tiny.gguf", checkpoint()
    names = {key: re.sub(pattern, gguf_name(pattern), key) for key in source for pattern in [pattern_of(key)]}
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(3)
    writer.add_embedding_length(16)
    writer.add_feed_forward_length(24)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    tokens = ["<|end|>", *"abcdefghijklmnopq", "ab", "Ġ"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] + [1] * 19)
    writer.add_token_merges(["a b"])
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_pad_token_id):
        add(0)
    for key, value in source.items():
        heads = {"q_proj": 4, "k_proj": 2}.get(key.split(".")[-2])
        writer.add_tensor(names[key], permute(value, heads) if heads else value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    sizes = convert(str(path), str(tmp_path / "out"), "float32")
    params = load(tmp_path / "out", build(sizes)[1])
    for name, ours in (("q_proj", "q"), ("k_proj", "k"), ("v_proj", "v")):
        np.testing.assert_array_equal(
            params[f"layers/{ours}/kernel"][1], source[f"model.layers.1.self_attn.{name}.weight"].T
        )
    assert sizes["rope_theta"] == 10000.0 and not sizes["tied"]

    from dima_jax.data.prompts import FolderTokenizer

    tokenizer = FolderTokenizer(str(tmp_path / "out"))
    assert tokenizer.encode("cab a") == [3, 18, 19, 1] and tokenizer.eos == 0
    assert tokenizer.decode([3, 18, 19, 1, 0]) == "cab a"


def gguf_name(key_pattern: str) -> str:
    return next(name for name, key in GGUF_NAMES if key == key_pattern)


def pattern_of(key: str) -> str:
    return next(pattern for _, pattern in GGUF_NAMES if re.fullmatch(pattern, key))


GGUF_NAMES = (  # (GGUF name, Hugging Face key) by llama.cpp's own table, written out independently of ours
    ("token_embd.weight", r"model\.embed_tokens\.weight"),
    ("output.weight", r"lm_head\.weight"),
    ("output_norm.weight", r"model\.norm\.weight"),
    (r"blk.\1.attn_\2.weight", r"model\.layers\.(\d+)\.self_attn\.([qkv])_proj\.weight"),
    (r"blk.\1.attn_output.weight", r"model\.layers\.(\d+)\.self_attn\.o_proj\.weight"),
    (r"blk.\1.ffn_\2.weight", r"model\.layers\.(\d+)\.mlp\.(gate|up|down)_proj\.weight"),
    (r"blk.\1.attn_norm.weight", r"model\.layers\.(\d+)\.input_layernorm\.weight"),
    (r"blk.\1.ffn_norm.weight", r"model\.layers\.(\d+)\.post_attention_layernorm\.weight"),
)


def test_unpermute_undoes_llama_cpp():
    rows = np.arange(48.0).reshape(16, 3)
    np.testing.assert_array_equal(gguf_llama.unpermute(permute(rows, 2), 2), rows)
