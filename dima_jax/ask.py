"""Asks the teacher about a scene.

    python -m dima_jax.ask --checkpoint=runs/demo --sample=TOKEN "What should the ego vehicle do?"
    python -m dima_jax.ask --checkpoint=runs/demo --split=val --out=answers.json [--limit=100] [--show=10]

With a sample and a question the answer appears word by word. With --out every question that the records of a split hold
is answered, in the form that DriveLM's evaluation reads: [{"id": "<scene>_<sample>_<number>", "question", "gt_answer",
"answer"}, ...]; a run that is stopped goes on where it was. --show prints questions and answers beside what was recorded.

The student and the trained parts of the teacher come from the checkpoint, the LLM's frozen base from where the run took
it (`teacher.weights`, else the run's seed). The student looks at `data.history` key frames before the sample's first.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table
from tqdm import tqdm, trange

from dima_jax import checkpoints, cli, weights
from dima_jax.data import sequences
from dima_jax.data.prompts import load_tokenizer, prompt_tokens
from dima_jax.errors import UserError
from dima_jax.teacher import generate
from dima_jax.train_step import Setup
from dima_jax.types import SceneTokens, Text

BATCH_SIZE = 8  # questions of one frame that are answered together
STEP = 64  # prompts longer than config.data.max_text are padded to a multiple of this, so that few sizes are compiled


class Asker:
    """A run's student and teacher, ready to answer. max_new_tokens: most tokens of an answer. source: what answers depend on."""

    def __init__(self, run: Path, config: ConfigDict, max_new_tokens: int):
        if not config.teacher.enabled:
            raise UserError(f"{run} was trained without a teacher; there is nobody to ask")
        self.config, self.max_new_tokens = config, max_new_tokens
        self.source = {
            "checkpoint": str(checkpoints.step_folder(run)),
            "data": config.data.path,
            "max_tokens": max_new_tokens,
        }
        self.tokenizer = load_tokenizer(config.teacher.tokenizer)
        setup = Setup(config, steps_per_epoch=1)
        self.params = setup.load(run)

        def model(params):
            return weights.bind(setup.graph, params)

        def see(params, frame, bev, has_bev):
            return model(params).student(frame, bev, has_bev).tokens

        def begin(params, tokens, prompt):
            return model(params).teacher.prefill(tokens, prompt, max_new_tokens=max_new_tokens)

        def step(params, token, cache):
            teacher = model(params).teacher
            return generate.step(teacher.llm, token, cache, teacher.lora)

        def answer(params, tokens, prompt):
            return model(params).teacher.generate(tokens, prompt, max_new_tokens=max_new_tokens, end=self.tokenizer.eos)

        self._see, self._begin, self._step, self._answer = map(jax.jit, (see, begin, step, answer))

    def encode(self, frames: sequences.Drives, index: int) -> SceneTokens:
        """Scene tokens [1, ...] of a key frame, after the frames of its history."""
        first = index - min(self.config.data.history, frames[index].frame_index)
        rows, columns = self.config.student.bev_shape
        bev = jnp.zeros((1, rows * columns, self.config.student.width))
        for i in range(first, index + 1):
            tokens = self._see(self.params, frames[i].frame, bev, np.array([i > first]))
            bev = tokens.bev
        return tokens

    def stream(self, tokens: SceneTokens, question: str) -> Iterator[str]:
        """The answer piece by piece, as it is written."""
        logits, cache = self._begin(self.params, tokens, self._prompt([question]))
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
        """Answers to any number of questions about one frame, BATCH_SIZE at a time."""
        found = []
        many = jax.tree.map(lambda x: jnp.repeat(x, BATCH_SIZE, axis=0), tokens)
        for start in trange(0, len(questions), BATCH_SIZE, unit="batch", position=1, leave=False, dynamic_ncols=True):
            some = questions[start : start + BATCH_SIZE]
            rows = self._answer(self.params, many, self._prompt(some + some[-1:] * (BATCH_SIZE - len(some))))
            found += [self._text(row) for row in np.asarray(rows)[: len(some)]]
        return found

    def _text(self, row: np.ndarray) -> str:
        ended = np.flatnonzero(row == self.tokenizer.eos)
        return self.tokenizer.decode(row[: ended[0]] if len(ended) else row).strip()

    def _prompt(self, questions: list[str]) -> Text:
        """Right-padded prompts, `data.max_text` long, or longer in steps of STEP where a question needs it."""
        rows = [prompt_tokens(self.tokenizer, question) for question in questions]
        longest = max(map(len, rows))
        size = max(self.config.data.max_text, -(-longest // STEP) * STEP)
        tokens = np.full((len(rows), size), self.tokenizer.pad, np.int32)
        mask = np.arange(size) < np.array([len(row) for row in rows])[:, None]
        tokens[mask] = np.concatenate(rows)
        return Text(tokens, mask, np.zeros_like(mask))


def main(question: str | None) -> None:
    run = Path(CHECKPOINT.value) if CHECKPOINT.value else checkpoints.latest_run()
    saved, _, meta = checkpoints.load_student(run)
    config = CONFIG.value or saved
    checkpoints.check_model(meta["config"], config, str(run), (*checkpoints.STUDENT_KEYS, "teacher"))
    if OUT.value is None and (question is None or SAMPLE.value is None):
        raise UserError("give --sample=TOKEN and a question in quotes, or --out=FILE for all questions of --split")
    frames = sequences.Drives(config, SPLIT.value or config.data.val_split)
    asker = Asker(run, config, ROOM.value)
    if OUT.value is not None:
        answer_split(asker, frames, Path(OUT.value), LIMIT.value, SHOW.value)
    else:
        answer_one(asker, frames, SAMPLE.value, question)


def answer_one(asker: Asker, frames: sequences.Drives, sample: str, question: str) -> None:
    """Prints the answer as it is written."""
    index = frames.index_of(sample)
    if index is None:
        raise UserError(f"--sample={sample}: split {frames.split!r} of {frames.config.path} has no such sample")
    for piece in asker.stream(asker.encode(frames, index), question):
        print(piece, end="", flush=True)
    print()


def answer_split(asker: Asker, frames: sequences.Drives, out: Path, limit: int | None, show: int) -> None:
    """Answers the questions of the first `limit` frames that have any; each frame is written as it is done.

    UserError if the split holds no questions, or if the answers that a stopped run left are not of this checkpoint.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    rows = answered(partial, asker.source | {"split": frames.split})
    asked = []
    with partial.open("a") as file, tqdm(total=limit or len(frames), unit="frame", dynamic_ncols=True) as bar:
        for index in range(len(frames)):
            if len(asked) == limit:
                break
            frame = frames[index]
            sample = frame.sample_token
            if frame.questions:
                asked.append(sample)
                if sample not in rows:
                    rows[sample] = answer_frame(asker, frames, index, frame)
                    file.write(json.dumps([sample, rows[sample]]) + "\n")
                    file.flush()
            bar.update(bool(frame.questions) or limit is None)
    answers = [one for sample in asked for one in rows[sample]]
    if not answers:
        partial.unlink()
        raise UserError(f"split {frames.split!r} of {asker.config.data.path} holds no questions")
    out.write_text(json.dumps(answers, indent=1))
    partial.unlink()
    equal = np.mean([one["answer"] == one["gt_answer"] for one in answers])
    print_answers(answers[:: max(1, len(answers) // max(show, 1))][:show])
    print(f"{out}: {len(answers)} answers, {equal:.1%} word for word as recorded; split {frames.split}")


def answer_frame(asker: Asker, frames: sequences.Drives, index: int, frame: sequences.DriveFrame) -> list[dict]:
    """The recorded questions of key frame `index`, which is `frame`, with answers, in DriveLM's form."""
    scene = frames.frames[index].record["scene"]["token"]
    answers = asker.answers(asker.encode(frames, index), [question for _, question, _ in frame.questions])
    return [
        {"id": f"{scene}_{frame.sample_token}_{i}", "question": question, "gt_answer": truth, "answer": answer}
        for i, ((_, question, truth), answer) in enumerate(zip(frame.questions, answers, strict=True))
    ]


def answered(partial: Path, source: dict) -> dict[str, list[dict]]:
    """{sample: its answers} that a stopped run left in `partial`: a line for `source`, then one for each frame.

    A line that was cut off is dropped from the file. UserError if the answers are of another source.
    """
    lines = partial.read_text().splitlines(keepends=True) if partial.is_file() else []
    whole = [line for line in lines if line.endswith("\n")]
    if not whole:
        partial.write_text(json.dumps(source) + "\n")
        return {}
    left = json.loads(whole[0])
    if left != source:
        raise UserError(f"{partial} holds answers of {left}, not of {source}; delete it or give another --out")
    os.truncate(partial, sum(map(len, whole)))  # json writes ASCII
    return dict(map(json.loads, whole[1:]))


def print_answers(answers: list[dict]) -> None:
    if not answers:
        return
    table = Table("question", "recorded", "teacher", show_lines=True)
    for one in answers:
        table.add_row(one["question"], one["gt_answer"], one["answer"])
    Console(width=max(Console().width, 120)).print(table)


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    CONFIG = cli.define_config()
    CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Folder of a run with a teacher; default: the last run.")
    SAMPLE = flags.DEFINE_string("sample", None, "Sample token of the key frame to ask about.")
    SPLIT = flags.DEFINE_string("split", None, "Split that holds it; default: the config's val split.")
    OUT = flags.DEFINE_string("out", None, "Answer all recorded questions of the split into this JSON file.")
    LIMIT = flags.DEFINE_integer(
        "limit", None, "With --out: only the first N frames that have questions.", lower_bound=1
    )
    SHOW = flags.DEFINE_integer("show", 10, "With --out: print so many answers, spread over all.")
    ROOM = flags.DEFINE_integer("max_tokens", 64, "Most tokens of an answer.")
    cli.run(main, words="QUESTION")
