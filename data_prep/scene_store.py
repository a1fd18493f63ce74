"""What the records of a build are made of, scene by scene in one file: a process then holds one scene, of however many.

A SQLite database of tables' rows and questions as compressed JSON, written once before the records; processes read it side by
side.
"""

import json
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cached_property
from pathlib import Path

from data_prep import tables
from data_prep.tables import Tables
from dima_jax.errors import UserError

QUESTIONS = "questions"
SHARED = ""  # in place of a scene's token


def write(path: Path, root: Path, version: str, answers: Mapping[str, dict]) -> None:
    """The tables of a root that `root_check` passed, and the questions of its samples (`qa.read`).

    UserError where the file cannot be written.
    """
    try:
        with closing(sqlite3.connect(path)) as base:
            base.executescript(
                "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; CREATE TABLE parts (scene, name, content)"
            )
            for scene, name, content in _contents(root / version, answers):
                packed = zlib.compress(json.dumps(content).encode(), level=1)
                base.execute("INSERT INTO parts VALUES (?, ?, ?)", (scene, name, packed))
            base.execute("CREATE INDEX by_scene ON parts (scene)")
            base.commit()
    except sqlite3.Error as error:
        raise UserError(f"{path}: {error}; free the disk, or give another folder") from None


def _contents(folder: Path, answers: Mapping[str, dict]) -> Iterator[tuple[str, str, list | dict]]:
    """(scene, name of a table or QUESTIONS, some rows)."""
    for name, rows in tables.shared(folder).items():
        yield SHARED, name, rows
    for name, rows, scenes in tables.of_scenes(folder):
        of_scene: dict[str, list[dict]] = {}
        for row, scene in zip(rows, scenes, strict=True):
            of_scene.setdefault(scene, []).append(row)
        for scene, own in of_scene.items():
            yield scene, name, own
            if name == "sample":
                yield scene, QUESTIONS, {row["token"]: answers[row["token"]] for row in own if row["token"] in answers}


class SceneStore:
    """A file of `write`, opened for reading."""

    def __init__(self, path: str | Path, root: str | Path, version: str):
        self._path, self._root, self._version = Path(path), Path(root), version

    def shared(self) -> Tables:
        """The tables that scenes share, without what is in a scene."""
        return Tables(self._root, self._version, self._shared)

    def scene(self, token: str) -> tuple[Tables, dict[str, dict]]:
        """The rows of one scene beside the tables that scenes share, and {sample token: its questions} as `qa.read` gives
        them.
        """
        rows, asked = dict(self._shared), {}
        for name, content in self._parts(token):
            if name == QUESTIONS:
                asked |= content
            else:
                rows[name] = rows.get(name, []) + content
        return Tables(self._root, self._version, rows), asked

    @cached_property
    def _shared(self) -> dict[str, list[dict]]:
        return dict(self._parts(SHARED))

    def _parts(self, scene: str) -> list[tuple[str, list | dict]]:
        """In the order of their writing. The file no longer changes, so that it needs no lock."""
        with closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?immutable=1", uri=True)) as base:
            found = base.execute("SELECT name, content FROM parts WHERE scene = ? ORDER BY rowid", (scene,)).fetchall()
        return [(name, json.loads(zlib.decompress(content))) for name, content in found]
