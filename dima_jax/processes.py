"""Work shared among processes of this machine, none of which outlives the command.

They are forked from one process that has imported what they need and has no threads (`multiprocessing`'s fork server), so
that imports cost once.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver
from typing import TypeVar

from dima_jax import interrupts
from dima_jax.errors import UserError

Job = TypeVar("Job")
Result = TypeVar("Result")


def prepare(module: str) -> None:
    """Starts the process that the others will be forked from; it imports this module while this process goes on."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    with interrupts.blocked():
        multiprocessing.set_forkserver_preload([module])
        forkserver.ensure_running()


def as_they_end(
    function: Callable[[Job], Result],
    jobs: Iterable[Job],
    workers: int,
    what: str,
    meanwhile: Callable[[], object] | None = None,
) -> Iterator[Result]:
    """What `function` makes of every job, in the order in which they end; in this process for one worker.

    function, jobs: what can be pickled; whoever calls `prepare` with the function's module sooner need not wait for its
    import. meanwhile: what this process does while the others work. Jobs that are under way when one fails are finished
    first; an interrupt ends their processes. UserError, which names `what` is being written, if the system kills a process.
    """
    if workers <= 1:
        yield from map(function, jobs)
        return
    prepare(getattr(function, "func", function).__module__)  # of what a `partial` is of
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, context, initializer=interrupts.end_with_parent) as pool:
        try:
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
