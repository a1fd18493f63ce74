"""Every protocol on every plan of every frame, in processes.

A frame's agents and grids are made once, whatever the number of planners and protocols. Frames do not depend on one
another, and are put together in the truth's order, so the numbers do not depend on the number of processes.

P planners, n frames, F steps, C columns.
"""

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from dima_jax.metrics.protocols import base, registry
from dima_jax.metrics.protocols.base import Definition, Plans, Protocol
from dima_jax.progress import Progress
from dima_jax.scoring.align import PATHS
from dima_jax.scoring.recorded import Truth

FEWEST_FRAMES = 1000  # below, starting processes takes longer than the work
CHUNKS = 8  # of each process
FROM_TABLES = ("areas", "curbs", "visibility", "attributes")  # groups that records do not have


class Frames(NamedTuple):
    """What a protocol says of some frames by quantity, NaN and False where a frame does not enter or has no plan."""

    values: dict[str, Float[np.ndarray, "P n F"]]
    masks: dict[str, Bool[np.ndarray, "P n F"]]
    hit: Int[np.ndarray, "P n F"]
    recorded: Bool[np.ndarray, "n F"]


class ProtocolFrames(NamedTuple):
    """What a protocol says of all frames; value and weight as `protocols.base.reduce` gives them, for each planner.

    recorded: the recorded path's own collisions. entered: the protocol takes the frame.
    """

    definition: Definition
    values: dict[str, Float[np.ndarray, "P n F"]]
    masks: dict[str, Bool[np.ndarray, "P n F"]]
    hit: Int[np.ndarray, "P n F"]
    recorded: Bool[np.ndarray, "n F"]
    value: Float[np.ndarray, "P n C"]
    weight: Float[np.ndarray, "P n C"]
    entered: Bool[np.ndarray, " n"]


def why_not(definition: Definition, truth: Truth) -> str | None:
    """Why a protocol cannot be computed from a truth; None where it can."""
    needed = (*definition.needs, *base.FRAMES[definition.frames][0])
    missing = [name for name in dict.fromkeys(needed) if not truth.has(name)]
    if not missing:
        return None
    remedy = "data_prep.truth --dataroot adds them" if set(missing) <= set(FROM_TABLES) else "the truth has none"
    return f"needs {', '.join(missing)}: {remedy}"


def score(
    truth: Truth,
    plans: Plans,
    protocols: Sequence[str],
    *,
    workers: int | None = None,
    limited: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, ProtocolFrames]:
    """{protocol: its frames} of those that the truth has the data for; for the others `why_not` says why.

    protocols: names. workers: processes, by default one for each core; few frames are scored in this one. limited: {row of
    the plans: the protocols that it is scored by}, for the others it has no plan; a row that is not there, by all.
    """
    chosen = {name: registry.get(name) for name in protocols}
    able = {name: one for name, one in chosen.items() if why_not(one.definition, truth) is None}
    entered = {name: base.enters(one.definition, truth) for name, one in able.items()}
    covered = {name: plans.covered & _allowed(name, plans.names, limited)[:, None] for name in able}
    work = _Work(truth, plans, distances(truth, plans), able, entered, covered)
    workers = (os.cpu_count() or 1) if workers is None else workers
    count = len(truth.tokens)
    workers = 1 if count < FEWEST_FRAMES or not able else workers
    parts: dict[str, list[Frames]] = {name: [] for name in able}
    with Progress(count, "frame", name="scores") as progress:
        for number, found in _chunks(work, workers):
            for name, frames in found.items():
                parts[name].append(frames)
            progress.advance(number)
    return {
        name: _whole(able[name], truth, plans._replace(covered=covered[name]), parts[name], entered[name])
        for name in able
    }


def _allowed(protocol: str, rows: Sequence[str], limited: Mapping[str, Sequence[str]]) -> Bool[np.ndarray, " P"]:
    return np.array([protocol in limited.get(row, (protocol,)) for row in rows])


def distances(truth: Truth, plans: Plans) -> Float[np.ndarray, "P n F"]:
    """Meters of each waypoint from the recorded path of the same point of the vehicle; NaN where there is no plan."""
    result = np.full(plans.lidar.shape[:3], np.nan)
    for number, frame in enumerate(plans.native):
        xy = getattr(plans, frame)[number, ..., :2]
        result[number] = np.linalg.norm(xy - getattr(truth, PATHS[frame]), axis=-1)
    return result


