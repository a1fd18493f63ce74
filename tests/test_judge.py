"""A small random LLaMA as judge: grades are the model's probabilities, whatever is graded beside them."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from dima_jax import judge
from dima_jax.convert import llm_folder
from dima_jax.convert.rules import Target
from dima_jax.data.prompts import FolderTokenizer, prompt_tokens
from dima_jax.errors import UserError
from tests.convert import llama_files

WORDS = [
    "<unk>",
    "<s>",
    "</s>",
    "Yes",
    "yes",
    "No",
    "no",
    "ASSISTANT",
    ":",
    "stops",
    "turns",
    "same",
    "answer",
    "student",
]
SIZES = dict(
    layers=2, width=16, heads=4, kv_heads=2, ffn_width=24, vocab=len(WORDS), rope_theta=10000.0, rms_eps=1e-5, tied=True
)  # fmt: skip
QUESTIONS = ["What does it do?"] * 3 + ["?"]
TRUTHS = ["stops", "turns " * 90, "stops", "turns"]
ANSWERS = ["turns", "stops", "yes no", "turns"]


def write(folder, words=WORDS):
    writer = llm_folder.Writer(folder, SIZES, "float32")
    rng = np.random.default_rng(0)
    for path, shape in writer.shapes.items():
        value = np.ones(shape) if path.endswith("scale") else rng.normal(size=shape)
        for i, one in enumerate(value if path.startswith("layers/") else [value]):
            writer.write(Target(path, i if path.startswith("layers/") else None), one.astype(np.float32))
    writer.close()
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("llm"))


@pytest.fixture(scope="module")
def local(folder):
    return judge.Judge(folder)


def test_a_grade_is_the_probability_of_yes(folder, local):
    grades = local.grades(QUESTIONS, TRUTHS, ANSWERS)
    assert len(set(grades.round(6))) == 4
    tokenizer = FolderTokenizer(str(folder))
    for question, truth, answer, grade in zip(QUESTIONS, TRUTHS, ANSWERS, grades, strict=True):
        row = prompt_tokens(tokenizer, judge.TEXT.format(question=question, truth=truth, answer=answer))
        last = llama_files.logits(folder, SIZES, np.array([row]))[0, -1]
        yes, no = np.exp(last[[3, 4]]).sum(), np.exp(last[[5, 6]]).sum()
        assert grade == pytest.approx(yes / (yes + no), abs=0.02)  # bfloat16


def test_controls_are_grades_of_right_and_wrong_answers(local):
    found = local.controls(QUESTIONS, TRUTHS)
    assert found["recorded_answer"] == pytest.approx(local.grades(QUESTIONS, TRUTHS, TRUTHS).mean())
    others = [TRUTHS[1], TRUTHS[2], TRUTHS[3], TRUTHS[0]]
    assert found["another_answer"] == pytest.approx(local.grades(QUESTIONS, TRUTHS, others).mean())


def test_long_texts_are_cut_and_what_is_asked_stays(local, monkeypatch):
    monkeypatch.setattr(judge, "LONGEST", 100)
    row = local._prompt("a " * 5000, "stops " * 5000, "turns " * 5000)
    assert 50 < len(row) <= 100
    assert row[-2:] == local.tokenizer.encode("ASSISTANT:") and {9, 10} <= set(row)


def test_refusals(folder, tmp_path):
    with pytest.raises(UserError, match=r"absent.llm\.json: no such file; .*convert llama"):
        judge.Judge(tmp_path / "absent")
    words = [f"w{i}" if 3 <= i <= 6 else word for i, word in enumerate(WORDS)]
    with pytest.raises(UserError, match="no words for yes and no"):
        judge.Judge(write(tmp_path / "silent", words))
    with pytest.raises(UserError, match="more ids than the model"):
        judge.Judge(write(tmp_path / "large", [*WORDS, "another"]))
    odd = write(tmp_path / "odd")
    index = json.loads((odd / "llm.json").read_text())
    (odd / "llm.json").write_text(json.dumps(index | {"sizes": index["sizes"] | {"heads": 3}}))
    with pytest.raises(UserError, match=r"odd: its sizes are no LLaMA's .*convert it again"):
        judge.Judge(odd)
