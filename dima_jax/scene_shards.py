"""Scenes shared among processes and, in a process, among devices. A scene is driven by one device, from its first frame
on: the previous BEV ties its frames together.

Every frame is a batch of one in the same program, so no number depends on who drives it.
"""

import queue
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import groupby
from typing import NamedTuple, TypeVar

from dima_jax.data.records import Records
from dima_jax.errors import UserError

Worker = TypeVar("Worker")


class Scene(NamedTuple):
    """name: of the scene; numbers: of its records, in order of time."""

    name: str
    numbers: list[int]


def scenes_of(records: Records) -> list[Scene]:
    """The scenes of a split in order."""
    groups = groupby(range(len(records)), key=lambda i: records.scenes[i])
    return [Scene(name, list(numbers)) for name, numbers in groups]


def share(scenes: Sequence[Scene], process: int, processes: int) -> list[Scene]:
    """Those of a process: every `processes`-th from its own number on."""
    return list(scenes[process::processes])


def share_of(text: str) -> tuple[int, int]:
    """(this command's number, how many there are) of "0/2". UserError for anything else."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if found is None or int(found[1]) >= int(found[2]):
        raise UserError(f"--share={text}: give the number of this command and of all, from 0/2 to 1/2 for two")
    return int(found[1]), int(found[2])


def run(
    scenes: Sequence[Scene], workers: Sequence[Worker], work: Callable[[Worker, Scene, threading.Event], None]
) -> None:
    """Calls work(worker, scene, stopped) for every scene, in one thread for each worker; who is free takes the next.

    stopped: is set when another call has failed or the command is stopped; `work` should then return soon. Raises what
    the first call that failed raised.
    """
    waiting: queue.SimpleQueue[Scene] = queue.SimpleQueue()
    for scene in scenes:
        waiting.put(scene)
    stopped = threading.Event()

    def turn(worker: Worker) -> None:
        while not stopped.is_set():
            try:
                scene = waiting.get_nowait()
            except queue.Empty:
                return
            work(worker, scene, stopped)

    with ThreadPoolExecutor(max(len(workers), 1), thread_name_prefix="scenes") as pool:
        try:
            for turned in as_completed([pool.submit(turn, worker) for worker in workers[: len(scenes)]]):
                turned.result()
        finally:
            stopped.set()
