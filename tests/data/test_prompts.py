"""Text: what is predicted, what is cut, and the fixed texts of scene editing."""

import json

import numpy as np
import pytest

from dima_jax.data import prompts
from dima_jax.errors import UserError
from tests.mini import mini_config


def test_only_the_answer_and_the_end_are_predicted():
    tokenizer = prompts.ByteTokenizer()
    tokens = prompts.tokenize(tokenizer, "Why?", "Because é.", 64)
    assert tokenizer.decode(tokens.tokens) == "USER: Why? ASSISTANT: Because é."
    predicted = tokens.tokens[tokens.answer_mask]
    assert tokenizer.decode(predicted) == " Because é." and predicted[-1] == tokenizer.eos
    assert tokens.tokens[0] == tokenizer.bos and (tokens.tokens[~tokens.mask] == tokenizer.pad).all()
    assert tokens.cut == 0


def test_cut_text_is_counted():
    whole = prompts.tokenize(prompts.ByteTokenizer(), "Why?", "Because.", 64)
    short = prompts.tokenize(prompts.ByteTokenizer(), "Why?", "Because.", 25)
    assert short.cut == whole.mask.sum() - 25 and short.mask.all()
    np.testing.assert_array_equal(short.tokens, whole.tokens[:25])


def test_what_fits_is_not_cut():
    tokenizer = prompts.ByteTokenizer()
    length = int(prompts.tokenize(tokenizer, "Who?", "You.", 100).mask.sum())
    for room in (length, length - 1):
        assert prompts.fits(tokenizer, "Who?", "You.", room) == (room == length)
        assert (prompts.tokenize(tokenizer, "Who?", "You.", room).cut == 0) == (room == length)


def test_edit_texts_are_ordered_by_action_and_consequence():
    questions = [question for question, _ in prompts.EDIT_TEXTS]
    assert questions[0] == questions[1] and "removed" in questions[0]
    assert questions[2] == questions[3] and "car is added" in questions[2]
    assert questions[4] == questions[5] and "truck is added" in questions[4]
    assert all("not in the way" in answer for _, answer in prompts.EDIT_TEXTS[::2])


def test_edit_texts_must_fit():
    assert prompts.edit_texts(prompts.ByteTokenizer(), 128).answer_mask.any(axis=1).all()
    with pytest.raises(UserError, match=r"max_text=64 cuts the scene-editing texts; set it to \d+ or more"):
        prompts.edit_texts(prompts.ByteTokenizer(), 64)


def test_folder_tokenizer(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<unk>", "<s>", "</s>", "USER:", "ASSISTANT:", "Why?", "Because."]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "</s>"}}))
    loaded = prompts.load_tokenizer(str(tmp_path))
    assert (loaded.pad, loaded.bos, loaded.eos, loaded.size) == (0, 1, 2, 7)
    tokens = prompts.tokenize(loaded, "Why?", "Because.", 64)
    assert tokens.tokens[tokens.answer_mask].tolist() == [6, 2]
    with pytest.raises(UserError, match=r"no such tokenizer; .*convert llama"):
        prompts.load_tokenizer(str(tmp_path / "nowhere"))


def save(folder, tokenizer, **names):
    tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(bos_token="<s>", eos_token="</s>", pad_token="<unk>") | names
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return prompts.load_tokenizer(str(folder))


def llama_like(folder):
    """A blank goes before every text, as in LLaMA's family; "▁N" and "▁No" are tokens."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    characters = sorted(set("USERASSISTANT:?." + "abcdefghijklmnopqrstuvwxyzWNGTB',/<>"))
    pieces = ["<unk>", "<s>", "</s>", "<image>", "▁", *characters, "▁N", "▁No", "</", "s>"]
    merges = [("▁", "N"), ("▁N", "o"), ("<", "/"), ("s", ">"), ("</", "s>")]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.add_tokens(["<image>"])
    return save(folder, tokenizer), tokenizer


def byte_level(folder):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = ["<unk>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "ĠN", "ĠNo"]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, [("Ġ", "N"), ("ĠN", "o")]))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return save(folder, tokenizer), tokenizer


@pytest.mark.parametrize("make", [llama_like, byte_level])
def test_prompt_and_answer_are_encoded_as_one_text(tmp_path, make):
    loaded, tokenizer = make(tmp_path)
    tokens = prompts.tokenize(loaded, "Why?", "No", 512)
    text = f"{loaded.system}USER: Why? ASSISTANT: No"
    assert tokens.tokens[tokens.mask].tolist() == [1, *tokenizer.encode(text).ids, 2]
    no = tokenizer.token_to_id("▁No" if make is llama_like else "ĠNo")
    assert tokens.tokens[tokens.answer_mask].tolist() == [no, 2]
    assert tokens.tokens[tokens.mask & ~tokens.answer_mask].tolist() == prompts.prompt_tokens(loaded, "Why?")
    assert loaded.decode([no]).strip() == "No"


def test_an_answer_that_grows_together_with_the_prompt_is_predicted_whole(tmp_path):
    from tokenizers import Tokenizer, models

    characters = sorted(set(prompts.SYSTEM + "USER: Why? ASSISTANT: No"))
    vocab = {piece: i for i, piece in enumerate(["<unk>", "<s>", "</s>", *characters, ": "])}
    loaded = save(tmp_path, Tokenizer(models.BPE(vocab, [(":", " ")], unk_token="<unk>")))
    tokens = prompts.tokenize(loaded, "Why?", "No", 512)
    assert tokens.tokens[tokens.answer_mask].tolist() == [vocab[": "], vocab["N"], vocab["o"], 2]


@pytest.mark.parametrize("text", ["</s>", "a </s> b", "<s>", "<image>", "<unk>", "x</s></s>"])
def test_text_never_becomes_a_control_token(tmp_path, text):
    """Neither by its name, nor as characters that grow together."""
    loaded, _ = llama_like(tmp_path)
    ids = loaded.encode(text)
    assert ids and not {0, 1, 2, 3} & set(ids)
    assert prompts.tokenize(loaded, text, text, 512).tokens.tolist().count(loaded.eos) == 1


def test_a_word_that_is_the_end_token_is_left_out(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2, "a": 3}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    assert save(tmp_path, tokenizer).encode("a </s> b <s> a") == [3, 0, 3]


def test_ids_without_rows_are_refused(tmp_path):
    config = mini_config()
    config.teacher.llm.vocab = 200
    with pytest.raises(
        UserError, match=r"config\.teacher\.tokenizer=bytes has 259 ids, but config\.teacher\.llm\.vocab=200"
    ):
        prompts.tokenizer_of(config)
    config.teacher.llm.vocab = 259
    assert prompts.tokenizer_of(config).size == 259
    loaded, _ = llama_like(tmp_path)
    config.teacher.update(tokenizer=str(tmp_path))
    config.teacher.llm.vocab = loaded.size - 1
    with pytest.raises(UserError, match=rf"has {loaded.size} ids, .*vocab={loaded.size - 1}"):
        prompts.tokenizer_of(config)
    config.teacher.enabled = False
    prompts.tokenizer_of(config)


@pytest.mark.parametrize(
    ("file", "text"),
    [("tokenizer.json", "{}"), ("tokenizer.json", "<html>"), ("tokenizer_config.json", "[]"), ("tokenizer_config.json", '{"eos_token": 3}')],
)  # fmt: skip
def test_damaged_files_are_refused_by_name(tmp_path, file, text):
    llama_like(tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(UserError, match=file.replace(".", r"\.")) as refused:
        prompts.load_tokenizer(str(tmp_path))
    assert "\n" not in str(refused.value)
