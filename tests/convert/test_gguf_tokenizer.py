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


@pytest.mark.parametrize(("kind", "ids"), [("llama-bpe", [19]), ("smollm", [3, 4, 5])])
def test_llama_3_takes_a_whole_word_whatever_its_merges(tmp_path, kind, ids):
    def change(writer):
        writer.kv_data[0].pop("tokenizer.ggml.tokens")
        writer.add_token_list([*GGUF_TOKENS[:-1], "cde"])

    convert_llama(
        write_gguf(tmp_path / "x.gguf", checkpoint(), tokenizer=kind, change=change), tmp_path / "out", "float32"
    )
    assert FolderTokenizer(str(tmp_path / "out")).encode("cde") == ids


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


STRING, FLOAT, LIST, UINT = 8, 6, 9, 4  # types of values
RETYPED = [
    ("smollm", "tokens", 20, UINT, "tokens is no list of texts"),
    ("smollm", "tokens", [1] * 20, LIST, "tokens is no list of texts"),
    ("smollm", "token_type", ["a"] * 20, LIST, "is of type 'a'"),
    ("smollm", "merges", [1, 2], LIST, "its tokenizer is damaged"),
    ("smollm", "merges", ["a b c"], LIST, "its tokenizer is damaged"),
    ("smollm", "eos_token_id", "2", STRING, "eos_token_id is 2"),
    ("smollm", "eos_token_id", 1.5, FLOAT, "eos_token_id is 1.5"),
    ("smollm", "bos_token_id", [1], LIST, "bos_token_id is .1."),
    ("spm", "scores", [float("nan")] * 20, LIST, "with score nan"),
    ("spm", "token_type", [9] * 20, LIST, "is of type 9"),
    ("spm", "token_type", [3] * 20, LIST, "none of its pieces is of text"),
    ("spm", "add_space_prefix", "no", STRING, "add_space_prefix is 'no'"),
]


@pytest.mark.parametrize(("kind", "field", "content", "type_of", "message"), RETYPED)
def test_a_field_of_another_type_is_one_line(tmp_path, kind, field, content, type_of, message):
    import gguf

    def change(writer):
        writer.kv_data[0].pop(f"tokenizer.ggml.{field}", None)
        writer.add_key_value(f"tokenizer.ggml.{field}", content, gguf.GGUFValueType(type_of))

    source, config = (full_heads(), {**HF, "num_key_value_heads": 4}) if kind == "spm" else (checkpoint(), HF)
    file = write_gguf(tmp_path / "x.gguf", source, tokenizer=kind, config=config, change=change)
    with pytest.raises(UserError, match=rf"^{file}: .*{message}") as refused:
        convert_llama(file, tmp_path / "out", "float32")
    assert "\n" not in str(refused.value) and not (tmp_path / "out").exists()
