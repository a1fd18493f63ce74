"""`python -m dima_jax.score_answers`: from files to strict JSON; DriveLM's baseline has the published rule's scores."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dima_jax import score_answers
from dima_jax.errors import UserError
from dima_jax.metrics.language import captions
from tests import realdata

ROOT = Path(__file__).parents[1]


def command(*flags):
    words = [sys.executable, "-m", "dima_jax.score_answers", *(f"--{flag}" for flag in flags)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


def score(answers, truth=None, blank=None, out=None, judge=None):
    score_answers.score(*(value and str(value) for value in (answers, truth, blank, out, judge)))


@pytest.fixture
def answers(tmp_path):
    rows = [
        {"id": f"s{i // 4}_f{i}_0", "kind": "planning", "question": "Is it?", "gt_answer": "Yes.", "answer": "Yes." if i % 3 else "No."}
        for i in range(24)
    ]  # fmt: skip
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(rows))
    path.with_name("blank.json").write_text(json.dumps([row | {"answer": "No."} for row in rows]))
    return path


def test_files_in_strict_json_out(answers, tmp_path):
    out = tmp_path / "new" / "scores.json"
    result = command(f"answers={answers}", f"blank={answers.with_name('blank.json')}", f"out={out}")
    assert result.returncode == 0, result.stderr
    assert "better with images" in result.stdout and str(out) in result.stdout
    scores = json.loads(out.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert (scores["format"], scores["version"]) == ("dima_jax.answer_scores", 1)
    assert scores["groups"]["planning"]["yes_no"]["value"] == pytest.approx(2 / 3)
    assert scores["blank"]["differences"]["all"]["yes_no"]["verdict"] == "better_with_images"
    assert scores["header"] | {"commit": 0} == {
        "commit": 0,
        "answers": {"file": str(answers), "hash": scores["header"]["truth"]["hash"]},
        "blank": {"file": str(answers.with_name("blank.json")), "hash": scores["header"]["blank"]["hash"]},
        "truth": {"file": str(answers), "hash": scores["header"]["answers"]["hash"]},
        "questions": 24,
        "frames": 24,
        "scenes": 6,
    }
    assert scores["captions"]["available"] == (captions.why_not() is None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(answers="absent.json"), r"absent\.json: No such file.*; give a JSON file"),
        (dict(answers="{a}", blank="{a}"), "is --answers itself"),
        (dict(answers="{a}", blank="absent.json"), r"absent\.json: No such file"),
        (dict(answers="{a}", truth="{short}"), r"answers\.json: 2 ids that .*short\.json does not have"),
        (dict(answers="{short}", truth="{a}"), r"short\.json: 2 ids of .*answers\.json missing"),
        (dict(answers="{a}", blank="{short}"), r"short\.json: 2 ids of .*answers\.json missing"),
        (dict(answers="{a}", out="/proc/none/x.json"), "/proc/none/x.json: .*can be written"),
        (dict(answers="{a}", out="/proc"), "/proc is a folder; give a file"),
    ],
)
def test_refusals(answers, given, message):
    short = answers.with_name("short.json")
    short.write_text(json.dumps(json.loads(answers.read_text())[2:]))
    with pytest.raises(UserError, match=message):
        score(**{name: value.format(a=answers, short=short) for name, value in given.items()})


def test_a_refusal_is_one_line(answers):
    for flags, words in (
        ((), "--answers is missing"),
        ((f"answers={answers}", "judge=/nowhere"), "llm.json: no such file"),
    ):
        result = command(*flags)
        assert result.returncode == 2 and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
        assert words in result.stderr


def test_drivelms_baseline(tmp_path):
    """The scores that DriveLM's own evaluation gives its baseline, to 1e-6."""
    if why_not := captions.why_not():
        pytest.skip(f"BLEU, ROUGE-L, CIDEr: {why_not}")
    folder = realdata.folder()
    expected = json.loads((folder / "derived" / "drivelm_output_scores.json").read_text())
    challenge, out = folder / "drivelm_challenge", tmp_path / "scores.json"
    score(challenge / "output.json", challenge / "test_eval.json", out=out)
    own = json.loads(out.read_text())["drivelm"]["scores"]
    found = {name: row["value"] for name, row in own.items()}
    assert found == pytest.approx(
        {
            "accuracy": expected["accuracy"],
            "match": expected["match_f1_x100"] / 100,
            **{f"bleu_{i}": value for i, value in enumerate(expected["Bleu"], 1)},
            "rouge_l": expected["ROUGE_L"],
            "cider": expected["CIDEr"],
        },
        abs=1e-6,
    )
    counts = expected["n"]
    assert (own["accuracy"]["questions"], own["bleu_1"]["questions"], own["match"]["questions"]) == (
        counts["accuracy"],
        counts["language"],
        counts["match"],
    )
    with pytest.raises(UserError, match="17 ids with another question"):
        score(challenge / "submission.json", challenge / "test_eval.json")
