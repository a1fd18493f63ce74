"""A small LLaMA in the files that the converters read: LLaVA-v1.5's safetensors and a GGUF file."""

import re
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from safetensors.numpy import load_file, save_file

from dima_jax import weights
from dima_jax.convert import llm_folder
from dima_jax.teacher.llama import Llama

HF = dict(
    model_type="llama", hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
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


def checkpoint() -> dict[str, np.ndarray]:
    """A plain LLaMA's state dict."""
    rng = np.random.default_rng(0)
    shapes = {f"model.layers.{i}.{name}.weight": shape for i in range(3) for name, shape in LAYER.items()}
    shapes |= {"model.embed_tokens.weight": (20, 16), "lm_head.weight": (20, 16), "model.norm.weight": (16,)}
    return {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}


def gguf_name(key: str) -> str:
    """llama.cpp's name of a Hugging Face key."""
    return next(re.sub(pattern, name, key) for name, pattern in GGUF_NAMES if re.fullmatch(pattern, key))


def permute(rows: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp's reordering of the rows of q and k."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def write_gguf(
    path: Path,
    tensors: dict[str, np.ndarray],
    *,
    tokenizer: str = "smollm",
    scaling: str = "none",
    config: dict = HF,
    change=None,
) -> Path:
    """Tensors by Hugging Face key, the ones without a GGUF name under their own, as a file of llama.cpp.

    tokenizer: "spm" or the name of a byte-level one. change(writer): adds fields; LLaMA 1 and 2 have less by themselves.
    """
    import gguf

    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if tokenizer != "spm":  # fields that LLaMA 1 and 2 never had
        writer.add_head_count_kv(config["num_key_value_heads"])
        writer.add_rope_freq_base(config["rope_theta"])
        writer.add_rope_scaling_type(gguf.RopeScalingType(scaling))
    count = config["vocab_size"]
    if tokenizer == "spm":
        texts = ["<unk>", "<s>", "</s>", *"\u2581abcN", "\u2581a", "ab", "</", "s>", "<", "/", "s", ">"]
        writer.add_tokenizer_model("llama")
        writer.add_token_list([*texts, *(f"<{i}>" for i in range(len(texts), count))])
        writer.add_token_types([2, 3, 3] + [1] * (count - 3))
        writer.add_token_scores([-float(i) for i in range(count)])
    else:
        texts = ["<|end|>", *"abcdefghijklmnopq", "ab", "Ġ"]
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(tokenizer)
        writer.add_token_list([*texts, *(f"<{i}>" for i in range(len(texts), count))])
        writer.add_token_types([3] + [1] * (count - 1))
        writer.add_token_merges(["a b"])
        for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_pad_token_id):
            add(0)
    if change is not None:
        change(writer)
    for key, value in tensors.items():
        heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}.get(key.split(".")[-2])
        name = next((gguf_name(key) for pattern in GGUF_NAMES if re.fullmatch(pattern[1], key)), key)
        writer.add_tensor(name, permute(value, config[heads]) if heads else value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def build(sizes: dict, dtype: str = "float32"):
    """(structure, {path: shape}) of a `Llama` of these sizes."""
    return weights.split(nnx.eval_shape(lambda: Llama(**sizes, dtype=dtype, remat=False, rngs=nnx.Rngs(0))))


def load(folder: Path, abstract: dict) -> dict[str, jax.Array]:
    """A converted folder's weights on one device."""
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return llm_folder.load(folder, abstract, dict.fromkeys(abstract, here))


def logits(folder: Path, sizes: dict, tokens: np.ndarray) -> np.ndarray:
    """[B, S, V] of a converted folder, attention causal."""
    graph, abstract = build(sizes)
    llm = weights.bind(graph, load(folder, abstract))
    states = llm(llm.embed_tokens(jax.numpy.asarray(tokens)), jax.numpy.ones(tokens.shape, bool), prefix=0, lora=None)
    return np.asarray(llm.logits(states))


def edit(file: Path, change) -> None:
    """Rewrites a safetensors file with its tensors changed in place."""
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
