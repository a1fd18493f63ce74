"""All frames of a split in memory, as the real train step reads them: in vector mode a frame is a few thousand numbers.

n frames, Q questions of each, R steps, B windows of a step, S text tokens.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int
from ml_collections import ConfigDict

from dima_jax.data import questions
from dima_jax.data.order import all_mixed
from dima_jax.data.prompts import edit_texts, tokenizer_of
from dima_jax.data.records import Records
from dima_jax.types import Batch, EditText, TaughtEgo, Text
from dima_jax.vector import planning

FIELDS = ("agents", "ego", "qa")  # of a record: what questions are made of


class Words(NamedTuple):
    """text [n, Q, S]: questions of each frame. edit_text [E, S]: of every possible edit."""

    text: Text
    edit_text: EditText


class Chosen(NamedTuple):
    """Of each step: the frames, and which of their questions is asked."""

    rows: Int[np.ndarray, "R B"]
    question: Int[np.ndarray, "R B"]


def windows(config: ConfigDict, split: str) -> tuple[list[str], Batch]:
    """(tokens, windows) of `planning.recorded_frames`, without text."""
    tokens, batch = planning.recorded_frames(config, split)
    return tokens, batch.replace(text=None, edit_text=None)


def words(config: ConfigDict, split: str, count: int) -> Words:
    """`count` questions of each frame with their answers, by chance, as training would draw them."""
    tokenizer, length = tokenizer_of(config), config.data.max_text
    records, rows = Records(config.data.path, split), []
    for i in range(len(records)):
        kinds, rng = questions.candidates(records.decode(i, FIELDS)), np.random.default_rng(i)
        rows.append([questions.choose(kinds, tokenizer, length, rng)[:3] for _ in range(count)])
    text = (np.stack([[one[k] for one in row] for row in rows]) for k in range(3))
    return Words(Text(*text), EditText(*edit_texts(tokenizer, length)[:3]))


def order(frames: int, seed: int, steps: int, batch: int, count: int) -> Chosen:
    """The windows of a run, in the order in which `dima_jax.train` takes them. count: questions of a frame."""
    endless = all_mixed(frames, seed)
    rows = np.array([endless[i] for i in range(steps * batch)], np.int32).reshape(steps, batch)
    return Chosen(rows, np.random.default_rng(seed).integers(count, size=rows.shape, dtype=np.int32))


def choose(
    batch: Batch,
    words: Words | None,
    taught: TaughtEgo | None,
    rows: Int[Array, " B"],
    question: Int[Array, " B"],
) -> Batch:
    """The windows of one step, inside a jitted function. taught: of every frame."""
    chosen = jax.tree.map(lambda x: x[rows], batch).replace(taught=jax.tree.map(lambda x: x[rows], taught))
    if words is None:
        return chosen
    text = jax.tree.map(lambda x: x[rows, question], words.text)
    edit_text = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(rows), *x.shape)), words.edit_text)
    return chosen.replace(text=text, edit_text=edit_text)
