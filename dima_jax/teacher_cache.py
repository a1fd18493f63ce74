"""What a teacher says of every key frame of a split, kept in files: distillation then needs no LLM in memory.

    DIR/source.json     what the numbers hang on: hashes of weights, config and records, the seed, the split
    DIR/<scene>.npz     of the scene's key frames in order: tokens [n], ego_feature [n, D2], ego_offsets [n, R, F, 2]

A trained teacher is one (`python -m dima_jax.cache_teacher`). A frozen LLM that reads texts is the other (`python -m
dima_jax.cache_text`): its ego_feature [n, E] has the LLM's own width, and is brought to the student's when it is loaded
(`components.py`); there are no ego_offsets, as it plans nothing, and source.json says `"plan": false`.

A scene's file appears when it is whole, and holds the hash of its content (`scoring.npz_file`); a command that was stopped
goes on with the scenes that are left, and several processes may share them.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dima_jax import components, output_files
from dima_jax.data.records import Records
from dima_jax.errors import UserError
from dima_jax.scene_shards import Scene, scenes_of
from dima_jax.scoring import npz_file

FORMAT, VERSION = "dima_jax.teacher_cache", 1
AGAIN = "write it again with `python -m dima_jax.cache_teacher`, or that of a text with `python -m dima_jax.cache_text`"


class Taught(NamedTuple):
    """The teacher's ego feature, and the path of its own plan: ego offsets in meters per 0.5 s step, by command. None for a
    teacher that plans nothing.
    """

    ego_feature: Float[np.ndarray, "n D2"]
    ego_offsets: Float[np.ndarray, "n R F 2"] | None


class TeacherCache:
    """A folder of a teacher's words. Making one reads nothing."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._source = self.folder / "source.json"

    def open(self, source: dict) -> None:
        """Begins or goes on with a cache. source: {what: value}, of JSON's types, that every number hangs on.

        UserError if the folder holds something else, or what another source said.
        """
        source = json.loads(output_files.json_text(source))
        if not self._source.exists():
            others = self.folder.iterdir() if self.folder.exists() else ()
            if any(path.suffix != ".part" and path != self._source for path in others):
                raise UserError(f"{self.folder} is no teacher's cache, and not empty; give another --out")
            output_files.write_json(self._source, source)
            return
        held = self.source()
        if differing := sorted(key for key in {*held, *source} if held.get(key) != source.get(key)):
            raise UserError(
                f"{self.folder} holds what was said with another {', '.join(differing)}; give another --out"
            )

    def source(self) -> dict:
        """What `open` was given. UserError if there is no cache, or it is damaged."""
        try:
            held = json.loads(self._source.read_text())
        except OSError as error:
            raise UserError(f"{self._source}: {error.strerror}; {AGAIN}") from None
        except ValueError as error:
            raise UserError(
                f"{self._source} is damaged ({str(error)[:100]}); delete {self.folder} and {AGAIN}"
            ) from None
        if not isinstance(held, dict):
            raise UserError(f"{self._source} is damaged; delete {self.folder} and {AGAIN}")
        return held

    def left(self, scenes: Sequence[Scene], samples: Sequence[str]) -> list[Scene]:
        """The scenes that are not there whole. samples: the token of every record."""
        return [scene for scene in scenes if not self._is_whole(scene, samples)]

    def _is_whole(self, scene: Scene, samples: Sequence[str]) -> bool:
        if not self._place(scene.name).exists():
            return False
        try:
            self.read(scene, samples)
        except UserError as error:
            print(f"{scene.name} is written again: {error}")
            return False
        return True

    def write(self, scene: Scene, samples: Sequence[str], taught: Taught) -> None:
        """Keeps a finished scene."""
        tokens = np.array([samples[number] for number in scene.numbers], str)
        header = {"format": FORMAT, "version": VERSION, "scene": scene.name}
        npz_file.write(self._place(scene.name), {"tokens": tokens} | _arrays(taught), header)

    def read(self, scene: Scene, samples: Sequence[str]) -> Taught:
        """What was said in a scene. UserError if it is missing, damaged, or of other key frames."""
        arrays, _ = npz_file.read(self._place(scene.name), FORMAT, VERSION)
        tokens = [samples[number] for number in scene.numbers]
        taught = Taught(arrays.get("ego_feature"), arrays.get("ego_offsets"))
        if taught.ego_feature is None or arrays.get("tokens", np.array(())).tolist() != tokens:
            raise UserError(f"{self._place(scene.name)} is not of the key frames of this split; {AGAIN}")
        if any(len(array) != len(tokens) or not np.isfinite(array).all() for array in _arrays(taught).values()):
            raise UserError(f"{self._place(scene.name)} holds numbers that are not finite, or too few; {AGAIN}")
        return taught

    def check_form(self, distill: Mapping) -> None:
        """UserError if a form of distillation asks for a plan that the teacher does not have. distill: the config group."""
        has_plan = self._has_plan()
        if distill["form"] == "plan" and not has_plan:
            raise UserError(
                f"config.distill.form='plan': must be feature_l2, kl or kl_standardized with {self.folder}, which holds what "
                "an LLM reads and no plan"
            )
        if distill["gate"] and not has_plan:
            raise UserError(
                f"config.distill.gate=True: must be False with {self.folder}, which holds what an LLM reads and no plan"
            )

    def check(self, records: Records) -> None:
        """UserError if the cache is of other records, or lacks a scene."""
        source = self.source()
        if (source.get("data"), source.get("split")) != (records.data_hash, records.split):
            raise UserError(
                f"{self.folder} is of split {source.get('split')!r} of other records than {records.folder}; {AGAIN}"
            )
        scenes = scenes_of(records)
        if missing := [scene.name for scene in scenes if not self._place(scene.name).exists()]:
            raise UserError(
                f"{self.folder} lacks {len(missing)} of {len(scenes)} scenes, {missing[0]} among them; start the command "
                "that writes it again: it goes on"
            )

    def load_raw(self, records: Records) -> Taught:
        """What was said in every key frame of a split, in the order of its records; a text's feature in the LLM's width.

        UserError as `check` and `read`.
        """
        self.check(records)
        parts = [self.read(scene, records.samples) for scene in scenes_of(records)]
        planned = [part.ego_offsets for part in parts if part.ego_offsets is not None]
        if len(planned) != (len(parts) if self._has_plan() else 0):
            raise UserError(f"{self.folder} does not hold the plans that its source.json says; delete it and {AGAIN}")
        return Taught(
            np.concatenate([part.ego_feature for part in parts]), np.concatenate(planned) if planned else None
        )

    def load(self, records: Records, student: Mapping) -> Taught:
        """`load_raw` in a student's sizes. student: the config group.

        UserError as there, and if the teacher plans, but for a student of other sizes, or what was read of a text has fewer
        components than the student's feature.
        """
        return self.fit(self.load_raw(records), student)

    def fit(self, taught: Taught, student: Mapping) -> Taught:
        """What `load_raw` returns in a student's sizes; errors as `load`."""
        width = 2 * student["width"]
        if taught.ego_offsets is None:
            return Taught(components.standardized(taught.ego_feature, width, str(self.folder)), None)
        shapes = ((width,), (student["num_commands"], student["num_future"], 2))
        for array, shape, name in zip(taught, shapes, Taught._fields, strict=True):
            if array.shape[1:] != shape:
                raise UserError(
                    f"{self.folder}: {name} is {array.shape[1:]} wide, this student's is {shape}; give the cache of a "
                    "teacher of the same student.width"
                )
        return taught

    def _has_plan(self) -> bool:
        return self.source().get("plan", True) is not False

    def _place(self, scene: str) -> Path:
        return self.folder / f"{output_files.file_name(scene)}.npz"


def _arrays(taught: Taught) -> npz_file.Arrays:
    return {name: array for name, array in taught._asdict().items() if array is not None}
