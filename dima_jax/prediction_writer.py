"""What a student planned and found, as files: one for each row of plans, one with the agents and lines of every frame.

Beside `scores.json`, in the same folder: `scores.student.npz` (plans of the student, for `dima_jax.score`),
`scores.student.<row>.npz` (of the same on another input), `scores.student.perception.npz` (`dima_jax.perception`).

The latter's arrays, of n frames with T agents and L lines in all: tokens [n]; agent_start [n + 1] (rows start[i]:start[i
+ 1] are frame i's), boxes float32 [T, 9], labels, scores, futures float32 [T, K, F, 2], mode_scores [T, K]; line_start
[n + 1], line_labels, line_scores, line_vertex_start [L + 1], line_vertices float32 [points, 2]. Meters, LiDAR frame; what
they mean: `detections.py`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dima_jax import output_files
from dima_jax.data.truth_arrays import starts
from dima_jax.detections import Agents, Lines
from dima_jax.errors import UserError
from dima_jax.scoring import npz_file, predictions

FORMAT, VERSION = "dima_jax.perception", 1


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
        """Whether a file would be written over."""
        return Path(file).resolve() in [one.resolve() for one in (*self, self.frames, self.perception)]

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
    """Some frames in order: tokens of their samples, plans [n, F, 2] by row, and what was found in each."""

    tokens: list[str]
    plans: dict[str, np.ndarray]
    agents: list[Agents]
    lines: list[Lines]


def arrays(driven: Driven) -> npz_file.Arrays:
    """The arrays of a perception file."""
    points = [line for lines in driven.lines for line in lines.points]
    return {
        "tokens": np.array(driven.tokens, str),
        "agent_start": starts(len(agents.boxes) for agents in driven.agents),
        **{
            name: _joined([getattr(agents, name) for agents in driven.agents], dtype)
            for name, dtype in (
                ("boxes", np.float32),
                ("labels", np.int8),
                ("scores", np.float32),
                ("futures", np.float32),
                ("mode_scores", np.float32),
            )
        },
        "line_start": starts(len(lines.points) for lines in driven.lines),
        "line_labels": _joined([lines.labels for lines in driven.lines], np.int8),
        "line_scores": _joined([lines.scores for lines in driven.lines], np.float32),
        "line_vertex_start": starts(len(line) for line in points),
        "line_vertices": _joined(points or [np.zeros((0, 2))], np.float32),
    }


def found(held: npz_file.Arrays) -> tuple[list[Agents], list[Lines]]:
    """What was found in each frame, of the arrays of a perception file."""
    ends, steps = held["line_vertex_start"], held["futures"].shape[2]
    agents, lines = [], []
    for i in range(len(held["tokens"])):
        rows = slice(*held["agent_start"][i : i + 2])
        fields = [held[name][rows] for name in ("boxes", "labels", "scores", "futures", "mode_scores")]
        agents.append(Agents(*fields, np.ones((len(fields[0]), steps), bool)))
        rows = slice(*held["line_start"][i : i + 2])
        points = [held["line_vertices"][ends[k] : ends[k + 1]] for k in range(rows.start, rows.stop)]
        lines.append(Lines(points, held["line_labels"][rows], held["line_scores"][rows]))
    return agents, lines


def joined(parts: Sequence[Driven]) -> Driven:
    """The frames of all parts in their order."""
    return Driven(
        [token for part in parts for token in part.tokens],
        {name: np.concatenate([part.plans[name] for part in parts]) for name in parts[0].plans},
        [one for part in parts for one in part.agents],
        [one for part in parts for one in part.lines],
    )


def write(places: Places, driven: Driven, headers: dict[str, dict], origin: dict) -> None:
    """Writes a file for each row of headers, {row: header of its file of plans}, and the perception file.

    origin: the latter's header: that of the student's plans, and `split`, `pc_range` and `num_points` of a line.
    """
    for name, header in headers.items():
        predictions.write(places.row(name), driven.tokens, {"plans": driven.plans[name]}, header)
    npz_file.write(places.perception, arrays(driven), origin | {"format": FORMAT, "version": VERSION})


def _joined(values: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(values).astype(dtype)
