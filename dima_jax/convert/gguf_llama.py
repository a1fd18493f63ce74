"""A LLaMA from a GGUF file (llama.cpp): its weights dequantized, its sizes, its tokenizer.

GGUF renames the weights and stores the rows of q and k reordered, so that rotary pairs lie next to each other; both are
undone here, and from then on the weights go the way of `hf_llama.py`.
Source: llama.cpp `convert_hf_to_gguf.py` (LlamaModel.permute) and the `gguf` package.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dima_jax.errors import UserError

NAMES = (  # GGUF name to the Hugging Face key
    (r"token_embd\.weight", "model.embed_tokens.weight"),
    (r"blk\.(\d+)\.attn_(q|k|v)\.weight", r"model.layers.\1.self_attn.\2_proj.weight"),
    (r"blk\.(\d+)\.attn_output\.weight", r"model.layers.\1.self_attn.o_proj.weight"),
    (r"blk\.(\d+)\.ffn_(gate|up|down)\.weight", r"model.layers.\1.mlp.\2_proj.weight"),
    (r"blk\.(\d+)\.attn_norm\.weight", r"model.layers.\1.input_layernorm.weight"),
    (r"blk\.(\d+)\.ffn_norm\.weight", r"model.layers.\1.post_attention_layernorm.weight"),
    (r"output_norm\.weight", "model.norm.weight"),
    (r"output\.weight", "lm_head.weight"),
    (r"rope_freqs\.weight", "model.rotary_emb.inv_freq"),
)
CONTROL = 3  # token type of special tokens


class GgufLlama:
    """An opened GGUF file. Raises UserError when it is not a LLaMA."""

    def __init__(self, path: Path):
        from gguf import GGUFReader

        try:
            self.reader = GGUFReader(str(path))
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read as GGUF ({error})") from error
        self.path = path
        if self._value("general.architecture") != "llama":
            raise UserError(f"{path}: holds a {self._value('general.architecture')}, not a llama")
        self.sizes = self._sizes()
        self.tensors = {_hugging_face(tensor.name, path): tensor for tensor in self.reader.tensors}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """{Hugging Face key: shape as there, [out, in]}."""
        return {key: tuple(int(n) for n in reversed(tensor.shape)) for key, tensor in self.tensors.items()}

    def read(self) -> Iterator[tuple[str, np.ndarray]]:
        """(Hugging Face key, float32 tensor), one at a time, none kept."""
        for key in self.tensors:
            yield key, self._tensor(key)

    def _tensor(self, key: str) -> np.ndarray:
        from gguf.quants import dequantize

        value = dequantize(self.tensors[key].data, self.tensors[key].tensor_type)
        if key.endswith(("q_proj.weight", "k_proj.weight")):
            value = unpermute(value, self.sizes["heads" if "q_proj" in key else "kv_heads"])
        return value

    def write_tokenizer(self, folder: Path) -> None:
        """`tokenizer.json` and `tokenizer_config.json` for `data/prompts.py`. Raises UserError unless byte-level BPE."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        kind = (self._value("tokenizer.ggml.model"), self._value("tokenizer.ggml.pre"))
        if kind != ("gpt2", "smollm"):
            raise UserError(
                f"{self.path}: tokenizer {'/'.join(kind)} cannot be taken over; put the model's tokenizer.json into {folder}"
            )
        tokens = self._value("tokenizer.ggml.tokens")
        merges = [tuple(merge.split(" ")) for merge in self._value("tokenizer.ggml.merges")]
        tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        tokenizer.decoder = decoders.ByteLevel()
        types = self._value("tokenizer.ggml.token_type")
        tokenizer.add_special_tokens([token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL])
        tokenizer.save(str(folder / "tokenizer.json"))
        names = {
            f"{name}_token": tokens[self._value(f"tokenizer.ggml.{field}_token_id")]
            for name, field in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))
        }
        (folder / "tokenizer_config.json").write_text(json.dumps(names, indent=1))

    def _sizes(self) -> dict:
        """`config.teacher.llm`'s sizes."""
        heads = self._value("llama.attention.head_count")
        names = {tensor.name for tensor in self.reader.tensors}
        return dict(
            layers=self._value("llama.block_count"),
            width=self._value("llama.embedding_length"),
            heads=heads,
            kv_heads=self._value("llama.attention.head_count_kv"),
            ffn_width=self._value("llama.feed_forward_length"),
            vocab=len(self._value("tokenizer.ggml.tokens")),
            rope_theta=float(self._value("llama.rope.freq_base")),
            rms_eps=float(
                str(np.float32(self._value("llama.attention.layer_norm_rms_epsilon")))
            ),  # 1e-05, not 9.99e-06
            tied="output.weight" not in names,
        )

    def _value(self, field: str):
        found = self.reader.fields.get(field)
        if found is None:
            raise UserError(f"{self.path}: has no field {field}")
        return found.contents()


def unpermute(rows: np.ndarray, heads: int) -> np.ndarray:
    """[heads * h, in] with rotary pairs side by side, to first halves then second halves within each head."""
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, half, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def _hugging_face(name: str, path: Path) -> str:
    for pattern, key in NAMES:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(key)
    raise UserError(f"{path}: {name} is not a weight of a LLaMA")
