"""What questions ask about as labels, for a student that learns it without an LLM (`auxiliary.facts`).

A fact is a question of the training split and one phrase of an answer to it: ("what is the moving status of object c1?",
"going ahead"). It is known of a frame of which the question is asked, and holds if the answer says so. So the labels say
what the answers say, and of the same frames:

* The pairs are those that a teacher may be asked: of the first kind that fits, DriveLM's or made by rule, and of at most
  `data.max_text` tokens (`questions.choose`).
* An answer is the set of its phrases, which end at a stop, a comma or an "and". Their order is lost.
* Objects are named by number alone, c1, c2, ... in texts. Where the first text of a frame says that one is, is a fact of
  its own: "where is c1?", by camera, or by direction and distance.
* Of all facts the NUM_FACTS that vary most are chosen: by the smaller one of the number of frames in which they hold and
  of those in which they do not; at least LEAST of the frames. What is always so, and what is hardly ever said, is left out.

The choice is made from at most MOST_FRAMES frames, spread evenly.
"""

import collections
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from dima_jax.constants import NUM_FACTS
from dima_jax.data import questions
from dima_jax.data.prompts import fits, load_tokenizer
from dima_jax.data.records import Records
from dima_jax.errors import UserError
from dima_jax.types import Facts

MOST_FRAMES = 2000
LEAST = 0.005  # share of the frames
NAME = re.compile(r"<\s*(?P<id>c\d+)\s*,\s*(?P<camera>[^<>,]+),[^<>]*>")  # DriveLM's: an id, a camera, a pixel
PLACE = re.compile(r"(?P<id>c\d+) \((?P<along>\d+) m (?P<ahead>ahead|behind), (?P<across>\d+) m (?P<side>left|right)\)")
ENDS = re.compile(r"[.;?!]\s+|,\s+(?:and\s+)?|\s+and\s+")  # of a phrase
RANGES = (10, 20, 40)  # meters
FIELDS = ("qa", "agents", "ego")  # of a record

Said = dict[str, set[str]]  # {question: phrases of the answer}


class Fact(NamedTuple):
    """asked, held: in how many of the frames that it was chosen from."""

    question: str
    phrase: str
    asked: int
    held: int


def said(record: Mapping, tokenizer, max_text: int) -> Said:
    """What the answers say of a record; of every question that a teacher may be asked of it."""
    for kind in questions.candidates(record):
        pairs = [pair for pair in kind if fits(tokenizer, *pair, max_text)]
        if pairs:
            return of_pairs(pairs)
    return {}


def of_pairs(pairs: Sequence[tuple[str, str]]) -> Said:
    """{question: phrases}, in lower case, with objects by number, and the places of objects."""
    found: Said = {}
    for pair in pairs:
        for pattern, place in ((NAME, _camera), (PLACE, _direction)):
            for name in (match for text in pair for match in pattern.finditer(text)):
                found.setdefault(f"where is {name['id']}?", place(name))
    for question, answer in (map(by_number, pair) for pair in pairs):
        phrases = (phrase.strip(" .").lower() for phrase in ENDS.split(answer))
        found.setdefault(question.lower(), set()).update(filter(None, phrases))
    return found


def by_number(text: str) -> str:
    """A text with its objects by number alone, c1, c2, ...: without camera, pixel, direction and distance."""
    return PLACE.sub(r"\g<id>", NAME.sub(r"\g<id>", text))


def _camera(name: re.Match) -> set[str]:
    return {name["camera"].strip()}


def _direction(name: re.Match) -> set[str]:
    distance = math.hypot(int(name["along"]), int(name["across"]))
    nearer = next((f"within {limit} m" for limit in RANGES if distance <= limit), "farther")
    return {name["ahead"], name["side"], nearer}


def choose(frames: Iterable[Said]) -> tuple[Fact, ...]:
    """The facts that vary most, most first; by the text where they vary alike."""
    asked: collections.Counter = collections.Counter()
    held: collections.Counter = collections.Counter()
    total = 0
    for frame in frames:
        total += 1
        asked.update(frame.keys())
        held.update((question, phrase) for question, phrases in frame.items() for phrase in phrases)
    facts = [Fact(*fact, asked[fact[0]], count) for fact, count in held.items()]
    facts = [fact for fact in facts if _varies(fact) >= max(LEAST * total, 1)]
    return tuple(sorted(facts, key=lambda fact: (-_varies(fact), fact))[:NUM_FACTS])


def _varies(fact: Fact) -> int:
    return min(fact.held, fact.asked - fact.held)


def of_training(config) -> tuple[Fact, ...]:
    """The facts of a config's training split. UserError if its answers never differ."""
    records, data = Records(config.data.path, config.data.train_split), config.data
    facts = _of_records(data.path, data.train_split, records.data_hash, config.teacher.tokenizer, data.max_text)
    if not facts:
        raise UserError(
            f"config.auxiliary.facts=True: no answer of split {data.train_split!r} of {data.path} says in one frame what it "
            "does not say in another; give records with questions, or set it to False"
        )
    return facts


@lru_cache(maxsize=4)
def _of_records(path: str, split: str, _data_hash: str, tokenizer: str, max_text: int) -> tuple[Fact, ...]:
    records, words = Records(path, split), load_tokenizer(tokenizer)
    chosen = range(0, len(records), -(-len(records) // MOST_FRAMES) or 1)
    return choose(said(records.decode(i, FIELDS), words, max_text) for i in chosen)


def targets(facts: tuple[Fact, ...], frame: Said) -> Facts:
    """Which facts are known of a frame and which hold, [NUM_FACTS] each, without batch axis; padding is not known."""
    known, holds = np.zeros(NUM_FACTS, bool), np.zeros(NUM_FACTS, bool)
    for i, fact in enumerate(facts):
        known[i] = fact.question in frame
        holds[i] = fact.phrase in frame.get(fact.question, ())
    return Facts(known, holds)
