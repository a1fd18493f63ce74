"""A LLaMA from a GGUF file (llama.cpp): its weights dequantized, its sizes, its tokenizer, its conversion rules.

GGUF stores the rows of q and k reordered, so that rotary pairs lie next to each other; `read` undoes it. The rotary
scaling of LLaMA 3 is stored as what it does, a divisor for each frequency.
Source: llama.cpp `convert_hf_to_gguf.py` (LlamaModel: permute, generate_extra_tensors) and the `gguf` package.
"""

import math
import re
from pathlib import Path

import numpy as np

from dima_jax.convert import gguf_header, gguf_tokenizer
from dima_jax.convert.llama_config import SHORTEST_WINDOW
from dima_jax.convert.llama_keys import short
from dima_jax.convert.rules import LINEAR, Rule
from dima_jax.errors import UserError

MATRICES = {"attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_output": "o"}
MATRICES |= {"ffn_gate": "gate", "ffn_up": "up", "ffn_down": "down"}
RULES = (
    Rule("token_embd.weight", ("embed/table",)),
    *(Rule(f"blk.{{i}}.{name}.weight", (f"layers[{{i}}]/{ours}/kernel",), LINEAR) for name, ours in MATRICES.items()),
    *(Rule(f"blk.{{i}}.{name}.weight", (f"layers[{{i}}]/{name}/scale",)) for name in ("attn_norm", "ffn_norm")),
    Rule("output_norm.weight", ("norm/scale",)),
    Rule("output.weight", ("head/table",)),
)
ROPE_FACTORS = "rope_freqs.weight"
LLAMA_3_SCALING = (1.0, 4.0, 8192.0)  # low_freq_factor, high_freq_factor, original positions of every LLaMA 3.1 to 3.3
PREFIX = "llama."
KNOWN = (  # fields under PREFIX that are read here or change nothing that is computed
    *("block_count", "embedding_length", "feed_forward_length", "context_length", "vocab_size", "tensor_data_layout"),
    *("attention.head_count", "attention.head_count_kv", "attention.layer_norm_rms_epsilon"),
    *("attention.key_length", "attention.value_length", "attention.sliding_window"),
    *("rope.dimension_count", "rope.freq_base", "rope.scaling.original_context_length", "rope.scaling.finetuned"),
)
NEUTRAL = {  # fields that change what a LLaMA computes, and the values with which they do not
    "llama.rope.scaling.type": ("none",),
    "llama.rope.scaling.attn_factor": (1,),
    "llama.rope.scaling.factor": (1,),
    "llama.rope.scale_linear": (1,),
    "llama.expert_count": (0,),
    "llama.expert_used_count": (0,),
    "llama.attention.scale": (0,),
    "llama.attention.causal": (True,),
    "llama.attention.clamp_kqv": (0,),
    "llama.attention.max_alibi_bias": (0,),
    "llama.attn_logit_softcapping": (0,),
    "llama.final_logit_softcapping": (0,),
    "llama.logit_scale": (0, 1),
    "llama.residual_scale": (0, 1),
    "llama.embedding_scale": (0, 1),
    "llama.use_parallel_residual": (False,),
    "split.count": (0, 1),
}


