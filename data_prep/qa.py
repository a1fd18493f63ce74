"""Reads DriveLM's question files (v1.1), checks them, and returns the pairs by sample. Their format:

    {scene token: {"key_frames": {sample token: {"QA": {"perception": [{"Q": ..., "A": ...}, ...], "prediction": ...,
     "planning": ..., "behavior": ...}, "key_object_infos": {tag: ...}}}}}

A file of questions alone, as DriveLM's of the validation split, has no "A" anywhere: its answers are "". The text names
objects by tags, `<c1,CAM_BACK,1088.3,497.5>`: an id, a camera, pixels of the 1600 x 900 image.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from dima_jax.constants import CAMERAS, QUESTION_KINDS
from dima_jax.errors import UserError

IMAGE_SIZE = (1600, 900)  # pixels: width, height that the tags refer to, whatever the size of the files
TAG = re.compile(r"<\s*c\d+\b([^<>]*)>")


def files(paths: str) -> list[Path]:
    """Those that --drivelm names, with commas between them."""
    return [Path(path) for path in paths.split(",") if path]


def read(paths: str) -> dict[str, dict]:
    """{sample token: {"kinds", "questions", "answers"}}, tuples of equal length in file order; {} for no path.

    Raises UserError when a file is missing or not DriveLM's format, for a sample in two files or scenes, a question without
    an answer in a file with answers, and a tag that names no camera or no pixel. A pixel outside the image is accepted
    (`outside_image`): older files hold some.
    """
    found: dict[str, dict] = {}
    for path in files(paths):
        for token, pairs in _of_file(str(path)).items():
            if token in found:
                raise UserError(f"{path}: sample {token} is in another file of --drivelm, too; remove one of the two")
            found[token] = pairs
    return found


def _of_file(path: str) -> dict[str, dict]:
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; --drivelm is DriveLM's question file (v1_1_train_nus.json)")
    try:
        scenes = json.loads(Path(path).read_text())
        frames = [(s, token, f) for s, scene in scenes.items() for token, f in scene["key_frames"].items()]
        pairs = [pair for _, _, frame in frames for of_kind in frame["QA"].values() for pair in of_kind]
        has_answers = any("A" in pair for pair in pairs)
        found: dict[str, dict] = {}
        for scene, token, frame in frames:
            if token in found:
                raise UserError(f"{path}: sample {token} is in scene {scene} and in another one; remove one of the two")
            found[token] = _pairs(path, scene, token, frame, has_answers)
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path}: not in DriveLM's v1.1 format ({type(error).__name__}: {error}); check the file"
        ) from None


def _pairs(path: str, scene: str, sample: str, frame: dict, has_answers: bool) -> dict:
    where = f"{path}: scene {scene}, sample {sample}"
    unknown = set(frame["QA"]) - set(QUESTION_KINDS)
    if unknown:
        raise UserError(f"{where} has questions of unknown kind {sorted(unknown)}")
    rows = [
        (kind, *_texts(pair, where, kind, has_answers)) for kind in QUESTION_KINDS for pair in frame["QA"].get(kind, ())
    ]
    for kind, question, answer in rows:
        for tag, problem in tag_problems(f"{question} {answer}"):
            raise UserError(
                f"{where}: {tag} {problem} ({kind} question {question!r}); "
                f"tags are <id,camera,x,y> with a camera of {', '.join(CAMERAS)}"
            )
    kinds, questions, answers = zip(*rows, strict=True) if rows else ((), (), ())
    return {"kinds": kinds, "questions": questions, "answers": answers}


def _is_text(value) -> bool:
    """Whether it is a string, and one that a file can hold: JSON may name half a character."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _texts(pair: dict, where: str, kind: str, has_answers: bool) -> tuple[str, str]:
    """(question, answer) of one entry; DriveLM answers a few questions with a list of sentences. has_answers: the file."""
    question = pair["Q"]
    if not _is_text(question):
        raise UserError(f"{where}: a {kind} question is {question!r}, no text; correct or remove it")
    if not has_answers:
        return question, ""
    if "A" not in pair:
        raise UserError(
            f"{where}: {kind} question {question!r} has no answer, others of this file have one; add it or remove the question"
        )
    answer = pair["A"]
    sentences = answer if isinstance(answer, list) else [answer]
    if not all(map(_is_text, sentences)):
        raise UserError(
            f"{where}: the answer to {kind} question {question!r} is {answer!r}, no text; correct or remove it"
        )
    return question, " ".join(sentences)


def tag_problems(text: str) -> list[tuple[str, str]]:
    """(tag, what is wrong with it) of every object tag in the text that is not <id,camera,x,y>."""
    return [(tag[0], problem) for tag in TAG.finditer(text) if (problem := _tag_problem(tag[1]))]


class Pixel(NamedTuple):
    """Where an object tag points: x to the right, y down, in an image of IMAGE_SIZE."""

    tag: str
    camera: str
    x: float
    y: float


def tags(texts: Iterable[str]) -> list[str]:
    """The different object tags of the texts, in order of appearance."""
    return list(dict.fromkeys(tag[0] for text in texts for tag in TAG.finditer(text)))


def pixels(text: str) -> list[Pixel]:
    """Where the object tags in the text point, without those that are not <id,camera,x,y>."""
    found = [(tag[0], tag[1].split(",")) for tag in TAG.finditer(text) if not _tag_problem(tag[1])]
    return [Pixel(tag, parts[1].strip(), float(parts[2]), float(parts[3])) for tag, parts in found]


def outside_image(text: str) -> list[str]:
    """The object tags in the text whose pixel is outside of their camera's image."""
    return [pixel.tag for pixel in pixels(text) if not _is_inside(pixel.x, pixel.y)]


def _is_inside(x: float, y: float) -> bool:
    return 0 <= x <= IMAGE_SIZE[0] and 0 <= y <= IMAGE_SIZE[1]


def _tag_problem(after_id: str) -> str:
    parts = [part.strip() for part in after_id.split(",")[1:]]
    if len(parts) != 3 or parts[0] not in CAMERAS:
        return "names no camera"
    try:
        float(parts[1]), float(parts[2])
    except ValueError:
        return "names no pixel"
    return ""