class _Work(NamedTuple):
    truth: Truth
    plans: Plans
    l2: Float[np.ndarray, "P n F"]
    protocols: dict[str, Protocol]
    entered: dict[str, Bool[np.ndarray, " n"]]
    covered: dict[str, Bool[np.ndarray, "P n"]]

    def chunk(self, indices: Int[np.ndarray, " m"]) -> dict[str, Frames]:
        """These frames by every protocol."""
        from dima_jax.metrics.raster import Grids  # the packages that draw, only where something is drawn
        from dima_jax.scoring.frames import FrameTruth

        parts: dict[str, list] = {name: [] for name in self.protocols}
        for place, index in enumerate(indices.tolist()):
            frame, grids = FrameTruth(self.truth, index), Grids()
            for name, protocol in self.protocols.items():
                rows = np.flatnonzero(self.covered[name][:, index])
                if len(rows) and self.entered[name][index]:
                    told = (self.plans.lidar[rows, index], self.plans.ego[rows, index], self.l2[rows, index])
                    parts[name].append((place, rows, protocol.frame(frame, grids, *told)))
        return {name: _stacked(found, self.l2.shape, len(indices)) for name, found in parts.items()}


def _stacked(found: Iterable[tuple], shape: tuple[int, int, int], count: int) -> Frames:
    """`Steps` by their places among `count` frames as arrays."""
    planners, _, steps = shape
    values: dict[str, np.ndarray] = {}
    masks: dict[str, np.ndarray] = {}
    hit, recorded = np.full((planners, count, steps), -1, np.int32), np.zeros((count, steps), bool)
    for place, rows, one in found:
        for name, value in one.values.items():
            if name not in values:
                values[name] = np.full((planners, count, value.shape[1]), np.nan)
                masks[name] = np.zeros(values[name].shape, bool)
            values[name][rows, place], masks[name][rows, place] = value, one.masks[name]
        hit[rows, place], recorded[place] = one.hit, one.recorded
    return Frames(values, masks, hit, recorded)


def _whole(
    protocol: Protocol, truth: Truth, plans: Plans, parts: list[Frames], entered: Bool[np.ndarray, " n"]
) -> ProtocolFrames:
    """All frames, after what the protocol does with consecutive ones."""
    steps = {name: one.shape[2] for part in parts for name, one in part.values.items()}
    values, masks = {}, {}
    for name, length in steps.items():
        empty = [np.full((*part.hit.shape[:2], length), np.nan) for part in parts]
        values[name] = np.concatenate([p.values.get(name, e) for p, e in zip(parts, empty, strict=True)], axis=1)
        known = [p.masks.get(name, np.zeros(e.shape, bool)) for p, e in zip(parts, empty, strict=True)]
        masks[name] = np.concatenate(known, axis=1)
    found = Frames(
        values,
        masks,
        np.concatenate([part.hit for part in parts], axis=1),
        np.concatenate([part.recorded for part in parts]),
    )
    protocol.sequence(truth, plans, found._asdict())
    rows = [
        base.reduce(
            protocol.definition,
            {name: one[planner] for name, one in values.items()},
            {name: one[planner] for name, one in masks.items()},
            entered & covered,
        )
        for planner, covered in enumerate(plans.covered)
    ]
    value, weight = (np.stack(one) for one in zip(*rows, strict=True))
    return ProtocolFrames(protocol.definition, *found, value, weight, entered)


def _chunks(work: _Work, workers: int) -> Iterator[tuple[int, dict[str, Frames]]]:
    """(how many frames, what of them) in order."""
    count = len(work.truth.tokens)
    pieces = np.array_split(np.arange(count), min(count, workers * CHUNKS))
    if workers == 1:
        for piece in pieces:
            yield len(piece), work.chunk(piece)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads, JAX's say, may hang
    with ProcessPoolExecutor(workers, spawn, initializer=_start, initargs=(work,)) as pool:
        for piece, found in zip(pieces, pool.map(_scored, pieces), strict=True):
            yield len(piece), found


_work: list[_Work] = []  # of a process of the pool


def _start(work: _Work) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says that it was interrupted
    _work[:] = [work]


def _scored(indices: Int[np.ndarray, " m"]) -> dict[str, Frames]:
    return _work[0].chunk(indices)
