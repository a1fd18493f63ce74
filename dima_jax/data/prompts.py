"""Text for the teacher: tokenizers, the prompt, the answer mask, and the fixed texts of scene editing.

The prompt is Vicuna's turn form, `USER: {question} ASSISTANT: {answer}`; the loss sees the answer and the end token only
(D12). The scene tokens stand before it and are not text.

Two tokenizers with one interface (`encode`, `decode`, `size`, `bos`, `eos`, `pad`): a Hugging Face folder with
`tokenizer.json`, or, when the config names none, bytes: id 0 pad, 1 begin, 2 end, 3 + b the byte b of the UTF-8 text.
"""

import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dima_jax.errors import UserError

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions. "
)

BRACKETED = re.compile(r"<.+>|\[.+\]", re.DOTALL)  # "<image>", "[INST]": control tokens, even if a file calls them text

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

    Text never becomes a control token, whatever it says: those that are special, begin or end a text, or are written
    in brackets like one. Raises UserError when a file is missing or damaged, or names no end token, or a begin token that is none.
    """

    system = SYSTEM

    def __init__(self, folder: str):
        path = Path(folder) / "tokenizer.json"
        if not path.is_file():
            raise UserError(
                f"{path}: no such tokenizer; `python -m dima_jax.convert llama` writes one beside its weights"
            )
        self._tokenizer = _open_tokenizer(path)
        names_path = path.with_name("tokenizer_config.json")
        try:
            names = json.loads(names_path.read_text()) if names_path.is_file() else {}
            self.bos = self._special(names, "bos_token", "<s>")
            self.eos = self._special(names, "eos_token", "</s>")
            pad = self._special(names, "pad_token", "<unk>")
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(f"{names_path}: is not a tokenizer's config ({error}); fetch it again") from error
        if self.eos is None:
            raise UserError(f"{names_path}: names no end token; set eos_token to a token of {path.name}")
        if self.bos is None and names.get("bos_token"):
            raise UserError(
                f"{names_path}: bos_token {names['bos_token']!r} is no token of {path.name}; fetch both again"
            )
        self.pad = self.eos if pad is None else pad
        self.size = 1 + max(self._tokenizer.get_vocab().values())
        self._of_text, self._control = _for_text(self._tokenizer, {self.bos, self.eos} - {None})

    def _special(self, names: dict, key: str, default: str) -> int | None:
        name = names.get(key) or default
        return self._tokenizer.token_to_id(name["content"] if isinstance(name, dict) else name)

    def encode(self, text: str) -> list[int]:
        return [i for i in self._of_text.encode(text, add_special_tokens=False).ids if i not in self._control]

    def decode(self, tokens) -> str:
        return self._tokenizer.decode([int(t) for t in tokens])


def _open_tokenizer(path: Path):
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(path.read_text())
    except Exception as error:  # the package raises Exception itself
        raise UserError(f"{path}: is no tokenizer ({' '.join(str(error).split())}); fetch it again") from error
    if not tokenizer.get_vocab():
        raise UserError(f"{path}: has no tokens; fetch it again")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _for_text(tokenizer, named: set[int]):
    """(a copy of the tokenizer that takes the names of control tokens for text, the ids that no text may have).

    named: ids that are control tokens, whatever the tokenizer says.
    """
    from tokenizers import Tokenizer

    state = json.loads(tokenizer.to_str())
    control = {tokenizer.id_to_token(i): i for i in named}
    for token in state["added_tokens"]:
        if token["special"] or BRACKETED.fullmatch(token["content"]) or token["id"] in named:
            token["special"] = True
            control[token["content"]] = token["id"]
    model = state["model"]
    if "merges" in model:  # characters must not grow together to a control token either
        pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
        model["merges"] = [pair for pair in pairs if "".join(pair) not in control]
    copy = Tokenizer.from_str(json.dumps(state))
    copy.encode_special_tokens = True
    unknown = tokenizer.token_to_id(model.get("unk_token") or "")
    return copy, frozenset(control.values()) - {unknown}  # a character that is not in the vocabulary may be unknown


def load_tokenizer(folder: str):
    """The tokenizer of `config.teacher.tokenizer`: a folder, or "" for bytes."""
    return FolderTokenizer(folder) if folder else ByteTokenizer()


def tokenizer_of(config):
    """The tokenizer of a whole config. Raises UserError if its ids are more than the teacher's embedding has rows."""
    return tokenizer_of_llm(config) if config.teacher.enabled else load_tokenizer(config.teacher.tokenizer)


