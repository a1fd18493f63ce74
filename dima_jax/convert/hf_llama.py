"""A LLaMA from a Hugging Face folder (config.json and weights): its sizes, its tensors, its conversion rules.

A LLaMA stores one matrix [out, in] per layer; ours are stacked, [layers, in, out] (`teacher/llama.py`). The language
half of LLaVA is found under its prefixes; its vision tower and projector are ignored by name, any other key that is not a
LLaMA's is refused.

Source: transformers `models/llama/modeling_llama.py`, `models/llava/modeling_llava.py`.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from dima_jax.convert import hf_tokenizer, hf_weights
from dima_jax.convert.llama_config import llm_sizes, window
from dima_jax.convert.rules import LINEAR, Rule
from dima_jax.errors import UserError

LAYOUTS = (  # prefixes of the decoder and of the output head
    ("model.", ""),  # LLaMA, and LLaVA as its authors published it
    ("language_model.model.", "language_model."),  # LLaVA in transformers' files
    ("model.language_model.", ""),  # LLaVA in the files of transformers >= 4.52
)
IGNORED = (  # not part of the language model, or derived from the config
    r".*\.rotary_emb\.inv_freq",
    r"(model\.)?vision_tower\..*",
    r"(model\.)?(mm_projector|multi_modal_projector)\..*",
    r"(model\.)?image_newline",
)


class HuggingFaceLlama:
    """An opened folder. `sizes` are `config.teacher.llm`'s, `shapes` those of the tensors by key, [out, in].

    window: how many positions attention looks back, None for all. Raises UserError when the folder holds no LLaMA.
    """

    def __init__(self, folder: Path):
        path = folder / "config.json"
        if not path.is_file():
            raise UserError(f"{path}: no such file; --source must be a Hugging Face folder or a .gguf file")
        try:
            config = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{path}: is not JSON ({error}); fetch it again") from error
        self.folder = folder
        self.sizes, self.window = llm_sizes(config, str(path)), window(config, str(path))
        self._tensors = hf_weights.index(folder)
        self.shapes = {key: tensor.shape for key, tensor in self._tensors.items()}
        self.rules, self.ignored = llama_rules(self.shapes), IGNORED

    def read(self, key: str) -> np.ndarray:
        """One tensor, in the dtype of the file."""
        return self._tensors[key].read()

    def tokenizer_files(self, out: Path) -> dict[str, str]:
        """{name: text} of the tokenizer's files to write; empty when the folder holds no tokenizer."""
        del out
        return hf_tokenizer.convert(self.folder)


def llama_rules(keys: Iterable[str]) -> list[Rule]:
    """The rules for a checkpoint with these keys: LLaMA's names under the prefixes that most of its layers have."""
    keys = list(keys)
    decoder, head = max(LAYOUTS, key=lambda layout: sum(key.startswith(f"{layout[0]}layers.") for key in keys))
    theirs, ours = f"{decoder}layers.{{i}}", "layers[{i}]"
    matrices = [f"self_attn.{name}" for name in "qkvo"] + [f"mlp.{name}" for name in ("gate", "up", "down")]
    return [
        Rule(f"{decoder}embed_tokens.weight", ("embed/table",)),
        *(Rule(f"{theirs}.{name}_proj.weight", (f"{ours}/{name.split('.')[1]}/kernel",), LINEAR) for name in matrices),
        Rule(f"{theirs}.input_layernorm.weight", (f"{ours}/attn_norm/scale",)),
        Rule(f"{theirs}.post_attention_layernorm.weight", (f"{ours}/ffn_norm/scale",)),
        Rule(f"{decoder}norm.weight", ("norm/scale",)),
        Rule(f"{head}lm_head.weight", ("head/table",)),
    ]
