"""A LLaMA from a GGUF file (llama.cpp): its weights dequantized, its sizes, its tokenizer, its conversion rules.

GGUF stores the rows of q and k reordered, so that rotary pairs lie next to each other; `read` undoes it.
Source: llama.cpp `convert_hf_to_gguf.py` (LlamaModel.permute) and the `gguf` package.
"""

import json
from pathlib import Path

import numpy as np

from dima_jax.convert.rules import LINEAR, Rule
from dima_jax.errors import UserError

MATRICES = {"attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_output": "o"}
MATRICES |= {"ffn_gate": "gate", "ffn_up": "up", "ffn_down": "down"}
RULES = (  # no rule for rope_freqs.weight: it scales the rotary embedding, which teacher/llama.py does not do
    Rule("token_embd.weight", ("embed/table",)),
    *(Rule(f"blk.{{i}}.{name}.weight", (f"layers[{{i}}]/{ours}/kernel",), LINEAR) for name, ours in MATRICES.items()),
    *(Rule(f"blk.{{i}}.{name}.weight", (f"layers[{{i}}]/{name}/scale",)) for name in ("attn_norm", "ffn_norm")),
    Rule("output_norm.weight", ("norm/scale",)),
    Rule("output.weight", ("head/table",)),
)
CONTROL = 3  # token type of special tokens


class GgufLlama:
    """An opened GGUF file. `sizes` are `config.teacher.llm`'s, `shapes` those of the tensors by name, [out, in].

    Raises UserError when the file holds no plain LLaMA.
    """

    rules, ignored = RULES, ()

    def __init__(self, path: Path):
        from gguf import GGUFReader

        if not path.is_file():
            raise UserError(f"{path}: no such file")
        try:
            self.reader = GGUFReader(str(path))
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read as GGUF ({error})") from error
        self.path = path
        if self._value("general.architecture") != "llama":
            raise UserError(f"{path}: holds a {self._value('general.architecture')}, not a llama")
        self._tensors = {tensor.name: tensor for tensor in self.reader.tensors}
        scaling = self._value("llama.rope.scaling.type", "none")
        if scaling != "none" or "rope_freqs.weight" in self._tensors:
            raise UserError(f"{path}: a scaled rotary embedding is not the LLaMA of teacher/llama.py")
        self.sizes = self._sizes()
        self.shapes = {name: tuple(int(n) for n in reversed(tensor.shape)) for name, tensor in self._tensors.items()}

    def read(self, name: str) -> np.ndarray:
        """One tensor, float32, the rows of q and k in Hugging Face's order."""
        from gguf.quants import dequantize

        tensor = dequantize(self._tensors[name].data, self._tensors[name].tensor_type)
        if name.endswith(("attn_q.weight", "attn_k.weight")):
            tensor = unpermute(tensor, self.sizes["heads" if "attn_q" in name else "kv_heads"])
        return tensor

    def write_tokenizer(self, folder: Path) -> None:
        """Writes `tokenizer.json` and `tokenizer_config.json` for `data/prompts.py`.

        Raises UserError for a tokenizer other than SmolLM's byte-level BPE.
        """
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        kind = (self._value("tokenizer.ggml.model"), self._value("tokenizer.ggml.pre"))
        if kind != ("gpt2", "smollm"):
            raise UserError(
                f"{self.path}: its tokenizer ({'/'.join(kind)}) cannot be converted; give the model's Hugging Face "
                "folder as --source, which has the tokenizer as tokenizer.json"
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
        rms_eps = np.float32(self._value("llama.attention.layer_norm_rms_epsilon"))
        return dict(
            layers=self._value("llama.block_count"),
            width=self._value("llama.embedding_length"),
            heads=self._value("llama.attention.head_count"),
            kv_heads=self._value("llama.attention.head_count_kv"),
            ffn_width=self._value("llama.feed_forward_length"),
            vocab=len(self._value("tokenizer.ggml.tokens")),
            rope_theta=float(self._value("llama.rope.freq_base")),
            rms_eps=float(str(rms_eps)),  # 1e-05, not 9.99e-06
            tied="output.weight" not in self._tensors,
        )

    def _value(self, field: str, default=None):
        found = self.reader.fields.get(field)
        if found is None and default is None:
            raise UserError(f"{self.path}: has no field {field}")
        return default if found is None else found.contents()


def unpermute(rows: np.ndarray, heads: int) -> np.ndarray:
    """[heads * h, in] with rotary pairs side by side, to first halves then second halves within each head."""
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, half, 2, -1).swapaxes(1, 2).reshape(rows.shape)
