"""Text for the teacher: tokenizers, the prompt, the answer mask, and the fixed texts of scene editing.

The prompt is Vicuna's turn form, `USER: {question} ASSISTANT: {answer}`; the loss sees the answer and the end token only
(D12). The scene tokens stand before it and are not text.

Two tokenizers with one interface (`encode`, `decode`, `size`, `bos`, `eos`, `pad`): a Hugging Face folder with
`tokenizer.json`, or, when the config names none, bytes: id 0 pad, 1 begin, 2 end, 3 + b the byte b of the UTF-8 text.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dima_jax.errors import UserError

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions. "
)

# The texts of scene editing (D10), one row per edit: row = 2 * action + blocks_path, where action is 0 delete a vehicle,
# 1 add a car, 2 add a truck, and blocks_path: whether the edited vehicle stands (or stood) in the ego's path.
EDIT_TEXTS = (
    ("A vehicle is removed. What should the ego vehicle do?", "Keep its path. It was not in the way."),
    ("A vehicle is removed. What should the ego vehicle do?", "Go on. The path is free now."),
    ("A car is added. What should the ego vehicle do?", "Keep its path. The car is not in the way."),
    ("A car is added. What should the ego vehicle do?", "Slow down and stop. The car blocks the path."),
    ("A truck is added. What should the ego vehicle do?", "Keep its path. The truck is not in the way."),
    ("A truck is added. What should the ego vehicle do?", "Slow down and stop. The truck blocks the path."),
)


class Tokens(NamedTuple):
    """tokens [S] int32, mask [S] True = real, answer_mask [S] True = predicted; cut: how many tokens did not fit."""

    tokens: np.ndarray
    mask: np.ndarray
    answer_mask: np.ndarray
    cut: int


class ByteTokenizer:
    """UTF-8 bytes as tokens: 259 ids."""

    pad, bos, eos, size = 0, 1, 2, 259
    system = ""  # 149 tokens that teach a model without pretraining nothing

    def encode(self, text: str) -> list[int]:
        return [3 + byte for byte in text.encode()]

    def decode(self, tokens) -> str:
        return bytes(int(t) - 3 for t in tokens if int(t) >= 3).decode(errors="replace")


class FolderTokenizer:
    """A Hugging Face folder: `tokenizer.json` and, for the special tokens' names, `tokenizer_config.json`.

    Raises UserError when a file is missing or names no end token.
    """

    system = SYSTEM

    def __init__(self, folder: str):
        from tokenizers import Tokenizer

        path = Path(folder) / "tokenizer.json"
        if not path.is_file():
            raise UserError(
                f"{path}: no such tokenizer; `python -m dima_jax.convert llama` writes one beside its weights"
            )
        self._tokenizer = Tokenizer.from_file(str(path))
        names_path = path.with_name("tokenizer_config.json")
        names = json.loads(names_path.read_text()) if names_path.is_file() else {}
        self.size = self._tokenizer.get_vocab_size()
        self.bos = self._special(names, "bos_token", "<s>")
        self.eos = self._special(names, "eos_token", "</s>")
        if self.eos is None:
            raise UserError(f"{names_path}: names no end token; set eos_token to a token of {path.name}")
        pad = self._special(names, "pad_token", "<unk>")
        self.pad = self.eos if pad is None else pad

    def _special(self, names: dict, key: str, default: str) -> int | None:
        name = names.get(key) or default
        return self._tokenizer.token_to_id(name["content"] if isinstance(name, dict) else name)

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, tokens) -> str:
        return self._tokenizer.decode([int(t) for t in tokens])


def load_tokenizer(folder: str):
    """The tokenizer of `config.teacher.tokenizer`: a folder, or "" for bytes."""
    return FolderTokenizer(folder) if folder else ByteTokenizer()


def prompt_tokens(tokenizer, question: str) -> list[int]:
    """Everything before the answer: what `ask` feeds the teacher."""
    begin = [] if tokenizer.bos is None else [tokenizer.bos]
    return begin + tokenizer.encode(f"{tokenizer.system}USER: {question} ASSISTANT:")


def tokenize(tokenizer, question: str, answer: str, max_text: int) -> Tokens:
    """Prompt and answer, right-padded to max_text; what does not fit is cut from the end and counted."""
    prompt = prompt_tokens(tokenizer, question)
    ids = [*prompt, *tokenizer.encode(" " + answer), tokenizer.eos]
    kept = ids[:max_text]
    position = np.arange(max_text)
    mask = position < len(kept)
    tokens = np.full(max_text, tokenizer.pad, np.int32)
    tokens[: len(kept)] = kept
    return Tokens(tokens, mask, mask & (position >= len(prompt)), len(ids) - len(kept))


def edit_texts(tokenizer, max_text: int) -> Tokens:
    """All rows of EDIT_TEXTS, stacked: arrays [Q, S]. Raises UserError when max_text is too short for them."""
    rows = [tokenize(tokenizer, question, answer, max_text) for question, answer in EDIT_TEXTS]
    cut = max(row.cut for row in rows)
    if cut:
        raise UserError(
            f"config.data.max_text={max_text} cuts the scene-editing texts; set it to {max_text + cut} or more"
        )
    return Tokens(*(np.stack([getattr(row, name) for row in rows]) for name in Tokens._fields[:3]), 0)
