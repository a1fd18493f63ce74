"""Work shared among processes of this machine, none of which outlives the command."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from dima_jax import interrupts
from dima_jax.errors import UserError

Job = TypeVar("Job")
Result = TypeVar("Result")


def as_they_end(
    function: Callable[[Job], Result],
    jobs: Iterable[Job],
    workers: int,
    what: str,
    before: Callable[[], object] | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Iterator[Result]:
    """What `function` makes of every job, in the order in which they end; in this process for one worker.

    function, jobs: what can be pickled. before: what this process does while the others start; no job starts sooner.
    meanwhile: what it does while they work. Jobs that are under way when one fails are finished first; an interrupt ends their
    processes. UserError, which names `what` is being written, if the system kills a process.
    """
    if workers <= 1:
        if before:
            before()
        yield from map(function, jobs)
        return
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    with ProcessPoolExecutor(workers, spawn, initializer=interrupts.end_with_parent) as pool:
        try:
            with interrupts.blocked():
                started = [pool.submit(_imported, function) for _ in range(workers)]
            if before:
                before()
            for future in started:
                future.result()
            with interrupts.blocked():
                futures = [pool.submit(function, job) for job in jobs]
            if meanwhile:
                meanwhile()
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise UserError(f"{what}: a worker process was killed; is the memory full? Give fewer --workers") from error
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                interrupts.end_children()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _imported(function: Callable) -> None:
    """In a worker: to be given the function, it imported the module that has it."""
