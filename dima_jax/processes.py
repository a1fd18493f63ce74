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


def as_they_end(function: Callable[[Job], Result], jobs: Iterable[Job], workers: int, what: str) -> Iterator[Result]:
    """What `function` makes of every job, in the order in which they end; in this process for one worker.

    function, jobs: what can be pickled. Jobs that are under way when one fails are finished first; an interrupt ends their
    processes. UserError, which names `what` is being written, if the system kills a process.
    """
    if workers <= 1:
        yield from map(function, jobs)
        return
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    with ProcessPoolExecutor(workers, spawn, initializer=interrupts.end_with_parent) as pool:
        try:
            with interrupts.blocked():
                futures = [pool.submit(function, job) for job in jobs]
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise UserError(f"{what}: a worker process was killed; is the memory full? Give fewer --workers") from error
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                interrupts.end_children()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
