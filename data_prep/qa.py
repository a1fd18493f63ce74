"""Reads DriveLM's question file (v1.1), checks it, and returns the pairs by sample. Its format:

    {scene token: {"key_frames": {sample token: {"QA": {"perception": [{"Q": ..., "A": ...}, ...], "prediction": ...,
     "planning": ..., "behavior": ...}, "key_object_infos": {tag: ...}}}}}

The text names objects by tags, `<c1,CAM_BACK,1088.3,497.5>`: an id, a camera, pixels of the 1600 x 900 image.
"""

import json
import re
from pathlib import Path

from dima_jax.constants import CAMERAS
from dima_jax.errors import UserError

KINDS = ("perception", "prediction", "planning", "behavior")
TAG = re.compile(r"<\s*c\d+\b([^<>]*)>")


def read(path: str) -> dict[str, dict]:
    """{sample token: {"kinds", "questions", "answers"}}, tuples of equal length in file order; {} for no path.

    Raises UserError when the file is missing or not DriveLM's format, and for a tag that names no camera or no pixel.
    """
    if not path:
        return {}
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; --drivelm is DriveLM's question file (v1_1_train_nus.json)")
    try:
        scenes = json.loads(Path(path).read_text())
        frames = [(s, token, f) for s, scene in scenes.items() for token, f in scene["key_frames"].items()]
        return {token: _pairs(path, scene, token, frame) for scene, token, frame in frames}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: not in DriveLM's v1.1 format ({type(error).__name__}: {error}); check the file"
        ) from None


def _pairs(path: str, scene: str, sample: str, frame: dict) -> dict:
    unknown = set(frame["QA"]) - set(KINDS)
    if unknown:
        raise UserError(f"{path}: scene {scene}, sample {sample} has questions of unknown kind {sorted(unknown)}")
    rows = [(kind, pair["Q"], _answer(pair["A"])) for kind in KINDS for pair in frame["QA"].get(kind, ())]
    for kind, question, answer in rows:
        for tag, problem in tag_problems(f"{question} {answer}"):
            raise UserError(
                f"{path}: scene {scene}, sample {sample}: {tag} {problem} ({kind} question {question!r}); "
                f"tags are <id,camera,x,y> with a camera of {', '.join(CAMERAS)}"
            )
    kinds, questions, answers = zip(*rows, strict=True) if rows else ((), (), ())
    return {"kinds": kinds, "questions": questions, "answers": answers}


def _answer(answer) -> str:
    """DriveLM answers a few questions with a list of sentences."""
    return " ".join(answer) if isinstance(answer, list) else answer


def tag_problems(text: str) -> list[tuple[str, str]]:
    """(tag, what is wrong with it) of every object tag in the text that is not <id,camera,x,y>."""
    return [(tag[0], problem) for tag in TAG.finditer(text) if (problem := _tag_problem(tag[1]))]


def _tag_problem(after_id: str) -> str:
    parts = [part.strip() for part in after_id.split(",")[1:]]
    if len(parts) != 3 or parts[0] not in CAMERAS:
        return "names no camera"
    try:
        float(parts[1]), float(parts[2])
    except ValueError:
        return "names no pixel"
    return ""
