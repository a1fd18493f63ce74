"""The tokenizer of LLaMA 1 and 2, Vicuna and Mistral, a SentencePiece BPE model, as one of the `tokenizers` package.

SentencePiece joins the neighbors whose whole is the piece with the highest score; the package's BPE applies ranked
merges, which are made from the scores here. Only normal pieces take part, so text can never become a control piece.

Source: https://github.com/google/sentencepiece (`sentencepiece_model.proto`); transformers `convert_slow_tokenizer.py`
(SpmConverter); the pieces of a GGUF file have the same types.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers

from dima_jax.errors import UserError

SPACE = "\u2581"  # stands for a blank in pieces
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # types of pieces
KINDS = (NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE)
BPE = 2  # TrainerSpec.model_type


class Piece(NamedTuple):
    """A piece of the vocabulary; its id is its place."""

    text: str
    score: float
    kind: int


def build(
    pieces: Sequence[Piece], *, prefix: bool = True, remove_blanks: bool = False, charsmap: bytes = b""
) -> Tokenizer:
    """The tokenizer of a vocabulary.

    prefix: a blank goes before every text. remove_blanks: blanks at both ends and repeated ones are dropped. charsmap:
    SentencePiece's compiled normalization, empty for LLaMA. ValueError if two pieces have the same text, if one has no score
    or is of an unknown type, and if no piece is of text.
    """
    vocab = {piece.text: i for i, piece in enumerate(pieces)}
    if len(vocab) != len(pieces):
        raise ValueError("two pieces of its vocabulary have the same text")
    for piece in pieces:
        if piece.kind not in KINDS or not math.isfinite(piece.score):
            raise ValueError(f"the piece {piece.text!r} is of type {piece.kind!r} with score {piece.score}")
    if not any(piece.kind == NORMAL for piece in pieces):
        raise ValueError("none of its pieces is of text")
    unknown = next((piece.text for piece in pieces if piece.kind == UNKNOWN), None)
    is_bytes = any(piece.kind == BYTE for piece in pieces)
    model = models.BPE(vocab, _merges(pieces), unk_token=unknown, fuse_unk=True, byte_fallback=is_bytes)
    tokenizer = Tokenizer(model)
    steps = [normalizers.Precompiled(charsmap)] if charsmap else []
    if remove_blanks:
        steps += [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    steps += [normalizers.Prepend(SPACE)] if prefix else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    back = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*back, decoders.Strip(" ", 1, 0)] if prefix else back)
    tokenizer.add_special_tokens([piece.text for piece in pieces if piece.kind in (UNKNOWN, CONTROL)])
    tokenizer.add_tokens([AddedToken(piece.text, normalized=False) for piece in pieces if piece.kind == USER_DEFINED])
    return tokenizer


def read(path: Path, *, prefix: bool = True) -> Tokenizer:
    """The tokenizer of a `tokenizer.model`. prefix: False leaves out the leading blank that the model asks for.

    Raises UserError for a file that is no SentencePiece BPE model.
    """
    from google.protobuf.message import DecodeError
    from transformers.utils import sentencepiece_model_pb2_new

    model = sentencepiece_model_pb2_new.ModelProto()
    remedy = "put the model's tokenizer.json and tokenizer_config.json beside it"
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise UserError(f"{path}: is no SentencePiece model; {remedy}") from error
    if not model.pieces or model.trainer_spec.model_type != BPE:
        raise UserError(f"{path}: is no SentencePiece model of type BPE, which LLaMA's is; {remedy}")
    spec = model.normalizer_spec
    try:
        return build(
            [Piece(piece.piece, piece.score, piece.type) for piece in model.pieces],
            prefix=prefix and spec.add_dummy_prefix,
            remove_blanks=spec.remove_extra_whitespaces,
            charsmap=spec.precompiled_charsmap,
        )
    except Exception as error:  # the package raises Exception itself
        raise UserError(f"{path}: cannot be taken over ({' '.join(str(error).split())}); {remedy}") from error


def _merges(pieces: Sequence[Piece]) -> list[tuple[str, str]]:
    """Every way to make a normal piece of two others, the piece with the highest score first."""
    normal = {piece.text: (-piece.score, i) for i, piece in enumerate(pieces) if piece.kind == NORMAL}
    ranked = []
    for text, rank in normal.items():
        splits = ((text[:k], text[k:]) for k in range(1, len(text)))
        ranked += [(*rank, left, right) for left, right in splits if left in normal and right in normal]
    return [(left, right) for _, _, left, right in sorted(ranked)]
