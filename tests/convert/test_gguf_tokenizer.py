"""The tokenizer of a GGUF file: taken over, or given beside the file."""

import json

import pytest
from tokenizers import Tokenizer, models

from dima_jax.convert.llama_command import convert_llama
from dima_jax.data.prompts import FolderTokenizer
from dima_jax.errors import UserError
from tests.convert.llama_files import HF, checkpoint, write_gguf

pytest.importorskip("gguf")
GGUF_TOKENS = ["<|end|>", *"abcdefghijklmnopq", "ab", "\u0120"]


def convert(tmp_path, tokenizer):
    source = checkpoint() if tokenizer != "spm" else full_heads()
    config = HF if tokenizer != "spm" else {**HF, "num_key_value_heads": 4}
    convert_llama(
        write_gguf(tmp_path / "x.gguf", source, tokenizer=tokenizer, config=config), tmp_path / "out", "float32"
    )
    return FolderTokenizer(str(tmp_path / "out"))


def full_heads():
    return {
        key: value.repeat(2, 0) if "k_proj" in key or "v_proj" in key else value for key, value in checkpoint().items()
    }


def test_sentence_pieces(tmp_path):
    tokenizer = convert(tmp_path, "spm")
    assert (tokenizer.bos, tokenizer.eos, tokenizer.pad, tokenizer.size) == (1, 2, 2, 20)
    assert tokenizer.encode("ab a N") == [8, 5, 8, 3, 7]  # "▁a" has a higher score than "ab"
    assert tokenizer.decode([8, 3, 7]) == "a N"
    assert 2 not in tokenizer.encode("a</s>b")


def test_words_of_llama_3(tmp_path):
    assert convert(tmp_path, "llama-bpe").encode("ab a") == [18, 19, 1]


def test_another_tokenizer_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(
        UserError, match=r"tokenizer \(gpt2/qwen2\) cannot be converted; put the model's tokenizer.json beside"
    ):
        convert(tmp_path, "qwen2")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", [".", "out"])
def test_a_tokenizer_beside_the_file_or_in_the_output_folder_is_taken(tmp_path, place):
    (tmp_path / place).mkdir(exist_ok=True)
    given = Tokenizer(models.BPE({token: i for i, token in enumerate(GGUF_TOKENS)}, [("a", "b")]))
    given.save(str(tmp_path / place / "tokenizer.json"))
    tokenizer = convert(tmp_path, "qwen2")
    assert tokenizer.encode("cab") == [3, 18] and tokenizer.eos == 0


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    Tokenizer(models.BPE({"b": 1, "x": 2}, [])).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match=r"tokenizer\.json: is of another model"):
        convert(tmp_path, "qwen2")


def test_a_damaged_tokenizer_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps({}))
    with pytest.raises(UserError, match=r"tokenizer\.json: is no tokenizer"):
        convert(tmp_path, "qwen2")
