"""Files of answers, and of what was recorded, as `score_answers` reads them; refusals name ids.

Answers: a JSON list of {"id", "answer"[, "question", "gt_answer", "kind"]}, what `python -m dima_jax.ask --out` and
DriveLM's baseline write, or DriveLM's submission, whose `results` are such a list. Recorded: DriveLM's question file
({scene: {"key_frames": {frame: {"QA": {kind: [{"Q", "A"[, "tag"]}]}}}}}), in which question number i of a frame, in the
order of `constants.QUESTION_KINDS`, has the id "<scene>_<frame>_<i>"; or a list like the answers', with `gt_answer`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dima_jax.constants import QUESTION_KINDS
from dima_jax.errors import UserError

LONGEST = 20_000  # characters of a text
NAMED = 3  # ids that a refusal names
IMAGE = "<image>"  # DriveLM's baseline puts it before the question


class Question(NamedTuple):
    """A question as it was recorded. kind: one of `constants.QUESTION_KINDS`, or "" where the file has none. tags: DriveLM's, or None."""

    id: str
    scene: str
    frame: str
    kind: str
    question: str
    truth: str
    tags: tuple[int, ...] | None


class Rows(NamedTuple):
    """{id: its entry} of a file, its path, and the SHA-256 of its bytes, 16 digits."""

    path: str
    hash: str
    rows: dict[str, dict[str, str]]


def read_answers(path: str) -> Rows:
    """A file of answers. UserError if it is not one, and for an id that is there twice or has no text for an answer."""
    content, digest = _read(path)
    return Rows(path, digest, _rows(path, content, "answer"))


def read_recorded(path: str) -> tuple[list[Question], str]:
    """(questions, hash) of DriveLM's file or of a list with recorded answers. UserError if it is neither."""
    content, digest = _read(path)
    if isinstance(content, dict) and "results" not in content:
        return _drivelm(path, content), digest
    return recorded_in(Rows(path, digest, _rows(path, content, "gt_answer"))), digest


def recorded_in(file: Rows) -> list[Question]:
    """The questions that a list of answers brings along. UserError for ids without a question or recorded answer."""
    for key in ("question", "gt_answer"):
        _refuse(
            file.path,
            [name for name, row in file.rows.items() if not row.get(key)],
            f"without {key!r}; give --truth=FILE, DriveLM's question file",
        )
    odd = [name for name in file.rows if len(name.rsplit("_", 2)) != 3]
    _refuse(file.path, odd, "that are not <scene>_<frame>_<number>; name them so, or give --truth=FILE")
    return [
        Question(name, *name.rsplit("_", 2)[:2], row.get("kind", ""), _plain(row["question"]), row["gt_answer"], None)
        for name, row in file.rows.items()
    ]


def aligned(file: Rows, questions: Sequence[Question], truth: str) -> list[str]:
    """The answer to each question. truth: the name of the file that the questions are of.

    UserError for missing and extra ids, and for those whose own question or recorded answer is another one.
    """
    known = {one.id for one in questions}
    _refuse(file.path, [one.id for one in questions if one.id not in file.rows], f"of {truth} missing; answer them all")
    _refuse(file.path, [name for name in file.rows if name not in known], f"that {truth} does not have; remove them")
    rows = [(one, file.rows[one.id]) for one in questions]
    asked = [one.id for one, row in rows if _plain(row.get("question", one.question)) != _plain(one.question)]
    _refuse(file.path, asked, f"with another question than in {truth}; answer that one")
    told = [one.id for one, row in rows if (row.get("gt_answer") or one.truth) != one.truth]
    _refuse(file.path, told, f"with another recorded answer than in {truth}; give the file that was asked from")
    return [row["answer"] for _, row in rows]


