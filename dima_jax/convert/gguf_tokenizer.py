"""The tokenizer that a GGUF file carries, as `tokenizer.json` and `tokenizer_config.json` for `data/prompts.py`.

SentencePiece vocabularies (LLaMA 1 and 2, Vicuna, Mistral) and the byte-level BPE of SmolLM2 and LLaMA 3 are taken over;
a GGUF file names the rest of a byte-level tokenizer (how text is split into words) only by a word. For another word the
model's tokenizer.json is taken, from beside the file or from the output folder, if its tokens are the file's.

Source: llama.cpp `gguf-py/gguf/constants.py` (Keys.Tokenizer), `src/llama-vocab.cpp` (types, defaults, regexes).
"""

import json
from collections.abc import Callable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from dima_jax.convert import hf_tokenizer, spm_tokenizer
from dima_jax.convert.spm_tokenizer import CONTROL, USER_DEFINED, Piece
from dima_jax.errors import UserError

LLAMA_3_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
WORDS = {  # tokenizer.ggml.pre: how text is split before the BPE
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), BYTES]),
    "gpt-2": BYTES,
    "llama-bpe": pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA_3_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    ),
}
SPM_DEFAULTS = {"bos": 1, "eos": 2}  # ids of SentencePiece vocabularies where the file names none


def convert(value: Callable, source: Path, out: Path) -> dict[str, str]:
    """{name of a file to write: its text}.

    value(field, default): a field of the GGUF file `source`, UserError if it has none and default is ...; out: the output
    folder, which may hold a tokenizer.json that its user put there. Raises UserError for a tokenizer that cannot be had.
    """
    tokens = tokens_of(value, source)
    kind, words = value("tokenizer.ggml.model"), value("tokenizer.ggml.pre", "default")
    try:
        if kind == "llama":
            tokenizer = _sentence_pieces(value, tokens)
        elif kind == "gpt2" and words in WORDS:
            tokenizer = _byte_level(value, tokens, words)
        else:
            tokenizer = _given(tokens, f"{kind}/{words}", source, out)
    except UserError:
        raise
    except Exception as error:  # the tokenizers package raises Exception itself
        detail = " ".join(str(error).split())
        raise UserError(f"{source}: its tokenizer is damaged ({detail}); fetch the file again") from error
    return {
        hf_tokenizer.TOKENIZER: tokenizer.to_str(),
        hf_tokenizer.CONFIG: json.dumps(_names(value, tokens, kind, source)),
    }


def tokens_of(value: Callable, source: Path) -> list[str]:
    """The texts of the tokens by id; arguments as for `convert`. UserError if they are no texts."""
    tokens = value("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) for token in tokens):
        raise UserError(f"{source}: tokenizer.ggml.tokens is no list of texts; fetch the file again")
    return tokens


def _sentence_pieces(value: Callable, tokens: list[str]) -> Tokenizer:
    scores, kinds = value("tokenizer.ggml.scores"), value("tokenizer.ggml.token_type")
    return spm_tokenizer.build(
        [Piece(*piece) for piece in zip(tokens, scores, kinds, strict=True)],
        prefix=_flag(value, "add_space_prefix", default=True),
        remove_blanks=_flag(value, "remove_extra_whitespaces", default=False),
        charsmap=bytes(value("tokenizer.ggml.precompiled_charsmap", [])),
    )


def _flag(value: Callable, name: str, *, default: bool) -> bool:
    found = value(f"tokenizer.ggml.{name}", default)
    if not isinstance(found, bool):
        raise ValueError(f"{name} is {found!r}")
    return found


def _byte_level(value: Callable, tokens: list[str], words: str) -> Tokenizer:
    vocab = {token: i for i, token in enumerate(tokens)}
    if len(vocab) != len(tokens):
        raise ValueError("two tokens have the same text")
    merges = [tuple(merge.split(" ")) for merge in value("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab, merges, ignore_merges=words == "llama-bpe"))
    tokenizer.pre_tokenizer, tokenizer.decoder = WORDS[words], decoders.ByteLevel()
    kinds = list(zip(tokens, value("tokenizer.ggml.token_type"), strict=True))
    for token, kind in kinds:
        if kind not in spm_tokenizer.KINDS:
            raise ValueError(f"the token {token!r} is of type {kind!r}")
    tokenizer.add_special_tokens([token for token, kind in kinds if kind == CONTROL])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token, kind in kinds if kind == USER_DEFINED])
    return tokenizer


def _given(tokens: list[str], kind: str, source: Path, out: Path) -> Tokenizer:
    """The tokenizer.json beside the file or in the output folder."""
    places = [source.with_name(hf_tokenizer.TOKENIZER), out / hf_tokenizer.TOKENIZER]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise UserError(
            f"{source}: its tokenizer ({kind}) cannot be converted; put the model's tokenizer.json beside the file, "
            "or give its Hugging Face folder as --source"
        )
    tokenizer = hf_tokenizer.load(path)
    for token, i in tokenizer.get_vocab(with_added_tokens=False).items():
        if i >= len(tokens) or tokens[i] != token:
            theirs = repr(tokens[i]) if i < len(tokens) else "none"
            raise UserError(f"{path}: is of another model: its token {i} is {token!r}, that of {source.name} {theirs}")
    return tokenizer


def _names(value: Callable, tokens: list[str], kind: str, source: Path) -> dict[str, str]:
    """The names of the special tokens; padding is the end token where the file has none."""
    names = {}
    for name, field in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        default = SPM_DEFAULTS.get(name, -1) if kind == "llama" else -1
        i = value(f"tokenizer.ggml.{field}_token_id", default)
        if type(i) is not int or i >= len(tokens) or (i < 0 and name == "eos"):
            raise UserError(f"{source}: tokenizer.ggml.{field}_token_id is {i}, and it has {len(tokens)} tokens")
        if i >= 0:
            names[f"{name}_token"] = tokens[i]
    return {"pad_token": names["eos_token"]} | names
