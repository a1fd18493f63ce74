"""BLEU, ROUGE-L and CIDEr against hand-computed values, and in step with the package's own call."""

import math

import numpy as np
import pytest

from dima_jax.errors import UserError
from dima_jax.metrics.language import captions

ANSWERS = ["the car turns left", "it stops", "a red truck"]
TRUTHS = ["the car turns right", "it stops", "a blue bus stands here"]


@pytest.fixture(autouse=True)
def _installed():
    if why_not := captions.why_not():
        pytest.skip(f"BLEU, ROUGE-L, CIDEr: {why_not}")


def values(answers, truths, counts=None):
    counts = np.ones(len(answers), bool) if counts is None else np.array(counts)
    found = captions.measures(answers, truths, counts)
    return {name: one.value for name, one in found.items()}


def test_hand_computed():
    """9 words for 11: brevity exp(1 - 11/9). 3 + 2 + 1 words, 2 + 1 + 0 pairs of words found."""
    found = values(ANSWERS, TRUTHS)
    brevity = math.exp(1 - 11 / 9)
    assert found["bleu_1"] == pytest.approx(brevity * 6 / 9)
    assert found["bleu_2"] == pytest.approx(brevity * math.sqrt(6 / 9 * 3 / 6))
    beta = 1.2**2
    of = [0.75, 1.0, (1 + beta) * (1 / 3) * (1 / 5) / (1 / 5 + beta * (1 / 3))]
    assert found["rouge_l"] == pytest.approx(np.mean(of))
    # CIDEr of "it stops": all its n-grams of 1 and 2 words are recorded in it alone; there are none of 3 and 4 words
    assert values(ANSWERS, TRUTHS, [True, True, False])["cider"] > values(ANSWERS, TRUTHS)["cider"] / 3 > 0
    assert values(["it stops", "x"], ["it stops", "y"])["cider"] == pytest.approx(10 * (2 / 4) / 2)


def test_they_are_the_packages_own():
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    given, recorded = ({i: [text] for i, text in enumerate(texts)} for texts in (ANSWERS, TRUTHS))
    expected = dict(zip(captions.NAMES, Bleu().compute_score(recorded, given, verbose=0)[0], strict=False))
    expected |= {
        "rouge_l": Rouge().compute_score(recorded, given)[0],
        "cider": Cider().compute_score(recorded, given)[0],
    }
    assert values(ANSWERS, TRUTHS) == pytest.approx(expected, rel=1e-12)


def test_only_what_counts_is_scored_together():
    part = values(ANSWERS, TRUTHS, [True, False, True])
    assert part == pytest.approx(values(ANSWERS[::2], TRUTHS[::2]), rel=1e-12)
    assert set(values(ANSWERS, TRUTHS, [False] * 3).values()) == {0.0}
    nothing = values(["", "a"], ["", ""])
    assert (nothing["rouge_l"], nothing["cider"]) == (0.5, 0.0) and nothing["bleu_1"] < 1e-8


def test_texts_are_split_as_the_package_does():
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    texts = ['The IDs are <c1,CAM_BACK,1088.3,497.5>, (two); it\'s "red".', "Don't stop... Go-ahead: 3.5 m!", "..."]
    expected = PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(texts)})
    assert captions.tokenize(texts) == [expected[i][0] for i in range(len(texts))]


def test_odd_texts_stay_in_their_lines():
    texts = ["", "one\ntwo\r\nthree", "a\u2028b\x0bc\x85d", "naïve 車", "\ud800 x", "\x00y\x01", " ", "a b c d"]
    found = captions.tokenize(texts)
    assert found[0] == found[6] == "" and found[1] == "one two three" and found[2] == found[7] == "a b c d"
    assert found[3] == "naïve 車" and found[4].endswith("x") and found[5].startswith("y")


def test_a_java_that_fails_is_one_line(monkeypatch, tmp_path):
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(UserError, match=r"java: the tokenizer .*broken"):
        captions.tokenize(["a"])
    java.write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(UserError, match=r"0 of 1 lines"):
        captions.tokenize(["a"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert "Java" in captions.why_not()