def tokenizer_of_llm(config):
    """As `tokenizer_of`, whether or not the teacher is enabled."""
    tokenizer = load_tokenizer(config.teacher.tokenizer)
    if tokenizer.size > config.teacher.llm.vocab:
        raise UserError(
            f"config.teacher.tokenizer={config.teacher.tokenizer or 'bytes'} has {tokenizer.size} ids, but "
            f"config.teacher.llm.vocab={config.teacher.llm.vocab}: give the tokenizer and the sizes of one model, "
            "or remove the tokens that were added without weights"
        )
    return tokenizer


def prompt_tokens(tokenizer, question: str) -> list[int]:
    """Everything before the answer: what `ask` feeds the teacher."""
    return _begin(tokenizer) + tokenizer.encode(_prompt(tokenizer, question))


def tokenize(tokenizer, question: str, answer: str, max_text: int) -> Tokens:
    """Prompt and answer, right-padded to max_text; what does not fit is cut from the end and counted.

    The ids are those of the whole text, encoded at once: a tokenizer of LLaMA's family puts a blank before every text, so
    an answer that is encoded on its own would begin with one that the pretrained model never saw there. The answer begins
    at the first id that is not the prompt's.
    """
    prompt = tokenizer.encode(_prompt(tokenizer, question))
    whole = tokenizer.encode(f"{_prompt(tokenizer, question)} {answer}")
    shared = next((i for i, pair in enumerate(zip(prompt, whole, strict=False)) if pair[0] != pair[1]), len(prompt))
    begin = _begin(tokenizer)
    ids = [*begin, *whole, tokenizer.eos]
    kept = ids[:max_text]
    position = np.arange(max_text)
    mask = position < len(kept)
    tokens = np.full(max_text, tokenizer.pad, np.int32)
    tokens[: len(kept)] = kept
    return Tokens(tokens, mask, mask & (position >= len(begin) + shared), len(ids) - len(kept))


def turn_tokens(tokenizer, question: str, answer: str) -> list[int]:
    """A question with its answer and the end token, as one turn of several: without the begin token and the system text,
    which stand once before all of them.
    """
    return [*tokenizer.encode(f"{_turn(question)} {answer}"), tokenizer.eos]


def fits(tokenizer, question: str, answer: str, max_text: int) -> bool:
    """Whether `tokenize` cuts nothing."""
    whole = tokenizer.encode(f"{_prompt(tokenizer, question)} {answer}")
    return len(_begin(tokenizer)) + len(whole) + 1 <= max_text


def _begin(tokenizer) -> list[int]:
    return [] if tokenizer.bos is None else [tokenizer.bos]


def _prompt(tokenizer, question: str) -> str:
    return f"{tokenizer.system}{_turn(question)}"


def _turn(question: str) -> str:
    return f"USER: {question} ASSISTANT:"


def edit_texts(tokenizer, max_text: int) -> Tokens:
    """All rows of EDIT_TEXTS, stacked: arrays [Q, S]. Raises UserError when max_text is too short for them."""
    rows = [tokenize(tokenizer, question, answer, max_text) for question, answer in EDIT_TEXTS]
    cut = max(row.cut for row in rows)
    if cut:
        raise UserError(
            f"config.data.max_text={max_text} cuts the scene-editing texts; set it to {max_text + cut} or more"
        )
    return Tokens(*(np.stack([getattr(row, name) for row in rows]) for name in Tokens._fields[:3]), 0)
