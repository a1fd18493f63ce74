"""The perception file (`dima_jax.perception`): the agents and map lines that a student found in each frame.

Keys, for N frames, T agents, K motion modes, F steps of 0.5 s, l lines and v vertices; LiDAR frame of the frame, meters:

    tokens [N]; agent_start [N + 1]: agents agent_start[i]:agent_start[i + 1] are those of frame i
    boxes [T, 9] (cx, cy, cz, w, l, h, yaw_box, vx, vy; center of gravity), labels [T], scores [T]
    futures [T, K, F, 2] positions, mode_scores [T, K]
    line_start [N + 1], line_vertex_start [l + 1], line_vertices [v, 2], line_labels [l], line_scores [l]

A frame without a finding is there as well. Header: pc_range (x0, y0, z0, x1, y1, z1 in meters) and num_points of a line,
both of the student, by which `perception.py` prepares what was recorded; what else is known of the student (planner, seed,
checkpoint, step, commit, data_hash, split), as in a file of plans.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from dima_jax.constants import AGENT_CLASSES, MAP_CLASSES
from dima_jax.detections import Agents, Lines
from dima_jax.errors import UserError
from dima_jax.scoring import npz_file, predictions

FORMAT, VERSION = "dima_jax.perception", 1
MAX_POINTS = 10_000
# {key: (kinds of numbers, its axes)}; an axis "x+1" divides the rows of another among x items.
KEYS = {
    "agent_start": ("iu", ("frames+1",)),
    "boxes": ("f", ("agents", 9)),
    "labels": ("iu", ("agents",)),
    "scores": ("f", ("agents",)),
    "futures": ("f", ("agents", "modes", predictions.STEPS, 2)),
    "mode_scores": ("f", ("agents", "modes")),
    "line_start": ("iu", ("frames+1",)),
    "line_vertex_start": ("iu", ("lines+1",)),
    "line_vertices": ("f", ("vertices", 2)),
    "line_labels": ("iu", ("lines",)),
    "line_scores": ("f", ("lines",)),
}
STARTS = {"agent_start": "agents", "line_start": "lines", "line_vertex_start": "vertices"}
AGENT_KEYS = ("boxes", "labels", "scores", "futures", "mode_scores")


class Perception(NamedTuple):
    """The content of a file. file: its name; arrays: those of KEYS."""

    file: str
    header: dict
    tokens: list[str]
    arrays: npz_file.Arrays

    def frame(self, i: int) -> tuple[Agents, Lines]:
        """What was found in the frame of tokens[i]."""
        start, end = self.arrays["agent_start"][i : i + 2]
        found = {key: self.arrays[key][start:end] for key in AGENT_KEYS}
        agents = Agents(**found, future_mask=np.ones((end - start, found["futures"].shape[2]), bool))
        start, end = self.arrays["line_start"][i : i + 2]
        ends = self.arrays["line_vertex_start"]
        points = [self.arrays["line_vertices"][ends[line] : ends[line + 1]] for line in range(start, end)]
        return agents, Lines(points, self.arrays["line_labels"][start:end], self.arrays["line_scores"][start:end])


def arrays(agents: Agents, lines: Lines) -> npz_file.Arrays:
    """The arrays of one frame: those of KEYS."""
    points = [np.asarray(line, np.float32).reshape(-1, 2) for line in lines.points]
    return {
        "agent_start": np.array([0, len(agents.labels)], np.int64),
        "boxes": np.asarray(agents.boxes, np.float32),
        "labels": np.asarray(agents.labels, np.int8),
        "scores": np.asarray(agents.scores, np.float32),
        "futures": np.asarray(agents.futures, np.float32),
        "mode_scores": np.asarray(agents.mode_scores, np.float32),
        "line_start": np.array([0, len(points)], np.int64),
        "line_vertex_start": np.cumsum([0, *map(len, points)], dtype=np.int64),
        "line_vertices": np.concatenate([np.zeros((0, 2), np.float32), *points]),
        "line_labels": np.asarray(lines.labels, np.int8),
        "line_scores": np.asarray(lines.scores, np.float32),
    }


def joined(parts: Sequence[npz_file.Arrays]) -> npz_file.Arrays:
    """The arrays of one or more frames each, one after the other. ValueError for no part."""
    columns = {key: [part[key] for part in parts] for key in KEYS}
    return {key: _joined_starts(of) if key in STARTS else np.concatenate(of) for key, of in columns.items()}


def _joined_starts(starts: Sequence[Int64[np.ndarray, " _"]]) -> Int64[np.ndarray, " _"]:
    return np.cumsum(np.concatenate([[0], *map(np.diff, starts)]), dtype=np.int64)


def write(path: str | Path, tokens: Iterable[str], arrays: npz_file.Arrays, header: dict) -> None:
    """Writes the `joined` arrays of the frames of these tokens.

    ValueError for arrays that do not fit together, UserError where the file cannot be written.
    """
    whole = {"tokens": np.array([*tokens], np.str_), **arrays}
    _check(whole, header)
    npz_file.write(path, whole, {"format": FORMAT, "version": VERSION} | header)


def load(path: str | Path) -> Perception:
    """The content of a file. UserError, with tokens, for one that is damaged, of another format, or has odd numbers."""
    found, header = npz_file.read(path, FORMAT, VERSION)
    try:
        _check(found, header)
    except ValueError as error:
        raise UserError(f"{path}: {error}; write it with scoring.perception_file") from None
    planner = header.get("planner")
    header = header | {"planner": planner if isinstance(planner, str) and planner else Path(path).stem}
    tokens = found.pop("tokens").tolist()
    _refuse_odd_numbers(path, tokens, found)
    return Perception(Path(path).name, header, tokens, found)


def _check(found: npz_file.Arrays, header: dict) -> None:
    """ValueError, with the key, for arrays or a header that are not those of a perception file."""
    _check_header(header)
    if odd := sorted({"tokens", *KEYS} ^ set(found)):
        raise ValueError(f"{odd[0][:60]!r} is missing or not known")
    tokens = found["tokens"]
    if tokens.dtype.kind != "U" or tokens.ndim != 1 or not len(tokens):
        raise ValueError("tokens is no list of texts, or empty")
    names, counts = np.unique(tokens, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"tokens has {str(names[counts > 1][0])!r:.60} twice")
    sizes = {"frames": len(tokens)}
    for key, (kinds, axes) in KEYS.items():
        if found[key].dtype.kind not in kinds or not _fits(found[key].shape, axes, sizes):
            raise ValueError(f"{key} is {found[key].dtype} {list(found[key].shape)}, not {list(axes)}")
    if not sizes["modes"]:
        raise ValueError("futures has no modes")
    for key, rows in STARTS.items():
        start = found[key].astype(np.int64)
        if start[0] != 0 or start[-1] != sizes[rows] or (np.diff(start) < 0).any():
            raise ValueError(f"{key} does not divide {sizes[rows]} {rows} among {len(start) - 1}")


def _check_header(header: dict) -> None:
    pc_range, num_points = header.get("pc_range"), header.get("num_points")
    numbers = [*pc_range] if isinstance(pc_range, (list, tuple)) else []
    finite = all(type(one) in (int, float) and math.isfinite(one) for one in numbers)
    if len(numbers) != 6 or not finite or not all(low < high for low, high in zip(numbers, numbers[3:], strict=False)):
        raise ValueError(f"pc_range of the header is {pc_range!r:.60}, not x0, y0, z0, x1, y1, z1 in meters")
    if type(num_points) is not int or not 2 <= num_points <= MAX_POINTS:
        raise ValueError(f"num_points of the header is {num_points!r:.60}, not 2 to {MAX_POINTS:,}")


def _fits(shape: tuple[int, ...], axes: tuple, sizes: dict[str, int]) -> bool:
    """Whether a shape has these axes; sizes: of the axes so far, which grow."""
    if len(shape) != len(axes):
        return False
    for size, axis in zip(shape, axes, strict=True):
        name, _, more = str(axis).partition("+")
        more = int(more or 0)
        if size != (int(name) if name.isdigit() else sizes.setdefault(name, size - more) + more):
            return False
    return True


def _refuse_odd_numbers(path: str | Path, tokens: list[str], found: npz_file.Arrays) -> None:
    """UserError for numbers that nothing can be scored with."""
    agents, lines = (np.diff(found[key].astype(np.int64)) for key in ("agent_start", "line_start"))
    frame_of = {"agents": np.repeat(np.arange(len(tokens)), agents), "lines": np.repeat(np.arange(len(tokens)), lines)}
    frame_of["vertices"] = np.repeat(frame_of["lines"], np.diff(found["line_vertex_start"].astype(np.int64)))
    for key, (kinds, axes) in KEYS.items():
        if kinds == "f":
            _refuse(path, tokens, frame_of[axes[0]], ~np.isfinite(found[key]), f"{key} that are no finite numbers")
    for key in ("scores", "mode_scores", "line_scores"):
        outside = (found[key] < 0) | (found[key] > 1)
        _refuse(path, tokens, frame_of[KEYS[key][1][0]], outside, f"{key} outside of 0 to 1")
    for key, classes in (("labels", AGENT_CLASSES), ("line_labels", MAP_CLASSES)):
        outside = (found[key] < 0) | (found[key] >= len(classes))
        _refuse(path, tokens, frame_of[KEYS[key][1][0]], outside, f"{key} outside of 0 to {len(classes) - 1}")
    _refuse(path, tokens, frame_of["agents"], found["boxes"][:, 3:6] <= 0, "boxes without volume")
    short = np.diff(found["line_vertex_start"].astype(np.int64)) < 2
    _refuse(path, tokens, frame_of["lines"], short, "lines of fewer than two vertices")


def _refuse(
    path: str | Path,
    tokens: list[str],
    frame: Int64[np.ndarray, " rows"],
    is_bad: Bool[np.ndarray, "rows ..."],
    what: str,
) -> None:
    rows = is_bad.any(axis=tuple(range(1, is_bad.ndim)))
    if bad := [tokens[i] for i in np.unique(frame[rows])]:
        raise UserError(
            f"{path}: {len(bad):,} of {len(tokens):,} frames have {what}: {predictions.named(bad)}; "
            "write it with numbers of a student that works"
        )
