"""Text: what is predicted, what is cut, and the fixed texts of scene editing."""

import json

import numpy as np
import pytest

from dima_jax.data import prompts
from dima_jax.errors import UserError


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
