"""What the recorded questions and answers say of a key frame, as one text of a few tokens for a frozen LLM to read.

The pairs are those that a teacher may be asked: DriveLM's or, of a frame without any, those that are made by rule
(`questions.candidates`). They stand one after the other as turns, `USER: {question} ASSISTANT: {answer}` and the end token
(`prompts`), behind the begin token alone: the system text says the same of every frame.

Frames can be compared where they say the same things, so all choose by one order of questions: first the one whose answer
tells most for each token that it takes, which is the entropy of its answers over the frames (a frame that is not asked counts
as an answer of its own) divided by its mean length. A frame takes in that order whatever still fits. The order is made from at
most MOST_FRAMES frames of the split, spread evenly: who reads which frames does not matter.
"""

import collections
import math
from collections.abc import Mapping

import numpy as np

from dima_jax.data import questions
from dima_jax.data.facts import FIELDS, MOST_FRAMES, by_number
from dima_jax.data.prompts import Tokens, turn_tokens
from dima_jax.data.records import Records

Pair = tuple[str, str]  # question and answer


class FrameTexts:
    """The texts of a split. length: tokens of each, what is longer is cut."""

    def __init__(self, records: Records, tokenizer, length: int):
        self._records, self._tokenizer, self._length = records, tokenizer, length
        step = -(-len(records) // MOST_FRAMES) or 1
        asked = [asked_of(records.decode(i, FIELDS)) for i in range(0, len(records), step)]
        self.order = question_order(asked, tokenizer)

    def tokens(self, number: int) -> Tokens:
        """The text of a record, right-padded to `length`. If no pair fits, the first is cut (`Tokens.cut`)."""
        return text_of(self._records.decode(number, FIELDS), self.order, self._tokenizer, self._length)


def kind_of(question: str) -> str:
    """What makes two questions one: where their objects are does not count, which number they have does."""
    return by_number(question).lower()


def pairs_of(record: Mapping) -> list[Pair]:
    """DriveLM's questions and answers about a record; without any, those that are made by rule."""
    return next(filter(None, questions.candidates(record)))


def asked_of(record: Mapping) -> dict[str, Pair]:
    """{kind of question: the first of this kind} of a record."""
    found: dict[str, Pair] = {}
    for pair in pairs_of(record):
        found.setdefault(kind_of(pair[0]), pair)
    return found


def question_order(frames: list[dict[str, Pair]], tokenizer) -> dict[str, int]:
    """{kind of question: its place}, those first whose answers tell most for each token. frames: of `asked_of`."""
    answers = collections.defaultdict(collections.Counter)
    lengths: collections.Counter = collections.Counter()
    for frame in frames:
        for kind, pair in frame.items():
            answers[kind][pair[1]] += 1
            lengths[kind] += len(turn_tokens(tokenizer, *pair))
    worth = {
        kind: entropy([*counts.values(), len(frames) - counts.total()]) * counts.total() / lengths[kind]
        for kind, counts in answers.items()
    }
    return {kind: place for place, kind in enumerate(sorted(worth, key=lambda kind: (-worth[kind], kind)))}


def entropy(counts: list[int]) -> float:
    """Of a choice that was made so often for each outcome, in bits."""
    total = sum(counts)
    return -sum(count / total * math.log2(count / total) for count in counts if count)


def text_of(record: Mapping, order: Mapping[str, int], tokenizer, length: int) -> Tokens:
    """The tokens of a record: in the order of questions whatever fits; kinds without a place are last."""
    begin = [] if tokenizer.bos is None else [tokenizer.bos]
    pairs = sorted(pairs_of(record), key=lambda pair: order.get(kind_of(pair[0]), len(order)))
    turns = [turn_tokens(tokenizer, *pair) for pair in pairs]
    ids = list(begin)
    for turn in turns:
        if len(ids) + len(turn) <= length:
            ids += turn
    if len(ids) == len(begin):
        ids += turns[0]
    kept = ids[:length]
    mask = np.arange(length) < len(kept)
    tokens = np.full(length, tokenizer.pad, np.int32)
    tokens[: len(kept)] = kept
    return Tokens(tokens, mask, np.zeros(length, bool), len(ids) - len(kept))
