"""A LLaMA from a Hugging Face folder (config.json and safetensors): its sizes, its tensors, its conversion rules.

A LLaMA stores one matrix [out, in] per layer; ours are stacked, [layers, in, out] (`teacher/llama.py`). The language
half of LLaVA-v1.5 is found under its prefixes; its vision tower and projector are ignored by name, any other key that is
not a LLaMA's is refused.

Source: transformers `models/llama/modeling_llama.py`, `models/llava/modeling_llava.py`.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from dima_jax.convert import safetensors_files
from dima_jax.convert.rules import LINEAR, Rule
from dima_jax.errors import UserError

LAYOUTS = (  # prefixes of the decoder and of the output head
    ("model.", ""),  # LLaMA, and LLaVA as its authors published it
    ("language_model.model.", "language_model."),  # LLaVA in transformers' files
    ("model.language_model.", ""),  # LLaVA in transformers >= 4.52
)
IGNORED = (  # not part of the language model, or derived from the config
    r".*\.rotary_emb\.inv_freq",
    r"(model\.)?vision_tower\..*",
    r"(model\.)?(mm_projector|multi_modal_projector)\..*",
    r"model\.image_newline",
)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


class HuggingFaceLlama:
    """An opened folder. `sizes` are `config.teacher.llm`'s, `shapes` those of the tensors by key, [out, in].

    Raises UserError when the folder holds no LLaMA.
    """

    def __init__(self, folder: Path):
        path = folder / "config.json"
        if not path.is_file():
            raise UserError(f"{path}: no such file; --source must be a Hugging Face folder or a .gguf file")
        self.folder = folder
        self.sizes = llm_sizes(json.loads(path.read_text()), str(path))
        self._tensors = safetensors_files.index(folder)
        self.shapes = {key: tensor.shape for key, tensor in self._tensors.items()}
        self.rules, self.ignored = llama_rules(self.shapes), IGNORED

    def read(self, key: str) -> np.ndarray:
        """One tensor, in the dtype of the file."""
        return self._tensors[key].read()

    def write_tokenizer(self, folder: Path) -> None:
        """Copies the tokenizer's files, where there are any."""
        for name in TOKENIZER_FILES:
            if (self.folder / name).is_file():
                shutil.copyfile(self.folder / name, folder / name)


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


def llm_sizes(config: Mapping, name: str) -> dict:
    """`config.teacher.llm`'s sizes from a Hugging Face config.json (a LLaVA's: its `text_config`).

    name: the file, for messages. Raises UserError when the model is not a plain LLaMA (scaled rotary embedding, biases,
    heads whose widths do not add up to the hidden size).
    """
    config = config.get("text_config", config)
    rope = config.get("rope_parameters") or {}
    scaling = config.get("rope_scaling") or {}
    kind = rope.get("rope_type") or scaling.get("rope_type") or scaling.get("type") or "default"
    heads = config["num_attention_heads"]
    head_width = config.get("head_dim") or config["hidden_size"] // heads
    refused = {
        f"rope type {kind}": kind != "default",
        "biases": config.get("attention_bias") or config.get("mlp_bias"),
        f"activation {config.get('hidden_act')}": config.get("hidden_act", "silu") != "silu",
        f"head width {head_width}": head_width * heads != config["hidden_size"],
    }
    for reason, holds in refused.items():
        if holds:
            raise UserError(f"{name}: {reason} is not the LLaMA of teacher/llama.py")
    return dict(
        layers=config["num_hidden_layers"],
        width=config["hidden_size"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        ffn_width=config["intermediate_size"],
        vocab=config["vocab_size"],
        rope_theta=float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0),  # LLaMA 1's config has none
        rms_eps=float(config["rms_norm_eps"]),
        tied=bool(config.get("tie_word_embeddings", False)),
    )
