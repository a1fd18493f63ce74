"""What a student planned and found, as files: one for each row of plans, one with the agents and lines of every frame.

Beside `scores.json`, in the same folder: `scores.student.npz` (plans of the student, for `dima_jax.score`),
`scores.student.<row>.npz` (of the same on another input), `scores.student.perception.npz` (`scoring.perception_file`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dima_jax import output_files
from dima_jax.errors import UserError
from dima_jax.scoring import npz_file, perception_file, predictions


class Places(NamedTuple):
    """Where an evaluation writes. out: scores.json; plans: the student's file of plans."""

    out: Path
    plans: Path

    @classmethod
    def beside(cls, out: str | Path, plans: str | Path | None = None) -> "Places":
        """plans: by default `<out>.student.npz`. UserError where one of the files cannot be written, or two are one."""
        out = Path(out)
        places = cls(out, Path(plans) if plans else out.with_name(f"{out.stem}.student.npz"))
        for place in (places.out, places.plans):
            output_files.check_place(place)
        if places.plans.resolve() in (places.out.resolve(), places.frames.resolve()):
            raise UserError(f"--save_predictions={plans} is where --out={out} writes; give another file")
        return places

    def holds(self, file: str | Path) -> bool:
        """Whether a file would be written over, or has the name of a row's."""
        path = Path(file).resolve()
        is_row = path.parent == self.plans.resolve().parent and path.name.startswith(f"{self.plans.stem}.")
        return is_row or path in [one.resolve() for one in (*self, self.frames)]

    @property
    def frames(self) -> Path:
        """The number of every frame (`scoring.frames_file`)."""
        return self.out.with_name(f"{self.out.stem}.frames.npz")

    @property
    def perception(self) -> Path:
        """Agents and lines of every frame."""
        return self.plans.with_name(f"{self.plans.stem}.perception.npz")

    @property
    def journal(self) -> Path:
        """The folder of the scenes that are driven, until all are."""
        return self.out.with_name(f"{self.out.name}.partial")

    @property
    def lock(self) -> Path:
        """One command at a time writes here."""
        return self.out.with_name(f"{self.out.name}.lock")

    def row(self, name: str) -> Path:
        """The file of plans of a row, e.g. "student, blank images"."""
        if name == "student":
            return self.plans
        part = output_files.file_name(name.removeprefix("student, ").replace(" ", "_"))
        return self.plans.with_name(f"{self.plans.stem}.{part}.npz")


class Driven(NamedTuple):
    """Some frames in order: tokens of their samples, and what was found in them, as `perception_file.joined` has it.

    planned: by row the tokens of the frames that it was driven in; plans: [m, F, 2] for these, meters, LiDAR frame.
    """

    tokens: list[str]
    planned: dict[str, list[str]]
    plans: dict[str, np.ndarray]
    found: npz_file.Arrays


def joined(parts: Sequence[Driven]) -> Driven:
    """The frames of all parts in their order."""
    rows = list(dict.fromkeys(name for part in parts for name in part.plans))
    of = {name: [part for part in parts if name in part.plans] for name in rows}
    return Driven(
        [token for part in parts for token in part.tokens],
        {name: [token for part in of[name] for token in part.planned[name]] for name in rows},
        {name: np.concatenate([part.plans[name] for part in of[name]]) for name in rows},
        perception_file.joined([part.found for part in parts]),
    )


def write(places: Places, driven: Driven, headers: dict[str, dict], origin: dict) -> None:
    """Writes a file for each row of headers, {row: header of its file of plans}, and the perception file.

    origin: the latter's header: that of the student's plans, and `split`, `pc_range` and `num_points` of a line.
    """
    for name, header in headers.items():
        predictions.write(places.row(name), driven.planned[name], {"plans": driven.plans[name]}, header)
    perception_file.write(places.perception, driven.tokens, driven.found, origin)