def _read(path: str) -> tuple[Any, str]:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give a JSON file of answers") from None
    try:
        content = json.loads(data, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is no JSON that can be read ({_short(error)}); write it again") from None
    return content, hashlib.sha256(data).hexdigest()[:16]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. ValueError for a key that is there twice, of which Python would keep the last."""
    twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if twice:
        raise ValueError(f"the key {twice[0]!r:.60} is there twice")
    return dict(pairs)


def _rows(path: str, content: Any, needed: str) -> dict[str, dict[str, str]]:
    if isinstance(content, dict):
        content = content.get("results")
    form = f'[{{"id": ..., "question": ..., "{needed}": ...}}, ...]'
    if not isinstance(content, list):
        raise UserError(f"{path}: is not a list of answers; it must be {form}")
    if not content:
        raise UserError(f"{path}: holds no answers")
    for number, row in enumerate(content):
        if not isinstance(row, dict) or not isinstance(row.get("id"), str) or not row["id"]:
            raise UserError(f"{path}: entry {number} has no id; entries are {form}")
    ids = [row["id"] for row in content]
    _refuse(path, [name for name, count in Counter(ids).items() if count > 1], "there twice; keep one of each")
    texts = {
        row["id"]: {key: row[key] for key in ("question", "gt_answer", "answer", "kind") if key in row}
        for row in content
    }
    for key in ("question", "gt_answer", "answer", "kind"):
        odd = [name for name, row in texts.items() if (key in row or key == needed) and not _is_text(row.get(key))]
        _refuse(path, odd, f"whose {key!r} is no text of at most {LONGEST:,} characters; correct them")
    odd = [name for name, row in texts.items() if row.get("kind", "") not in ("", *QUESTION_KINDS)]
    _refuse(path, odd, f"whose 'kind' is none of {', '.join(QUESTION_KINDS)}; correct them")
    return texts


def _drivelm(path: str, scenes: dict) -> list[Question]:
    found, where = [], "the file"
    try:
        for scene, content in scenes.items():
            for frame, of_frame in content["key_frames"].items():
                where = f"scene {scene!r:.60}, frame {frame!r:.60}"
                if unknown := set(of_frame["QA"]) - set(QUESTION_KINDS):
                    raise ValueError(f"questions of unknown kind {min(unknown)!r:.60}")
                pairs = [(kind, pair) for kind in QUESTION_KINDS for pair in of_frame["QA"].get(kind, ())]
                for number, (kind, pair) in enumerate(pairs):
                    where = f"{scene}_{frame}_{number}"[:120]
                    if "A" not in pair:
                        raise ValueError("no answer was recorded; a file of questions alone scores nothing")
                    truth = " ".join(pair["A"]) if isinstance(pair["A"], list) else pair["A"]
                    tags = pair.get("tag")
                    if not _is_text(pair["Q"]) or not _is_text(truth) or not (tags is None or _is_tags(tags)):
                        raise ValueError("question, answer or tag is of another type, or too long")
                    tags = None if tags is None else tuple(tags)
                    found.append(Question(f"{scene}_{frame}_{number}", scene, frame, kind, pair["Q"], truth, tags))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"{type(error).__name__}: {_short(error)}"
        raise UserError(f"{path}: is not DriveLM's question file, at {where} ({what}); check it there") from None
    if not found:
        raise UserError(f"{path}: holds no questions")
    twice = [name for name, count in Counter(one.id for one in found).items() if count > 1]
    _refuse(path, twice, "there twice; rename a scene or frame")
    tagged = [one.tags is not None for one in found]
    if any(tagged):
        _refuse(path, [one.id for one in found if one.tags is None], "without 'tag', which others have; add it")
    return found


def _refuse(path: str, ids: Iterable[str], what: str) -> None:
    """UserError if there are any: how many, and the first of them."""
    ids = list(ids)
    if ids:
        named = ", ".join(f"{name!r:.100}" for name in ids[:NAMED])
        raise UserError(f"{path}: {len(ids):,} {'id' if len(ids) == 1 else 'ids'} {what}: {named}")


def _plain(question: str) -> str:
    return question.removeprefix(IMAGE).strip()


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST


def _is_tags(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int for one in value)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
