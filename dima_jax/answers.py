"""The teacher answers questions about a scene: one as it is written, or all that the records of a split hold.

The student and the trained parts of the teacher come from a run's checkpoint, the LLM's frozen base from where the run
took it (`teacher.weights`, else the run's seed).
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from dima_jax import checkpoints, early_checks, progress, weights
from dima_jax.data import sequences
from dima_jax.data.prompts import prompt_tokens, tokenizer_of
from dima_jax.errors import UserError
from dima_jax.jax_student import JaxStudent, without_prefix
from dima_jax.output_files import json_text, write_json
from dima_jax.policy import Frame, Policy
from dima_jax.sharded_model import ShardedModel
from dima_jax.teacher import generate
from dima_jax.types import SceneTokens, Text

BATCH_SIZE = 8  # questions of one frame that are answered together
PROMPT_STEP = 64  # prompts beyond config.data.max_text are padded to a multiple of this: few sizes are compiled


class Asker:
    """A run's student and teacher, ready to answer.

    max_new_tokens: most tokens of an answer. blank_images: the student sees black images. source: what answers depend on
    beside the frame and the question. UserError if the run has no teacher.
    """

    def __init__(self, run: Path, config: ConfigDict, max_new_tokens: int, blank_images: bool = False):
        if not config.teacher.enabled:
            raise UserError(f"{run} was trained without a teacher; there is nobody to ask")
        self.config, self.max_new_tokens, self.blank_images = config, max_new_tokens, blank_images
        self.source = {
            "checkpoint": str(checkpoints.step_folder(run)),
            "data": config.data.path,
            "max_tokens": max_new_tokens,
            "blank_images": blank_images,
        }
        self.tokenizer = tokenizer_of(config)
        model = ShardedModel.for_evaluation(config)
        self.params = model.load(run)
        self.policy = Policy(JaxStudent(config, without_prefix(self.params)))

        def teacher(params):
            return weights.bind(model.graph, params).teacher

        def prefill(params, tokens, prompt):
            return teacher(params).prefill(tokens, prompt, max_new_tokens=max_new_tokens)

        def step(params, token, cache):
            return generate.step(teacher(params).llm, token, cache, teacher(params).lora)

        def answer(params, tokens, prompt):
            return teacher(params).generate(tokens, prompt, max_new_tokens=max_new_tokens, end=self.tokenizer.eos)

        self._prefill, self._step, self._generate = map(jax.jit, (prefill, step, answer))

    def encode(self, frames: sequences.Drives, index: int) -> SceneTokens:
        """Scene tokens [1, ...] of key frame `index` of a split, after the frames of its history as in training."""
        first = index - min(self.config.data.history, frames[index].frame_index)
        self.policy.reset()
        for i in range(first, index + 1):
            frame = Frame.from_batch(frames[i].frame)
            self.policy.step(frame._replace(images=np.zeros_like(frame.images)) if self.blank_images else frame)
        return self.policy.student_output.tokens

    def stream(self, tokens: SceneTokens, question: str) -> Iterator[str]:
        """The answer piece by piece, as it is written. tokens: `encode`."""
        logits, cache = self._prefill(self.params, tokens, self._prompt([question]))
        written, text, shown = [], "", ""
        for _ in range(self.max_new_tokens):
            token = jnp.argmax(logits, axis=-1)
            if int(token[0]) == self.tokenizer.eos:
                break
            written.append(int(token[0]))
            text = self.tokenizer.decode(written)
            if not text.endswith("\ufffd"):  # else the rest of a character is still to come
                yield text[len(shown) :]
                shown = text
            logits, cache = self._step(self.params, token, cache)
        yield text[len(shown) :]

    def answers(self, tokens: SceneTokens, questions: list[str]) -> list[str]:
        """Answers to any number of questions about one frame, BATCH_SIZE at a time. tokens: `encode`."""
        found = []
        many = jax.tree.map(lambda x: jnp.repeat(x, BATCH_SIZE, axis=0), tokens)
        starts = range(0, len(questions), BATCH_SIZE)
        for start in progress.each(starts, len(starts), "batch", nested=True):
            some = questions[start : start + BATCH_SIZE]
            rows = self._generate(self.params, many, self._prompt(some + some[-1:] * (BATCH_SIZE - len(some))))
            found += [self._text(row) for row in np.asarray(rows)[: len(some)]]
        return found

    def _text(self, row: np.ndarray) -> str:
        ended = np.flatnonzero(row == self.tokenizer.eos)
        return self.tokenizer.decode(row[: ended[0]] if len(ended) else row).strip()

    def _prompt(self, questions: list[str]) -> Text:
        """Right-padded prompts, `data.max_text` long, or longer by steps of PROMPT_STEP where a question needs it."""
        rows = [prompt_tokens(self.tokenizer, question) for question in questions]
        longest = max(map(len, rows))
        size = max(self.config.data.max_text, -(-longest // PROMPT_STEP) * PROMPT_STEP)
        tokens = np.full((len(rows), size), self.tokenizer.pad, np.int32)
        mask = np.arange(size) < np.array([len(row) for row in rows])[:, None]
        tokens[mask] = np.concatenate(rows)
        return Text(tokens, mask, np.zeros_like(mask))


def answer_one(asker: Asker, frames: sequences.Drives, sample: str, question: str) -> None:
    """Prints the answer as it is written."""
    index = early_checks.find_sample(frames.records, sample)
    for piece in asker.stream(asker.encode(frames, index), question):
        print(piece, end="", flush=True)
    print()


def answer_split(asker: Asker, frames: sequences.Drives, out: Path, limit: int | None, show: int) -> None:
    """Answers the questions of the first `limit` frames that have any; each frame is written as it is done.

    UserError if the split holds no questions, or if the answers that a stopped run left are not of this checkpoint.
    """
    partial = out.with_name(out.name + ".partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
    except OSError as error:
        raise UserError(f"--out={out}: {error.strerror}; give a file in a folder that can be written") from None
    rows = answered(partial, asker.source | {"split": frames.split})
    asked = []
    with (
        partial.open("a") as file,
        progress.Progress(
            limit or len(frames), "frame", name=frames.split, first="compiling for the first frame"
        ) as bar,
    ):
        for index in range(len(frames)):
            if len(asked) == limit:
                break
            frame = frames[index]
            sample = frame.sample_token
            if frame.questions:
                asked.append(sample)
                if sample not in rows:
                    rows[sample] = answer_frame(asker, frames, index, frame)
                    file.write(json_text([sample, rows[sample]]) + "\n")
                    file.flush()
            bar.advance(bool(frame.questions) or limit is None)
    answers = [one for sample in asked for one in rows[sample]]
    if not answers:
        partial.unlink()
        raise UserError(f"split {frames.split!r} of {asker.config.data.path} holds no questions")
    equal = [one["answer"] == one["gt_answer"] for one in answers if one["gt_answer"]]
    print_answers(answers[:: max(1, len(answers) // max(show, 1))][:show])
    write_json(out, answers)
    partial.unlink()
    compared = f"{np.mean(equal):.1%} word for word as recorded" if equal else "no recorded answers to compare with"
    print(f"{out}: {len(answers)} answers, {compared}; split {frames.split}")


def answer_frame(asker: Asker, frames: sequences.Drives, index: int, frame: sequences.DriveFrame) -> list[dict]:
    """The recorded questions of key frame `index`, which is `frame`, with answers, in DriveLM's form, and their kinds."""
    scene = frames.frames[index].record["scene"]["token"]
    answers = asker.answers(asker.encode(frames, index), [question for _, question, _ in frame.questions])
    return [
        {
            "id": f"{scene}_{frame.sample_token}_{i}",
            "kind": kind,
            "question": question,
            "gt_answer": truth,
            "answer": answer,
        }
        for i, ((kind, question, truth), answer) in enumerate(zip(frame.questions, answers, strict=True))
    ]


def answered(partial: Path, source: dict) -> dict[str, list[dict]]:
    """{sample: its answers} that a stopped run left in `partial`: a line for `source`, then one for each frame.

    A line that was cut off is dropped from the file. UserError if the answers are of another source.
    """
    lines = partial.read_text().splitlines(keepends=True) if partial.is_file() else []
    whole = [line for line in lines if line.endswith("\n")]
    if not whole:
        partial.write_text(json_text(source) + "\n")
        return {}
    try:
        left, *rows = map(json.loads, whole)
        found = dict(rows)
    except (ValueError, TypeError) as error:
        raise UserError(f"{partial}: damaged ({error}); delete it, or give another --out") from None
    if left != source:
        raise UserError(f"{partial} holds answers of {left}, not of {source}; delete it or give another --out")
    os.truncate(partial, sum(map(len, whole)))  # json writes ASCII
    return found


def print_answers(answers: list[dict]) -> None:
    if not answers:
        return
    table = Table("question", "recorded", "teacher", show_lines=True)
    for one in answers:
        table.add_row(one["question"], one["gt_answer"], one["answer"])
    Console(width=max(Console().width, 120)).print(table)
