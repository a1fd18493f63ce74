"""A LLaMA on this computer grades answers: no key, no network, the same grade each time.

It reads question, recorded answer and given answer, and is asked whether the two say the same. The grade is the
probability of "yes" against "no" as the next word, in [0, 1]. A small model may not be able to tell: `controls` are its
grades of what is right and of what is wrong by construction.
"""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from dima_jax import progress, weights
from dima_jax.convert import llm_folder
from dima_jax.data.prompts import FolderTokenizer, prompt_tokens
from dima_jax.errors import UserError
from dima_jax.teacher.llama import Llama

BATCH_SIZE = 8
PROMPT_STEP = 64  # prompts are padded to a multiple of it: few sizes are compiled
LONGEST = 2048  # tokens of a prompt; what is beyond is cut from its answers
TEXT = (
    "A question about a driving scene: {question} The reference answer is: {truth} A student answered: {answer} "
    "Does the student's answer say the same as the reference answer? Reply with yes or no."
)
WORDS = (("Yes", "yes", " Yes", " yes"), ("No", "no", " No", " no"))


class Judge:
    """The LLM of a folder that `python -m dima_jax.convert llama` wrote, in bfloat16. UserError if it is not one."""

    def __init__(self, folder: Path):
        sizes = llm_folder.read_index(folder)["sizes"]
        self.tokenizer = FolderTokenizer(str(folder))
        if self.tokenizer.size > sizes["vocab"]:
            raise UserError(f"--judge={folder}: its tokenizer has more ids than the model; convert it again")
        try:
            model = nnx.eval_shape(lambda: Llama(**sizes, dtype="bfloat16", remat=False, rngs=nnx.Rngs(0)))
        except (TypeError, ValueError) as error:
            raise UserError(f"--judge={folder}: its sizes are no LLaMA's ({error}); convert it again") from None
        graph, abstract = weights.split(model)
        here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        self.params = llm_folder.load(folder, abstract, dict.fromkeys(abstract, here))
        ids = [{i for word in words for i in self._first(word)} for words in WORDS]
        self.yes, self.no = (jnp.array(sorted(one)) for one in (ids[0] - ids[1], ids[1] - ids[0]))
        if not (self.yes.size and self.no.size):
            raise UserError(f"--judge={folder}: its tokenizer has no words for yes and no; give an English model")

        @jax.jit
        def grade(params: weights.Params, tokens: Int[Array, "B S"], mask: Bool[Array, "B S"]) -> Float[Array, " B"]:
            llm = weights.bind(graph, params)
            states = llm(llm.embed_tokens(tokens), mask, prefix=0, lora=None)
            last = jnp.take_along_axis(states, (mask.sum(axis=1) - 1)[:, None, None], axis=1)
            scores = jax.nn.log_softmax(llm.logits(last)[:, 0])
            return jax.nn.sigmoid(
                jax.nn.logsumexp(scores[:, self.yes], axis=1) - jax.nn.logsumexp(scores[:, self.no], axis=1)
            )

        self._grade = grade

    def grades(
        self, questions: Sequence[str], truths: Sequence[str], answers: Sequence[str]
    ) -> Float[np.ndarray, " n"]:
        """In [0, 1]: whether each answer says the same as the recorded one."""
        rows = [self._prompt(*one) for one in zip(questions, truths, answers, strict=True)]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))  # alike in length: little padding
        result = np.zeros(len(rows))
        starts = range(0, len(rows), BATCH_SIZE)
        for start in progress.each(starts, len(starts), "batch", name="judge"):
            some = order[start : start + BATCH_SIZE]
            padded = [rows[i] for i in some] + [rows[some[-1]]] * (BATCH_SIZE - len(some))
            size = -(-max(map(len, padded)) // PROMPT_STEP) * PROMPT_STEP
            tokens = np.full((BATCH_SIZE, size), self.tokenizer.pad, np.int32)
            mask = np.arange(size) < np.array([len(row) for row in padded])[:, None]
            tokens[mask] = np.concatenate(padded)
            result[some] = np.asarray(self._grade(self.params, tokens, mask))[: len(some)]
        return result

    def controls(self, questions: Sequence[str], truths: Sequence[str]) -> dict[str, float]:
        """Mean grades of the recorded answers themselves, and of the recorded answers of the next question that was
        answered otherwise.
        """
        others = [
            next(
                (truths[(i + k) % len(truths)] for k in range(1, len(truths)) if truths[(i + k) % len(truths)] != own),
                "",
            )
            for i, own in enumerate(truths)
        ]
        return {
            "recorded_answer": float(self.grades(questions, truths, truths).mean()),
            "another_answer": float(self.grades(questions, truths, others).mean()),
        }

    def _prompt(self, question: str, truth: str, answer: str) -> list[int]:
        """A prompt of at most LONGEST tokens; what is cut is the end of the texts, never what is asked about them."""
        length = max(map(len, (question, truth, answer)))
        while True:
            text = TEXT.format(question=question[:length], truth=truth[:length], answer=answer[:length])
            row = prompt_tokens(self.tokenizer, text)
            if len(row) <= LONGEST or not length:
                return row[-LONGEST:]
            length = length * 3 // 4

    def _first(self, word: str) -> list[int]:
        """The first id of a word where an answer begins."""
        before, with_word = self.tokenizer.encode("ASSISTANT:"), self.tokenizer.encode(f"ASSISTANT:{word}")
        shared = next(
            (i for i, pair in enumerate(zip(before, with_word, strict=False)) if pair[0] != pair[1]), len(before)
        )
        return with_word[shared : shared + 1]
