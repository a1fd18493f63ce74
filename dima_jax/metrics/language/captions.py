"""BLEU-1 to 4, ROUGE-L and CIDEr as DriveLM's challenge computes them: COCO's caption evaluation.

Counts and scores are those of the package pycocoevalcap, texts are split by the Stanford tokenizer that lies in it,
which needs Java; `why_not` says what is missing. The tokenizer is called here: the package's own call writes into its
installation, reads text in the computer's encoding, and falls out of step at a line break.

BLEU is of all answers at once, the others are means over answers. CIDEr weights words by how many of the recorded
answers hold them: it depends on which questions are scored together.
"""

import functools
import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from dima_jax.errors import UserError
from dima_jax.metrics.language.measure import Measure, mean

NAMES = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider")
ORDERS = 4  # words in the longest n-gram of BLEU
SMALL, TINY = 1e-9, 1e-15  # pycocoevalcap's, which keep BLEU from 0 / 0


def why_not() -> str | None:
    """What these scores lack here; None if they can be computed."""
    if importlib.util.find_spec("pycocoevalcap") is None:
        return 'needs pycocoevalcap: pip install ".[language]"'
    if shutil.which("java") is None:
        return "needs Java for the tokenizer: install a Java runtime, so that `java` is found"
    return None


def tokenize(texts: Sequence[str]) -> list[str]:
    """Each text as lower-case words with a blank between, without punctuation. UserError if Java fails."""
    from pycocoevalcap.tokenizer import ptbtokenizer

    lines = [" ".join(text.replace("\0", " ").split()).encode(errors="replace").decode() for text in texts]
    asked = sorted({line for line in lines if line})
    jar = Path(ptbtokenizer.__file__).with_name(ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR)
    command = ["java", "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    try:
        done = subprocess.run(
            [*command, "-encoding", "UTF-8"], input="\n".join([*asked, ""]).encode(), capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        output = getattr(error, "stderr", None) or str(error).encode()
        last = output.decode(errors="replace").strip().splitlines()[-1:]
        raise UserError(
            f"java: the tokenizer of pycocoevalcap failed ({' '.join(last)}); is it a whole runtime?"
        ) from None
    split = done.stdout.decode(errors="replace").split("\n")[:-1]
    if len(split) != len(asked):
        raise UserError(f"java: the tokenizer returned {len(split)} of {len(asked)} lines; is its runtime whole?")
    words = {
        line: " ".join(word for word in row.split() if word not in ptbtokenizer.PUNCTUATIONS)
        for line, row in zip(asked, split, strict=True)
    }
    return [words.get(line, "") for line in lines]


def measures(answers: Sequence[str], truths: Sequence[str], counts: Bool[np.ndarray, " n"]) -> dict[str, Measure]:
    """{name of `NAMES`: measure} of tokenized answers over the questions that count."""
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    kept = np.flatnonzero(counts)
    given, recorded = ({int(i): [texts[i]] for i in kept} for texts in (answers, truths))
    bleu, rouge, cider = np.zeros((len(counts), 2 * ORDERS + 2)), np.zeros(len(counts)), np.zeros(len(counts))
    if len(kept):
        scorer = BleuScorer(n=ORDERS)
        for i in kept:
            scorer += (answers[i], [truths[i]])
        bleu[kept] = [[*one["correct"], *one["guess"], one["testlen"], one["reflen"][0]] for one in scorer.ctest]
        rouge[kept] = Rouge().compute_score(recorded, given)[1]
        if any(truths[i] for i in kept):  # else there is no word to weight
            cider[kept] = Cider().compute_score(recorded, given)[1]
    result = {
        f"bleu_{order}": Measure(bleu, counts, functools.partial(_bleu, order=order)) for order in range(1, ORDERS + 1)
    }
    return result | {"rouge_l": mean(rouge, counts), "cider": mean(cider, counts)}


def _bleu(sums: Float[np.ndarray, "B 10"], order: int) -> Float[np.ndarray, " B"]:
    """BLEU of n-grams up to `order` words. sums: those found and those written of 1 to 4 words, words written, words
    recorded. The formula of `BleuScorer.compute_score`, for many resamples at once.
    """
    precision = (sums[:, :order] + TINY) / (sums[:, ORDERS : ORDERS + order] + SMALL)
    ratio = (sums[:, -2] + TINY) / (sums[:, -1] + SMALL)
    return precision.prod(axis=1) ** (1 / order) * np.exp(np.minimum(1 - 1 / ratio, 0.0))
