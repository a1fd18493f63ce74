"""SentencePiece's tokenizer.model: the ids are those of the sentencepiece package.

tokenizer_files/tokenizer.model was trained by sentencepiece 0.2.3 on this project's docs (BPE, 480 pieces, bytes for
unknown characters, identity normalization, "<image>" as a symbol); the ids below are its `encode`.
"""

from pathlib import Path

import pytest

from dima_jax.convert import spm_tokenizer
from dima_jax.convert.spm_tokenizer import BYTE, CONTROL, NORMAL, UNKNOWN, Piece
from dima_jax.errors import UserError

MODEL = Path(__file__).parent / "tokenizer_files" / "tokenizer.model"
ENCODED = {
    "USER: What is ahead? ASSISTANT: No": [406, 474, 450, 454, 466, 439, 398, 327, 301, 262, 353, 476, 371, 450, 450, 469, 450, 446, 444, 456, 446, 439, 406, 456, 411],
    "There are  two   blanks ": [352, 264, 334, 406, 260, 430, 411, 277, 300, 340, 443, 410, 406],
    "é 日本 \n tab\t 12345": [406, 199, 173, 406, 234, 155, 169, 234, 160, 176, 406, 14, 260, 409, 434, 13, 406, 440, 442, 451, 464, 453],
    " leading": [277, 349, 312, 325],
    "": [],
}  # fmt: skip


@pytest.mark.parametrize("text", ENCODED)
def test_ids_are_those_of_sentencepiece(text):
    tokenizer = spm_tokenizer.read(MODEL)
    assert tokenizer.encode(text, add_special_tokens=False).ids == ENCODED[text]
    assert tokenizer.decode(ENCODED[text]) == text


def test_control_pieces_are_not_made_of_others():
    kinds = {
        "<unk>": UNKNOWN,
        "</s>": CONTROL,
        "</": NORMAL,
        "s>": NORMAL,
        "<": NORMAL,
        "/": NORMAL,
        "s": NORMAL,
        ">": NORMAL,
    }
    pieces = [Piece(text, 0.0, kind) for text, kind in kinds.items()]
    assert ("</", "s>") not in spm_tokenizer._merges(pieces)


def test_a_model_without_the_leading_blank():
    assert spm_tokenizer.read(MODEL, prefix=False).encode("No").tokens == ["N", "o"]


def test_unknown_characters_are_bytes_or_unknown():
    pieces = [Piece("<unk>", 0, UNKNOWN), Piece("a", 0, NORMAL), Piece("\u2581", 0, NORMAL)]
    assert spm_tokenizer.build(pieces).encode("aé").ids == [2, 1, 0]
    assert spm_tokenizer.build([*pieces, *(Piece(f"<0x{b:02X}>", 0, BYTE) for b in range(256))]).encode("é").ids == [2, 198, 172]  # fmt: skip


@pytest.mark.parametrize("content", [b"a SentencePiece model lies here", b"", b"\x00" * 100])
def test_what_is_no_model_is_refused_with_a_remedy(tmp_path, content):
    (tmp_path / "tokenizer.model").write_bytes(content)
    with pytest.raises(
        UserError, match=r"tokenizer\.model: is no SentencePiece model.*put the model's tokenizer\.json"
    ):
        spm_tokenizer.read(tmp_path / "tokenizer.model")


@pytest.mark.parametrize(
    "piece", [Piece("b", float("nan"), NORMAL), Piece("b", float("inf"), NORMAL), Piece("b", 0.0, 9)]
)
def test_a_piece_without_score_or_type_is_refused(piece):
    with pytest.raises(ValueError, match="the piece 'b' is of type"):
        spm_tokenizer.build([Piece("<unk>", 0, UNKNOWN), Piece("a", 0, NORMAL), piece])
    with pytest.raises(ValueError, match="none of its pieces is of text"):
        spm_tokenizer.build([Piece("<unk>", 0, UNKNOWN)])