class GgufLlama:
    """An opened GGUF file. `sizes` are `config.teacher.llm`'s, `shapes` those of the tensors by name, [out, in].

    window: how many positions attention looks back, None for all. Raises UserError when the file holds no LLaMA.
    """

    rules, ignored = RULES, (re.escape(ROPE_FACTORS),)

    def __init__(self, path: Path):
        from gguf import GGUFReader

        gguf_header.check(path)
        try:
            self.reader = GGUFReader(str(path))
            self._tensors = {tensor.name: tensor for tensor in self.reader.tensors}
            self.shapes = {name: tuple(int(n) for n in reversed(t.shape)) for name, t in self._tensors.items()}
        except (OSError, ValueError, LookupError, TypeError, OverflowError, MemoryError) as error:
            raise UserError(f"{path}: cannot be read as GGUF ({error}); fetch it again") from error
        self.path = path
        if self._value("general.architecture") != "llama":
            raise UserError(f"{path}: holds a {self._value('general.architecture')}, not a llama")
        self._refuse_lookalikes()
        self.sizes = self._sizes()
        window = "llama.attention.sliding_window"
        self.window = self._positive(window) if self._value(window, 0) != 0 else None
        if self.window is not None and self.window < SHORTEST_WINDOW:
            raise UserError(
                f"{path}: {window} {self.window} is not the LLaMA of teacher/llama.py, which attends "
                f"to the whole text; {SHORTEST_WINDOW} and more can be converted"
            )

    def read(self, name: str) -> np.ndarray:
        """One tensor, float32, the rows of q and k in Hugging Face's order."""
        from gguf.quants import dequantize

        try:
            tensor = dequantize(self._tensors[name].data, self._tensors[name].tensor_type)
        except NotImplementedError as error:
            raise UserError(
                f"{self.path}: {name} has a type that cannot be read ({error}); take another file"
            ) from error
        if name.endswith(("attn_q.weight", "attn_k.weight")):
            tensor = unpermute(tensor, self.sizes["heads" if "attn_q" in name else "kv_heads"])
        return tensor

    def tokenizer_files(self, out: Path) -> dict[str, str]:
        """{name: text} of the tokenizer's files to write. out: where the user may have put a tokenizer.json."""
        return gguf_tokenizer.convert(self._value, self.path, out)

    def _refuse_lookalikes(self) -> None:
        for field, neutral in NEUTRAL.items():
            value = self._value(field, None)
            if value is not None and value not in neutral:
                what = "a scaled rotary embedding" if "rope" in field else field
                raise UserError(f"{self.path}: {what} ({field} {value}) is not the LLaMA of teacher/llama.py")
        for field in self.reader.fields:
            is_ours = field.startswith(PREFIX) and field not in NEUTRAL
            if is_ours and field.removeprefix(PREFIX) not in KNOWN:
                raise UserError(
                    f"{self.path}: {field} {short(self._value(field))} is no field of a LLaMA, and may change what the model "
                    "computes; give the model's Hugging Face folder as --source"
                )

    def _sizes(self) -> dict:
        """`config.teacher.llm`'s sizes."""
        heads, width = self._positive("llama.attention.head_count"), self._positive("llama.embedding_length")
        kv_heads = self._positive("llama.attention.head_count_kv", heads)
        head_width = width // heads
        if head_width * heads != width or head_width % 2 or heads % kv_heads:
            raise UserError(
                f"{self.path}: width {width} with {heads} heads and {kv_heads} kv heads is not the LLaMA of teacher/llama.py"
            )
        for field in ("llama.attention.key_length", "llama.attention.value_length", "llama.rope.dimension_count"):
            if self._value(field, head_width) != head_width:
                raise UserError(
                    f"{self.path}: {field} {self._value(field)} is not the LLaMA of teacher/llama.py, where it is the width "
                    f"by the number of heads, {head_width}"
                )
        rms_eps = np.float32(self._positive("llama.attention.layer_norm_rms_epsilon", kind=float))
        sizes = dict(
            layers=self._positive("llama.block_count"),
            width=width,
            heads=heads,
            kv_heads=kv_heads,
            ffn_width=self._positive("llama.feed_forward_length"),
            vocab=len(gguf_tokenizer.tokens_of(self._value, self.path)),
            rope_theta=float(self._positive("llama.rope.freq_base", 10000.0, kind=float)),
            rms_eps=float(str(rms_eps)),  # 1e-05, not 9.99e-06
            tied="output.weight" not in self._tensors,
        )
        if ROPE_FACTORS in self._tensors:
            sizes["rope_scaling"] = self._rope_scaling(head_width, sizes["rope_theta"])
        return sizes

    def _rope_scaling(self, head_width: int, theta: float) -> tuple[float, ...]:
        """`teacher.llm.rope_scaling` with which the file's divisors come about. Raises UserError if there is none."""
        divisors = self.read(ROPE_FACTORS)
        factor = float(divisors.max(initial=1.0))
        if divisors.shape == (head_width // 2,) and factor > 1:
            scaling = (factor, *LLAMA_3_SCALING)
            if np.allclose(divisors, llama_3_divisors(head_width, theta, scaling), rtol=1e-4):
                return scaling
        low, high, original = LLAMA_3_SCALING
        raise UserError(
            f"{self.path}: {ROPE_FACTORS} is a scaled rotary embedding, but not that of LLaMA 3 (low_freq_factor {low:g}, "
            f"high_freq_factor {high:g}, {original:g} positions); give the model's Hugging Face folder as --source"
        )

    def _positive(self, field: str, default=..., kind: type = int):
        value = self._value(field, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
            raise UserError(f"{self.path}: {field} is {value}; it must be a positive number")
        if kind is int and not isinstance(value, int):
            raise UserError(f"{self.path}: {field} is {value}; it must be a positive integer")
        return value

    def _value(self, field: str, default=...):
        """A field's content, `default` if the file has none. Raises UserError if there is no default either."""
        found = self.reader.fields.get(field)
        if found is None and default is ...:
            raise UserError(f"{self.path}: has no field {field}; fetch the file again")
        try:
            return default if found is None else found.contents()
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(f"{self.path}: the field {field} is damaged ({error}); fetch the file again") from error


def llama_3_divisors(head_width: int, theta: float, scaling: tuple[float, ...]) -> np.ndarray:
    """[head_width / 2]: by what each rotary frequency is divided. scaling: `teacher.llm.rope_scaling`."""
    factor, low, high, original = scaling
    turns = original * theta ** (-np.arange(0, head_width, 2) / head_width) / (2 * math.pi)
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return 1 / ((1 - kept) / factor + kept)


def unpermute(rows: np.ndarray, heads: int) -> np.ndarray:
    """[heads * h, in] with rotary pairs side by side, to first halves then second halves within each head."""
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, half, 2, -1).swapaxes(1, 2).reshape(rows.shape)
