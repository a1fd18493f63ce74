"""Situations whose recorded path is not learned from (`data.hold_out_paths`), while their questions are.

Does a planner know what to do in a situation that it was told about and never shown? The path of these key frames is
unknown in training, like that beyond the end of a scene: no imitation, no planning constraint, of the student, of the
teacher and of the edited scene, and a gate of distillation is closed. Boxes, map, questions and what distillation says
without a gate stay. Evaluation has every path.
"""

from collections.abc import Sequence

import numpy as np

from dima_jax.data.records import Records
from dima_jax.data.scene_tags import scene_tags
from dima_jax.errors import UserError
from dima_jax.scoring import token_lists

KEY, ENDING = "config.data.hold_out_paths", ".json"


def frames(records: Records, names: Sequence[str], place: str = KEY) -> np.ndarray:
    """[n] bool: whether the path of each record is held out.

    names: "FILE.json:TAG", a list of tokens of a file of `data_prep.mine`; "FILE.json", all its lists; or else a tag of
    scenes (`scene_tags`), whose frames are all meant. place: where the names stand, for errors. UserError, in one line, for
    a file or a tag that is not there, and for a list without a frame of these records.
    """
    found = np.zeros(len(records), bool)
    tags = None
    for name in names:
        if ENDING in name:
            found |= _listed(records, name, place)
        else:
            tags = _scene_tags(records) if tags is None else tags
            found |= _tagged(records, name, tags, place)
    return found


def _listed(records: Records, name: str, place: str) -> np.ndarray:
    start, _, tag = name.rpartition(ENDING)
    path, tag = start + ENDING, tag.removeprefix(":")
    try:
        lists = token_lists.read(path)
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    if tag and tag not in lists:
        raise UserError(f"{place}: {path} has no list {tag!r}; it has {', '.join(sorted(lists)) or 'none'}")
    tokens = set(lists[tag] if tag else (token for one in lists.values() for token in one))
    found = np.array([sample in tokens for sample in records.samples], bool)
    if not found.any():
        raise UserError(
            f"{place}: {name}: no frame of split {records.split!r} of {records.folder} is in it; mine that split: "
            f"`python -m data_prep.mine --data={records.folder} --split={records.split}`"
        )
    return found


def _scene_tags(records: Records) -> dict[str, tuple[str, ...]]:
    """{scene: its tags}."""
    first = [i for i, number in enumerate(records.frames) if number == 0]
    return {records.scenes[i]: scene_tags(records.decode(i, ("scene",))["scene"]["description"]) for i in first}


def _tagged(records: Records, name: str, tags: dict[str, tuple[str, ...]], place: str) -> np.ndarray:
    found = np.array([name in tags.get(scene, ()) for scene in records.scenes], bool)
    if not found.any():
        have = sorted({tag for one in tags.values() for tag in one})
        raise UserError(
            f"{place}: {name!r}: no scene of split {records.split!r} of {records.folder} has this tag; it has "
            f"{', '.join(have) or 'none'}; or give FILE.json:TAG of `python -m data_prep.mine`"
        )
    return found
