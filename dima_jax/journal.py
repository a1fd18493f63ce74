"""The scenes that an evaluation has driven so far, in a folder beside its result: what was stopped goes on from there.

`source.json` says what the scenes hang on; each scene that is finished is one file, which appears when it is whole. A
scene that was being driven starts again. The folder is removed when the result is written.
"""

import contextlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from dima_jax import output_files
from dima_jax.errors import UserError
from dima_jax.prediction_writer import Driven
from dima_jax.scene_shards import Scene
from dima_jax.scoring import npz_file, perception_file

FORMAT, VERSION = "dima_jax.driven_scene", 1
ROW = "plans/"  # before the number of a row in the file of a scene
POLL_SECONDS = 0.2


class Journal:
    """folder: need not exist. source: {what: its hash or value}, of JSON's types, that every scene hangs on."""

    def __init__(self, folder: Path, source: dict):
        self.folder, self.source = folder, json.loads(output_files.json_text(source))
        self._file, self._failed = folder / "source.json", folder / "failed"

    def check(self) -> None:
        """UserError if the folder holds scenes of another source, or something else."""
        if not self._file.exists():
            if self.folder.exists() and not _is_empty(self.folder) and not self._file.exists():
                raise UserError(f"{self.folder} holds no scenes of an evaluation; move it away, or give another --out")
            return
        try:
            left = json.loads(self._file.read_text())
            differing = sorted(key for key in {*left, *self.source} if left.get(key) != self.source.get(key))
        except (OSError, ValueError, AttributeError) as error:
            raise UserError(
                f"{self._file} is damaged ({str(error)[:100]}); delete the folder, or give another --out"
            ) from None
        if differing:
            raise UserError(
                f"{self.folder} holds scenes of an evaluation with another {', '.join(differing)}; delete it, give "
                "another --out, or start the command that was stopped"
            )

    def open(self) -> None:
        """Makes the folder. UserError where that is not possible."""
        if not self._file.exists():
            output_files.write_json(self._file, self.source)
        self._failed.unlink(missing_ok=True)

    def finished(self, scenes: Sequence[Scene], samples: Sequence[str]) -> list[Scene]:
        """Those that are there whole. samples: the token of every record. One that is damaged is driven again."""
        return [scene for scene in scenes if self._is_whole(scene, samples)]

    def _is_whole(self, scene: Scene, samples: Sequence[str]) -> bool:
        if not self._place(scene).exists():
            return False
        try:
            return self.read(scene).tokens == [samples[number] for number in scene.numbers]
        except UserError as error:
            print(f"{scene.name} is driven again: {error}")
            self._place(scene).unlink(missing_ok=True)  # nobody waits for what is damaged
            return False

    def write(self, scene: Scene, driven: Driven) -> None:
        """Keeps a finished scene."""
        plans = {f"{ROW}{number}": plan for number, plan in enumerate(driven.plans.values())}
        header = {"format": FORMAT, "version": VERSION, "scene": scene.name, "rows": list(driven.plans)}
        npz_file.write(self._place(scene), {"tokens": np.array(driven.tokens, str)} | driven.found | plans, header)

    def read(self, scene: Scene) -> Driven:
        """A finished scene. UserError if its file is not what was written."""
        held, header = npz_file.read(self._place(scene), FORMAT, VERSION)
        try:
            plans = {name: held[f"{ROW}{number}"] for number, name in enumerate(header["rows"])}
            tokens = held["tokens"].tolist()
            found = {key: held[key] for key in perception_file.KEYS}
        except (KeyError, TypeError):
            raise UserError(f"{self._place(scene)} is no scene of this version; delete it") from None
        return Driven(tokens, dict.fromkeys(plans, tokens), plans, found)

    def wait(self, scenes: Sequence[Scene]) -> None:
        """Until other processes have finished these scenes."""
        while not all(self._place(scene).exists() for scene in scenes):
            self._sleep()

    def wait_for_the_end(self) -> None:
        """Until the first process has written its result and removed the folder."""
        while self.folder.exists():
            self._sleep()

    @contextlib.contextmanager
    def told_of_failure(self) -> Iterator[None]:
        """Processes that wait for one that fails within are told so, and end as well."""
        try:
            yield
        except BaseException:
            if self._file.exists():
                self._failed.touch()
            raise

    def _sleep(self) -> None:
        if self._failed.exists():
            raise UserError("another process of this evaluation ended; its own words say why. Start the command again")
        time.sleep(POLL_SECONDS)

    def remove(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.folder)

    def _place(self, scene: Scene) -> Path:
        return self.folder / f"{output_files.file_name(scene.name)}.npz"


def _is_empty(folder: Path) -> bool:
    """But for what a process that was killed had not finished writing."""
    return folder.is_dir() and all(path.suffix == ".part" for path in folder.iterdir())
