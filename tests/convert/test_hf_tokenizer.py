"""The tokenizer files of a Hugging Face folder: tokenizer.model, tokens that were added, names of special tokens."""

import json
import shutil

import pytest
from tokenizers import Tokenizer

from dima_jax.convert import hf_tokenizer
from dima_jax.data.prompts import FolderTokenizer
from dima_jax.errors import UserError
from tests.convert.test_spm_tokenizer import ENCODED, MODEL


@pytest.fixture
def vicuna(tmp_path):
    """A folder with tokenizer.model alone."""
    folder = tmp_path / "vicuna"
    folder.mkdir()
    shutil.copy(MODEL, folder / "tokenizer.model")
    return folder


def converted(folder):
    out = folder.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    for name, text in hf_tokenizer.convert(folder).items():
        (out / name).write_text(text)
    return FolderTokenizer(str(out))


def test_a_sentencepiece_model_is_taken_over(vicuna):
    tokenizer = converted(vicuna)
    assert (tokenizer.bos, tokenizer.eos, tokenizer.pad, tokenizer.size) == (1, 2, 0, 480)
    for text, ids in ENCODED.items():
        assert tokenizer.encode(text) == ids


def test_added_tokens_and_names(vicuna):
    (vicuna / "added_tokens.json").write_text(json.dumps({"<pad>": 480}))
    decoder = {"481": {"content": "<|turn|>", "special": True}}
    (vicuna / "tokenizer_config.json").write_text(
        json.dumps({"added_tokens_decoder": decoder, "eos_token": "<|turn|>"})
    )
    (vicuna / "special_tokens_map.json").write_text(
        json.dumps({"pad_token": {"content": "<pad>"}, "eos_token": "</s>"})
    )
    tokenizer = converted(vicuna)
    assert (tokenizer.pad, tokenizer.eos, tokenizer.size) == (480, 481, 482)
    assert not {480, 481} & set(tokenizer.encode("a <pad> <|turn|> b"))


def test_tokens_are_added_to_a_tokenizer_json_as_well(vicuna):
    for name, text in hf_tokenizer.convert(vicuna).items():
        (vicuna / name).write_text(text)
    assert hf_tokenizer.convert(vicuna) == {"tokenizer.json": (vicuna / "tokenizer.json").read_text()}
    (vicuna / "added_tokens.json").write_text(json.dumps({"<pad>": 480, "</s>": 2}))
    assert Tokenizer.from_str(hf_tokenizer.convert(vicuna)["tokenizer.json"]).token_to_id("<pad>") == 480


@pytest.mark.parametrize("tokens", [{"<pad>": 500}, {"<pad>": 7}, {"</s>": 480}, {"<pad>": "480"}, {"<pad>": -1}, {"<pad>": 2**70}, {"<pad>": [1]}, {"": 480}])  # fmt: skip
def test_a_token_that_does_not_fit_is_refused(vicuna, tokens):
    (vicuna / "added_tokens.json").write_text(json.dumps(tokens))
    with pytest.raises(UserError, match="added token"):
        hf_tokenizer.convert(vicuna)


@pytest.mark.parametrize(
    "text", ["<html>", "[]", '{"added_tokens_decoder": [1]}', '{"added_tokens_decoder": {"x": {}}}']
)
def test_a_damaged_file_is_refused_by_name(vicuna, text):
    (vicuna / "tokenizer_config.json").write_text(text)
    with pytest.raises(UserError, match=r"tokenizer_config\.json: "):
        hf_tokenizer.convert(vicuna)


def test_a_folder_without_a_tokenizer(tmp_path):
    assert hf_tokenizer.convert(tmp_path) == {}
    assert not hf_tokenizer.is_tokenizer(tmp_path / "tokenizer.json")


def test_two_tokens_of_one_id_are_refused(vicuna):
    (vicuna / "added_tokens.json").write_text(json.dumps({"<pad>": 480, "<end>": 480}))
    with pytest.raises(UserError, match=r"added_tokens\.json: '<pad>' and '<end>' have the same id 480"):
        hf_tokenizer.convert(vicuna)


@pytest.mark.parametrize("text", ["", "<html>", "version https://git-lfs.github.com/spec/v1", "{}", '{"model": NaN}'])
def test_a_tokenizer_json_that_is_none_is_not_written(vicuna, text):
    (vicuna / "tokenizer.json").write_text(text)
    assert hf_tokenizer.convert(vicuna) == {}


def test_what_is_written_is_strict_json(vicuna):
    (vicuna / "tokenizer_config.json").write_text('{"model_max_length": Infinity}')
    assert json.loads(hf_tokenizer.convert(vicuna)["tokenizer_config.json"]) == {"model_max_length": None}
